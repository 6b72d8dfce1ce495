// What all cores of attention share: operands and the place of a workgroup. See attention.h.
#include "attention.h"
#include "pieces.glsl"

PARAMS(attention_params);
READS_PIECES(0, q);
READS_PIECES(1, k);
READS_PIECES(2, v);
READS_WEIGHT(3, w);
READS_FLOAT(4, gamma);
READS_FLOAT(5, beta);
WRITES(6, y);

const float LOG2_E = 1.44269504;         // exp(x) = exp2(x LOG2_E), folded into the scale

// GROUP counts chunks of a head's output channels fastest, then tiles of queries, then images * heads.
struct place { uint image, head, first_query, chunk; };

place find_place(uint queries, uint chunks)
{
    uint tiles = (p.q_rows + queries - 1u) / queries, batch = GROUP / chunks / tiles;
    return place(batch / p.heads, batch % p.heads, GROUP / chunks % tiles * queries, GROUP % chunks);
}

// y's row for a query of a place, in a copy.
uint y_row_of(place s, uint query, uint copy)
{
    return (copy * p.images + s.image) * p.q_rows + query;
}

bool tile_is_bound(place s, uint queries)
{
    for (uint copy = 0u; copy < p.copies; copy++) {
        uint row = y_row_of(s, s.first_query, copy);
        if (row < end_row && row + queries > first_row) return true;
    }
    return false;
}

// Keys that the tile's last query sees.
uint keys_end(uint first_query, uint queries)
{
    return p.causal != 0u ? min(p.k_rows, first_query + queries) : p.k_rows;
}

uvec4 weight_octet(uint octet, uint k)   // columns 8 octet .. of w
{
    uint panel_rows = (p.inputs + 31u) / 32u * 32u;
    return LD_WEIGHT(w, (octet / 8u * panel_rows + k) * 8u + octet % 8u);
}

vec4 weight_quad(uint quad, uint k)
{
    uvec4 octet = weight_octet(quad / 2u, k);
    return from_halves(quad % 2u == 0u ? octet.xy : octet.zw);
}

bool sees(uint query, uint key)
{
    return key < p.k_rows && (p.causal == 0u || key <= query);
}
