// What all cores of attention share: operands and the place of a workgroup. See attention.h.
#include "attention.h"

PARAMS(attention_params);
#ifdef OCTETS                            // eight fp16 values at a time, as they are stored
READS_WEIGHT(0, q);
READS_WEIGHT(1, k);
READS_WEIGHT(2, v);
#else
READS(0, q);
READS(1, k);
READS(2, v);
#endif
WRITES(3, y);

const float LOG2_E = 1.44269504;         // exp(x) = exp2(x LOG2_E), folded into the scale

// GROUP counts chunks of a head's output channels fastest, then tiles of queries, then images * heads.
struct place { uint image, head, first_query, chunk; };

place find_place(uint queries, uint chunks)
{
    uint tiles = (p.q_rows + queries - 1u) / queries, batch = GROUP / chunks / tiles;
    return place(batch / p.heads, batch % p.heads, GROUP / chunks % tiles * queries, GROUP % chunks);
}

bool tile_is_bound(place s, uint queries)
{
    uint row = s.image * p.q_rows + s.first_query;
    return row < end_row && row + queries > first_row;
}

// Keys that the tile's last query sees.
uint keys_end(uint first_query, uint queries)
{
    return p.causal != 0u ? min(p.k_rows, first_query + queries) : p.k_rows;
}

bool sees(uint query, uint key)
{
    return key < p.k_rows && (p.causal == 0u || key <= query);
}
