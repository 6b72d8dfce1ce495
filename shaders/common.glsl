// What every shader shares: operands, the head of the push constants, activations.
//
// The build gives each module two macros: F16 where activations are stored in fp16, and TEXEL where operands are read
// through texel buffers. Software drivers read those five times faster, and a storage buffer may span only 128 MiB
// there; GPUs read storage buffers. LD4(x, i) reads quad i (four values) of either. Writes always go to storage
// buffers; where one would be too large, only rows [first_row, end_row) are bound and the dispatch is repeated.

#ifdef F16
#extension GL_EXT_shader_16bit_storage : require
#endif
#extension GL_EXT_control_flow_attributes : require

#ifdef F16
#define QUAD f16vec4
#define QUAD_FORMAT rgba16f
#define QUADS(shift) (shift)
#else
#define QUAD vec4
#define QUAD_FORMAT rgba32f
#define QUADS(shift) ((shift) / 2u)
#endif

#define PARAMS(type) layout(push_constant) uniform Push { uint groups, first_row, end_row, shifts, more_shifts; type p; }
#define SHIFT(b) (bitfieldExtract(b < 8 ? shifts : more_shifts, 4 * (b % 8), 4))   // 8-byte units from a binding's begin to the operand's

#ifdef TEXEL
#define TEXELS(b, format)  layout(binding = b, format) readonly uniform
#define READS(b, x)        TEXELS(b, QUAD_FORMAT) imageBuffer x; uint x##_at = QUADS(SHIFT(b))
#define READS_FLOAT(b, x)  TEXELS(b, rgba32f) imageBuffer x; uint x##_at = SHIFT(b) / 2u
#define READS_WEIGHT(b, x) TEXELS(b, rgba32ui) uimageBuffer x; uint x##_at = SHIFT(b) / 2u
#define LD4(x, i)          imageLoad(x, int(x##_at + (i)))
#define LD_WEIGHT(x, i)    imageLoad(x, int(x##_at + (i)))
#else
#define READS(b, x)        layout(binding = b) readonly buffer R##b { QUAD x[]; }; uint x##_at = QUADS(SHIFT(b))
#define READS_FLOAT(b, x)  layout(binding = b) readonly buffer R##b { vec4 x[]; }; uint x##_at = SHIFT(b) / 2u
#define READS_WEIGHT(b, x) layout(binding = b) readonly buffer R##b { uvec4 x[]; }; uint x##_at = SHIFT(b) / 2u
#define LD4(x, i)          vec4(x[x##_at + (i)])
#define LD_WEIGHT(x, i)    x[x##_at + (i)]                // eight columns of one k
#endif
#define WRITES(b, y)       layout(binding = b) writeonly buffer W##b { QUAD y[]; }; uint y##_at = QUADS(SHIFT(b))
#define WRITES_FLOAT(b, y) layout(binding = b) writeonly buffer W##b { float y[]; }; uint y##_at = SHIFT(b) * 2u

// Four values as fp16.
vec4 from_halves(uvec2 halves) { return vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y)); }
uvec2 to_halves(vec4 v) { return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw)); }

// Quad c of row r; only where row_is_bound(r).
#define ST4(y, r, quads_a_row, c, v) y[y##_at + ((r) - first_row) * (quads_a_row) + (c)] = QUAD(v)
#define row_is_bound(r) ((r) >= first_row && (r) < end_row)

// The linear index of this workgroup, which the device folded into two dimensions: beyond `groups` there is no work.
#define GROUP (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)
