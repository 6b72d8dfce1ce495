// Cooperative matrices of M x N (sums, fp32), M x 16 and 16 x N (factors, fp16), which lie in the shared array cells by
// rows, or TURNED by columns: where a load or store begins and how far apart rows are is counted in cells.
//
// Three forms of the same: KHR's; NV's for older compilers, where the constant_id of the scope tells what a matrix is
// used for and the build rewrites the module to KHR's (cmake/khr_matrix.h); and with neither macro what they mean, done by
// hand, so that drivers without matrices can test all that is around them. See GLSL_KHR_cooperative_matrix.
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

#if defined(MATRIX_KHR)
#extension GL_KHR_cooperative_matrix : require
#pragma use_vulkan_memory_model

#define SUM     coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define FACTOR1 coopmat<float16_t, gl_ScopeSubgroup, M, 16, gl_MatrixUseA>
#define FACTOR2 coopmat<float16_t, gl_ScopeSubgroup, 16, N, gl_MatrixUseB>
#define ZERO_SUM                SUM(0.0)
#define LOAD_FACTOR(m, at, gap) coopMatLoad(m, cells, at, gap, gl_CooperativeMatrixLayoutRowMajor)
#define LOAD_TURNED(m, at, gap) coopMatLoad(m, cells, at, gap, gl_CooperativeMatrixLayoutColumnMajor)
#define ADD_PRODUCT(s, a, b)    s = coopMatMulAdd(a, b, s)
#define STORE_SUM(s, at, gap)   coopMatStore(s, cells, at, gap, gl_CooperativeMatrixLayoutRowMajor)

#elif defined(MATRIX_NV)
#extension GL_NV_cooperative_matrix : require
#pragma use_vulkan_memory_model

layout(constant_id = 100) const uint SCOPE_A = 3u;        // gl_ScopeSubgroup
layout(constant_id = 101) const uint SCOPE_B = 3u;
layout(constant_id = 102) const uint SCOPE_SUM = 3u;
#define SUM     fcoopmatNV<32, SCOPE_SUM, M, N>
#define FACTOR1 fcoopmatNV<16, SCOPE_A, M, 16>
#define FACTOR2 fcoopmatNV<16, SCOPE_B, 16, N>
#define ZERO_SUM                SUM(0.0)
#define LOAD_FACTOR(m, at, gap) coopMatLoadNV(m, cells, at, gap, false)
#define LOAD_TURNED(m, at, gap) coopMatLoadNV(m, cells, at, gap, true)
#define ADD_PRODUCT(s, a, b)    s = coopMatMulAddNV(a, b, s)
#define STORE_SUM(s, at, gap)   coopMatStoreNV(s, cells, at, gap, false)
#endif

#if defined(MATRIX_KHR) || defined(MATRIX_NV)
#define UNROLL   [[unroll]]              // matrices are no memory: the index into an array of them is known
#define SUBGROUP gl_SubgroupID
#define LANE     gl_SubgroupInvocationID
#else
#define UNROLL   [[dont_unroll]]         // software drivers would compile for minutes
#define SUBGROUP (gl_LocalInvocationID.x / LANES)
#define LANE     (gl_LocalInvocationID.x % LANES)

struct factor { uint at, gap; bool turned; };             // stays where it is
struct lanes_sums { vec4 low, high; };                          // lane i has columns 8 i % N .. + 7 of row 8 i / N, LANES >= M N / 8

float half_of(uvec4 octet, uint i)
{
    return unpackHalf2x16(octet[i / 2u])[i % 2u];
}

void add_turned(inout lanes_sums s, factor a, factor b, uint row, uint octet)
{
    for (uint k = 0u; k < 16u; k += 8u) {
        uvec4 left = cells[a.at + row * a.gap + k / 8u];
        [[unroll]] for (uint j = 0u; j < 8u; j++) {
            uvec4 right = cells[b.at + (octet * 8u + j) * b.gap + k / 8u];
            float sum = 0.0;
            [[unroll]] for (uint i = 0u; i < 8u; i++) sum += half_of(left, i) * half_of(right, i);
            if (j < 4u) s.low[j] += sum;
            else s.high[j - 4u] += sum;
        }
    }
}

void add_product(inout lanes_sums s, factor a, factor b)
{
    uint row = LANE * 8u / N, octet = LANE * 8u % N / 8u;
    if (row >= M) return;
    if (b.turned) {
        add_turned(s, a, b, row, octet);
        return;
    }
    uvec4 left[2];
    left[0] = cells[a.at + row * a.gap];
    left[1] = cells[a.at + row * a.gap + 1u];
    [[unroll]] for (uint k = 0u; k < 16u; k++) {
        float x = unpackHalf2x16(left[k / 8u][k / 2u % 4u])[k % 2u];
        uvec4 right = cells[b.at + k * b.gap + octet];
        s.low += x * from_halves(right.xy);
        s.high += x * from_halves(right.zw);
    }
}

void store_sums(lanes_sums s, uint to, uint gap)
{
    uint row = LANE * 8u / N, octet = LANE * 8u % N / 8u;
    if (row >= M) return;
    cells[to + row * gap + octet * 2u] = floatBitsToUint(s.low);
    cells[to + row * gap + octet * 2u + 1u] = floatBitsToUint(s.high);
}

#define SUM     lanes_sums
#define FACTOR1 factor
#define FACTOR2 factor
#define ZERO_SUM                lanes_sums(vec4(0.0), vec4(0.0))
#define LOAD_FACTOR(m, at, gap) m = factor(at, gap, false)
#define LOAD_TURNED(m, at, gap) m = factor(at, gap, true)
#define ADD_PRODUCT(s, a, b)    add_product(s, a, b)
#define STORE_SUM(s, at, gap)   store_sums(s, at, gap)
#endif
