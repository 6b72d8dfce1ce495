// What all cores of gemm share: operands, where a tap reads, and the epilogue. See gemm.h.
//
// With the constant PHASES tiles of y's four phases follow each other, and a row is one of the tile's phase; with WINOGRAD
// those of its 36 or 25 parts. SHORTCUT: there is an x2, and perhaps an x3. FLAGS are gemm.h's.
#include "gemm.h"
#include "pieces.glsl"

PARAMS(gemm_params);
READS_PIECES(0, x1);
READS_PIECES(1, x2);
READS_PIECES(6, x3);
READS_WEIGHT(2, w);
READS_FLOAT(3, bias);
READS_FLOAT(4, per_image);
READS(5, residual);
READS_FLOAT(7, gamma);
READS_FLOAT(8, beta);
WRITES(9, y);

uint phase;                              // of this tile: 2 (oy % 2) + ox % 2; or its part

uint phases() { return PHASES ? 4u : WINOGRAD ? GEMM_PARTS(FLAGS) : 1u; }
uint all_rows() { return p.rows / phases(); }
uint taps_h() { return PHASES ? 2u : p.kernel_h; }
uint taps_w() { return PHASES ? 2u : p.kernel_w; }

// The first row of a tile, from its index; sets the phase.
uint first_row_of(uint tile, uint tile_rows)
{
    uint tiles = (all_rows() + tile_rows - 1u) / tile_rows;
    phase = tile / tiles;
    return tile % tiles * tile_rows;
}

uint tiles_of(uint tile_rows)
{
    return (all_rows() + tile_rows - 1u) / tile_rows * phases();
}

// The row of y that a row is.
uint out_row(uint row)
{
    if (WINOGRAD) return phase * all_rows() + row;
    if (!PHASES) return row;
    uint pixels = p.in_h * p.in_w, at = row % pixels, y = at / p.in_w * 2u + phase / 2u, x = at % p.in_w * 2u + phase % 2u;
    return (row / pixels * p.out_h + y) * p.out_w + x;
}

bool tile_is_bound(uint row, uint tile_rows)
{
    return out_row(row) < end_row && out_row(min(row + tile_rows, all_rows()) - 1u) >= first_row;
}

// Taps of w whose sum is tap i of a phase along one axis: [begin, end).
uvec2 taps_of(uint half_phase, uint i)
{
    return half_phase == 0u ? (i == 0u ? uvec2(0u, 1u) : uvec2(1u, 3u)) : (i == 0u ? uvec2(0u, 2u) : uvec2(2u, 3u));
}

// Where a row stands: its image's first input pixel, the input position of tap (0, 0), and its place in x2 and x3.
struct place { uint image_at; int iy, ix; uint row; bool inside; };

place find_place(uint row)
{
    uint width = PHASES ? p.in_w : p.out_w, pixels = width * (PHASES ? p.in_h : p.out_h), at = row % pixels;
    place s;
    s.image_at = WINOGRAD ? phase * all_rows() : row / pixels * p.in_h * p.in_w;
    s.iy = int(at / width * p.stride + (PHASES ? phase / 2u : 0u)) - int(p.pad_top);
    s.ix = int(at % width * p.stride + (PHASES ? phase % 2u : 0u)) - int(p.pad_left);
    s.row = row;
    s.inside = row < all_rows();
    return s;
}

// Input pixel that tap (ky, kx) of this row sees, or ~0u outside the image.
uint tap_pixel(place s, uint ky, uint kx)
{
    uint iy = uint(s.iy + int(ky)), ix = uint(s.ix + int(kx)), doubled = PHASES ? 0u : p.upsample - 1u;   // negative: huge
    bool inside = s.inside && iy < (doubled == 1u ? p.out_h : p.in_h) && ix < (doubled == 1u ? p.out_w : p.in_w);
    return inside ? s.image_at + (iy >> doubled) * p.in_w + (ix >> doubled) : ~0u;
}

#ifndef OCTETS
// A quad of x1, or zeros; reads in any case, which costs a software driver less than a branch.
vec4 read1(uint at, bool inside) { return mix(vec4(0.0), LD4(x1, at), bvec4(inside)); }
#endif

