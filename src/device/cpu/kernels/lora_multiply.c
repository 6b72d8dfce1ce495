#include "device/cpu/kernels/lora_multiply.h"

#include "device/cpu/kernels/tile.h"

size_t CPU_NAME(lora_multiply_room)(uint32_t ranks)
{
    return (size_t)ranks * MERGE_COLUMNS * sizeof(float);
}

/* room: b as [64 / TILE_COLUMNS][ranks][TILE_COLUMNS]. */
void CPU_NAME(lora_multiply)(float *sums, const float *a, const float *b, uint32_t rows, uint32_t ranks, void *room)
{
    struct tile_run run = { .length = ranks };
    float *panel = room;

    for (uint32_t c = 0; c < MERGE_COLUMNS; c += TILE_COLUMNS)
        for (uint32_t r = 0; r < ranks; r++)
            memcpy(panel + (size_t)c * ranks + (size_t)r * TILE_COLUMNS, b + (size_t)r * MERGE_COLUMNS + c,
                   TILE_COLUMNS * sizeof *b);
    for (uint32_t first = 0; first < rows; first += TILE_ROWS) {
        uint32_t count = rows - first < TILE_ROWS ? rows - first : TILE_ROWS;
        for (uint32_t i = 0; i < count; i++) run.a[i] = a + (size_t)(first + i) * ranks;
        for (uint32_t c = 0; c < MERGE_COLUMNS; c += TILE_COLUMNS)
            CPU_NAME(tile)(&run, 1, panel + (size_t)c * ranks, sums + first * MERGE_COLUMNS + c, MERGE_COLUMNS, true, count,
                           TILE_VECS);
    }
}
