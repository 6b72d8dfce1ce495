#include "text/bpe.h"

#include <stdlib.h>

#include "text/vocabulary.h"

static const uint32_t NONE = UINT32_MAX;

struct bpe_symbol {
    uint32_t id;             /* NONE: merged into the one before */
    uint32_t before, after;  /* neighbours; NONE at the ends */
};

static uint32_t pair_rank(uint32_t left, uint32_t right)
{
    uint32_t slot = vocabulary_slot(left, right);

    for (;; slot = (slot + 1) & ((1u << VOCABULARY_SLOT_BITS) - 1)) {
        uint32_t rank = vocabulary_slots[slot];
        if (rank == VOCABULARY_EMPTY) return NONE;
        if (vocabulary_left[rank] == left && vocabulary_right[rank] == right) return rank;
    }
}

static uint32_t rank_at(const struct bpe *b, uint32_t at)
{
    const struct bpe_symbol *s = &b->symbols[at];
    return s->id == NONE || s->after == NONE ? NONE : pair_rank(s->id, b->symbols[s->after].id);
}

/* The heap holds rank << 32 | place, so the smallest entry is the lowest rank, then the leftmost. */
static void heap_push(struct bpe *b, uint64_t entry)
{
    size_t i = b->heap_count++;
    for (; i && b->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = entry;
}

static uint64_t heap_pop(struct bpe *b)
{
    uint64_t top = b->heap[0], last = b->heap[--b->heap_count];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < b->heap_count; i = child) {
        if (child + 1 < b->heap_count && b->heap[child + 1] < b->heap[child]) child++;
        if (last <= b->heap[child]) break;
        b->heap[i] = b->heap[child];
    }
    b->heap[i] = last;
    return top;
}

static void consider(struct bpe *b, uint32_t at)
{
    uint32_t rank = at == NONE ? NONE : rank_at(b, at);
    if (rank != NONE) heap_push(b, (uint64_t)rank << 32 | at);
}

static void merge_at(struct bpe *b, uint32_t at, uint32_t rank)
{
    struct bpe_symbol *s = &b->symbols[at], *gone = &b->symbols[s->after];

    s->id = VOCABULARY_FIRST_MERGE + rank;
    s->after = gone->after;
    gone->id = NONE;
    if (s->after != NONE) b->symbols[s->after].before = at;
    consider(b, s->before);
    consider(b, at);
}

static bool make_room(struct bpe *b, size_t size)
{
    if (size <= b->room) return true;
    struct bpe_symbol *symbols = realloc(b->symbols, size * sizeof *symbols);
    if (symbols) b->symbols = symbols;
    uint64_t *heap = realloc(b->heap, 3 * size * sizeof *heap);   /* every pair, and two for each merge */
    if (heap) b->heap = heap;
    if (!symbols || !heap) return false;
    b->room = size;
    return true;
}

size_t bpe_word(struct bpe *b, uint32_t *ids, const unsigned char *word, size_t size)
{
    size_t count = 0;

    if (size >= NONE || !make_room(b, size)) return 0;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t last = i + 1 == size;
        b->symbols[i] = (struct bpe_symbol) { vocabulary_byte_id[word[i]] + 256 * last, i ? i - 1 : NONE,
                                              last ? NONE : i + 1 };
    }
    b->heap_count = 0;
    for (uint32_t i = 0; i < size; i++) consider(b, i);
    while (b->heap_count) {
        uint64_t best = heap_pop(b);
        uint32_t at = (uint32_t)best, rank = (uint32_t)(best >> 32);
        if (rank_at(b, at) == rank) merge_at(b, at, rank);   /* else a neighbour was merged since */
    }
    for (uint32_t i = 0; i != NONE; i = b->symbols[i].after) ids[count++] = b->symbols[i].id;
    return count;
}

void bpe_free(struct bpe *b)
{
    free(b->symbols);
    free(b->heap);
    *b = (struct bpe) { 0 };
}