struct cursor { uint c, ky, kx; };       // a piece of k: its channels and tap, ky = taps_h() behind the last

void advance(inout cursor at, uint pieces)
{
    at.c += pieces;
    while (at.ky < taps_h() && at.c >= p.c1 / PIECE_K) {
        at.c -= p.c1 / PIECE_K;
        at.kx++;
        if (at.kx == taps_w()) {
            at.kx = 0u;
            at.ky++;
        }
    }
}

// This piece of row s of x2 and x3 side by side; zero beyond them.
PIECE gather_own(place s, uint c)
{
    if (!s.inside || c >= (p.c2 + p.c3) / PIECE_K) return PIECE(0);
    if (c < p.c2 / PIECE_K) return LD_PIECE(x2, s.row * (p.x2_stride / PIECE_K) + c);
    return LD_PIECE(x3, s.row * (p.x3_stride / PIECE_K) + c - p.c2 / PIECE_K);
}

// This piece of row s of the implicit matrix, whatever the channel counts: zero outside.
PIECE gather(place s, cursor at)
{
    if (at.ky >= taps_h()) return SHORTCUT ? gather_own(s, at.c) : PIECE(0);
    uint pixel = tap_pixel(s, at.ky, at.kx);
    return pixel == ~0u ? PIECE(0) : LD_PIECE(x1, pixel * (p.x1_stride / PIECE_K) + at.c);
}

// erfc(t) for t >= 0 with a relative error of about 1e-7 around exp(-t^2): Abramowitz and Stegun 7.1.26.
vec4 erfc_positive(vec4 t)
{
    vec4 u = 1.0 / (1.0 + 0.3275911 * t);
    vec4 poly = ((((1.061405429 * u - 1.453152027) * u + 1.421413741) * u - 0.284496736) * u + 0.254829592) * u;
    return poly * exp(-t * t);
}

vec4 gelu(vec4 x)                        // x (1 + erf(x / sqrt 2)) / 2
{
    vec4 half_tail = 0.5 * x * erfc_positive(abs(x) * 0.70710678);
    return mix(half_tail, x - half_tail, greaterThan(x, vec4(0.0)));
}

vec4 activate(vec4 x)
{
    if (ACT == ACT_SILU) return x / (1.0 + exp(-x));
    if (ACT == ACT_GELU) return gelu(x);
    if (ACT == ACT_QUICK_GELU) return x / (1.0 + exp(-1.702 * x));
    return x;
}

vec4 read_bias(uint quad)
{
    return (FLAGS & GEMM_BIAS) != 0u ? LD4(bias, quad) : vec4(0.0);
}

vec4 with_bias(vec4 sum, vec4 b, uint row, uint quad)
{
    sum = sum * p.scale + b;
    if ((FLAGS & GEMM_PER_IMAGE) != 0u)
        sum += LD4(per_image, row / (p.out_h * p.out_w) * (p.per_image_stride / 4u) + quad);
    return sum;
}

void store(vec4 v, uint row, uint quad, uint cols)
{
    if (quad * 4u >= cols) return;
    if ((FLAGS & GEMM_RESIDUAL) != 0u) v += LD4(residual, row * (p.residual_stride / 4u) + quad);
    if (quad * 4u + 4u > cols)           // an image's third channel is the last: zero beyond it
        v = mix(vec4(0.0), v, lessThan(uvec4(0, 1, 2, 3) + quad * 4u, uvec4(cols)));
    ST4(y, row, p.y_stride / 4u, quad, v);
}

// The sums of columns [8 octet, 8 octet + 8) of one row and their bias, on their way to y.
void finish(uint row, uint octet, vec4 sum0, vec4 sum1, vec4 bias0, vec4 bias1)
{
    if (row >= all_rows()) return;
    row = out_row(row);
    if (!row_is_bound(row)) return;
    vec4 v0 = with_bias(sum0, bias0, row, octet * 2u), v1 = with_bias(sum1, bias1, row, octet * 2u + 1u);
    if (ACT == ACT_GEGLU) {
        store(v0 * gelu(v1), row, octet, p.cols / 2u);
    } else {
        store(activate(v0), row, octet * 2u, p.cols);
        store(activate(v1), row, octet * 2u + 1u, p.cols);
    }
}
