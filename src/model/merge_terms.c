#include "model/merge_terms.h"

#include <stdlib.h>
#include <string.h>

enum { PANEL = PACK_COLUMNS };

const struct pack_recipe *merge_recipe(const struct slice *s)
{
    return &s->entry.job->recipe;
}

/* Does a term reach the slice's columns? A GEGLU's columns alternate between far rows. */
bool merge_reaches(const struct slice *s, const struct placed_term *t)
{
    uint32_t begin = s->first * PANEL, end = begin + s->panels * PANEL;

    return merge_recipe(s)->geglu || (t->first < end && begin < t->first + t->rows);
}

/* ---- factors ---------------------------------------------------------------- */

/* A term's down [rank, C kh kw] as columns [at, at + rank) of a [k, ranks]: file order [channel][tap] to [tap][channel]. */
static void place_down(const struct slice *s, float *a, const float *down, uint32_t at, uint32_t rank,
                       const struct pack_rows *rows)
{
    size_t inputs = (size_t)rows->channels * rows->taps;

    for (uint32_t c = 0; c < rows->channels; c++)
        for (uint32_t tap = 0; tap < rows->taps; tap++) {
            float *to = a + ((size_t)rows->first + tap * rows->pitch + c) * s->ranks + at;
            const float *from = down + (size_t)c * rows->taps + tap;
            for (uint32_t r = 0; r < rank; r++) to[r] = from[r * inputs];
        }
}

/* A term's up [rows, rank] as rows [at, at + rank) of b [panels, ranks, 64]. */
static void place_up(const struct slice *s, float *b, const float *up, uint32_t at, const struct placed_term *t)
{
    uint32_t rank = t->term.rank, first = s->first * PANEL;

    for (uint32_t c = 0; c < s->panels * PANEL && first + c < s->shape.n; c++) {
        uint32_t row = pack_source_row(merge_recipe(s), s->shape.n, first + c) - t->first;   /* below it: a huge number */
        float *to = b + ((size_t)(c / PANEL) * s->ranks + at) * PANEL + c % PANEL;
        if (row >= t->rows) continue;
        for (uint32_t r = 0; r < rank; r++) to[(size_t)r * PANEL] = t->term.scale * up[(size_t)row * rank + r];
    }
}

bool merge_factors(const struct slice *s, unsigned char *memory, struct tinct_err *err)
{
    float *a = (float *)(void *)(memory + s->a_at), *b = (float *)(void *)(memory + s->b_at);
    bool ok = true;

    memset(a, 0, (size_t)s->shape.k_padded * s->ranks * sizeof *a);
    memset(b, 0, (size_t)s->panels * s->ranks * PANEL * sizeof *b);
    for (uint32_t i = 0, at = 0; ok && i < s->of->count; i++) {
        const struct placed_term *t = &s->of->terms[i];
        uint32_t rank = t->term.rank;
        if (!rank || !merge_reaches(s, t)) continue;
        struct pack_rows rows = pack_rows(merge_recipe(s), t->part);
        size_t inputs = (size_t)rows.channels * rows.taps;
        float *factors = malloc((t->rows + inputs) * rank * sizeof *factors), *down = factors + (size_t)t->rows * rank;
        if (!factors) return tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for factors of rank %u",
                                        s->entry.names[0], rank);
        ok = t->term.factors(t->term.user, factors, down, err);
        if (ok) {
            place_down(s, a, down, at, rank, &rows);
            place_up(s, b, factors, at, t);
        }
        free(factors);
        at += rank;
    }
    return ok;
}

/* ---- dense terms ------------------------------------------------------------ */

/* Rows [first, first + rows) of the parts from part_index on, put one after the other, as fp32. */
static bool read_rows(float *out, const struct pack_recipe *recipe, uint32_t part_index, uint32_t first, uint32_t rows,
                      struct tinct_err *err)
{
    for (uint32_t i = part_index; i < recipe->part_count && rows; i++) {
        const struct stored *part = &recipe->parts[i];
        if (first >= part->shape[0]) {
            first -= part->shape[0];
            continue;
        }
        uint32_t count = part->shape[0] - first < rows ? part->shape[0] - first : rows;
        struct stored some = stored_rows(*part, first, count);
        if (!stored_read_f32(out, &some, err)) return false;
        out += stored_count(&some);
        rows -= count;
        first = 0;
    }
    return true;
}

/* Values of a part's row, and of all parts before it. */
static size_t row_values(const struct stored *part)
{
    return (size_t)(stored_count(part) / part->shape[0]);
}

static size_t values_before(const struct pack_recipe *recipe, uint32_t part)
{
    size_t values = 0;

    for (uint32_t i = 0; i < part; i++) values += (size_t)stored_count(&recipe->parts[i]);
    return values;
}

static bool add_delta(float *sum, const struct placed_term *t, const struct pack_recipe *recipe, struct tinct_err *err)
{
    size_t row = row_values(&recipe->parts[t->part]), count = t->rows * row;
    float *to = sum + values_before(recipe, t->part) + t->first * row;
    float *w0 = t->term.needs_w0 ? malloc(count * sizeof *w0) : NULL, *own = malloc(count * sizeof *own);
    bool ok = own && (w0 || !t->term.needs_w0);

    if (!ok) tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its delta", recipe->parts[0].name);
    ok = ok && (!w0 || read_rows(w0, recipe, t->part, t->first, t->rows, err)) && t->term.delta(t->term.user, own, w0, err);
    for (size_t i = 0; ok && i < count; i++) to[i] += own[i];
    free(own);
    free(w0);
    return ok;
}

float *merge_deltas(const struct rebuild *of, const struct pack_recipe *recipe, struct tinct_err *err)
{
    float *sum = calloc(values_before(recipe, recipe->part_count), sizeof *sum);

    if (!sum) {
        tinct_fail(err, TINCT_ERR_MEMORY, "%s: no memory for its delta", recipe->parts[0].name);
        return NULL;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        if (of->terms[i].term.rank || add_delta(sum, &of->terms[i], recipe, err)) continue;
        free(sum);
        return NULL;
    }
    return sum;
}
