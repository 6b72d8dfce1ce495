#include "device/cpu/kernels/lora_multiply.h"

#include "device/cpu/kernels/tile.h"

struct room {
    const float *a;
    _Alignas(64) float panel[];        /* b as [64 / TILES_COLUMNS][ranks][TILES_COLUMNS] */
};

size_t CPU_NAME(lora_multiply_room)(uint32_t ranks)
{
    return sizeof(struct room) + (size_t)ranks * MERGE_COLUMNS * sizeof(float);
}

void CPU_NAME(lora_multiply_begin)(const float *a, uint32_t rows, uint32_t ranks, void *room)
{
    (void)rows;
    (void)ranks;
    ((struct room *)room)->a = a;
}

void CPU_NAME(lora_multiply_panel)(const float *b, uint32_t ranks, void *room)
{
    float *panel = ((struct room *)room)->panel;

    for (uint32_t c = 0; c < MERGE_COLUMNS; c += TILES_COLUMNS)
        for (uint32_t r = 0; r < ranks; r++)
            memcpy(panel + (size_t)c * ranks + (size_t)r * TILES_COLUMNS, b + (size_t)r * MERGE_COLUMNS + c,
                   TILES_COLUMNS * sizeof *b);
}

void CPU_NAME(lora_multiply)(float *sums, uint32_t first, uint32_t rows, uint32_t ranks, void *room, struct strip *last,
                             struct beyond *beyond)
{
    const struct room *m = room;
    struct tile_rows a = { .a = m->a + (size_t)first * ranks, .stride = ranks, .count = rows, .length = ranks };

    (void)last;
    (void)beyond;
    for (uint32_t c = 0; c < MERGE_COLUMNS; c += TILES_COLUMNS)
        CPU_NAME(tiles)(&a, m->panel + (size_t)c * ranks, sums + c, MERGE_COLUMNS, TILES_VECS);
}

void CPU_NAME(lora_multiply_end)(void)
{
}
