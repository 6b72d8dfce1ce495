#include "text/chunks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/tokenizer.h"

/* The chunk being filled, and those that are. */
struct filler {
    struct chunks *out;
    const struct chunk_options *options;
    uint32_t room;                   /* chunks */
    size_t insert_room;
    uint32_t ids[CHUNK_OWN];
    float weights[CHUNK_OWN];
    uint32_t used;
    int last_comma;                  /* its place in this chunk; -1: none */
    size_t first_insert;             /* of this chunk */
    bool failed;                     /* no memory */
};

static bool make_room(struct filler *f)
{
    struct chunks *c = f->out;

    if (c->count < f->room) return true;
    uint32_t room = f->room ? 2 * f->room : 2;
    uint32_t *ids = realloc(c->ids, (size_t)room * CHUNK_TOKENS * sizeof *ids);
    if (ids) c->ids = ids;
    float *weights = realloc(c->weights, (size_t)room * CHUNK_TOKENS * sizeof *weights);
    if (weights) c->weights = weights;
    if (ids && weights) f->room = room;
    else f->failed = true;
    return ids && weights;
}

/* <|startoftext|> own tokens <|endoftext|>, which also pads them; behind the first of those, the model's own pad. */
static void put_chunk(uint32_t *ids, float *weights, const struct filler *f)
{
    bool other_pad = f->options->pad != TOKEN_END, ended = false;

    for (uint32_t i = 0; i < CHUNK_TOKENS; i++) {
        bool own = i > 0 && i <= f->used;
        uint32_t id = i == 0 ? TOKEN_START : own ? f->ids[i - 1] : TOKEN_END;
        ids[i] = ended && other_pad ? f->options->pad : id;
        weights[i] = own ? f->weights[i - 1] : 1.0f;
        ended |= id == TOKEN_END;
    }
}

static void finish_chunk(struct filler *f)
{
    struct chunks *c = f->out;

    if (!make_room(f)) return;
    put_chunk(c->ids + (size_t)c->count * CHUNK_TOKENS, c->weights + (size_t)c->count * CHUNK_TOKENS, f);
    c->count++;
    f->used = 0;
    f->last_comma = -1;
    f->first_insert = c->insert_count;
}

/* Begin the next chunk with what stands behind the last comma. */
static void move_behind_comma(struct filler *f)
{
    uint32_t keep = (uint32_t)f->last_comma + 1, moved = f->used - keep;
    uint32_t ids[CHUNK_OWN];
    float weights[CHUNK_OWN];
    size_t insert = f->out->insert_count;

    memcpy(ids, f->ids + keep, moved * sizeof *ids);
    memcpy(weights, f->weights + keep, moved * sizeof *weights);
    while (insert > f->first_insert && f->out->inserts[insert - 1].position > keep) insert--;
    f->used = keep;
    finish_chunk(f);
    memcpy(f->ids, ids, moved * sizeof *ids);
    memcpy(f->weights, weights, moved * sizeof *weights);
    f->used = moved;
    f->first_insert = insert;
    for (; insert < f->out->insert_count; insert++) {
        f->out->inserts[insert].chunk++;
        f->out->inserts[insert].position -= keep;
    }
}

static void add_own(struct filler *f, uint32_t id, float weight)
{
    f->ids[f->used] = id;
    f->weights[f->used++] = weight;
}

/* False only when it is refused. */
static bool add_embedding(struct filler *f, const struct chunk_embedding *e, float weight, struct tinct_err *err)
{
    struct chunks *c = f->out;

    if (e->vectors < 1 || e->vectors > CHUNK_OWN)
        return tinct_fail(err, TINCT_ERR_ARG, "an embedding in the prompt has %u vectors; 1 to %d fit into a chunk",
                          (unsigned)e->vectors, CHUNK_OWN);
    if (f->used + e->vectors > CHUNK_OWN) finish_chunk(f);
    if (f->failed) return true;
    if (c->insert_count == f->insert_room) {
        size_t room = f->insert_room ? 2 * f->insert_room : 4;
        struct chunk_insert *inserts = realloc(c->inserts, room * sizeof *inserts);
        if (!inserts) {
            f->failed = true;
            return true;
        }
        c->inserts = inserts;
        f->insert_room = room;
    }
    c->inserts[c->insert_count++] = (struct chunk_insert) { c->count, f->used + 1, e->vectors, e->embedding };
    for (uint32_t i = 0; i < e->vectors; i++) add_own(f, 0, weight);
    return true;
}

/* Tokens of one weight; false only when an embedding is refused. */
static bool add_tokens(struct filler *f, const struct tokens *t, float weight, struct tinct_err *err)
{
    for (size_t at = 0; at < t->count && !f->failed;) {
        struct chunk_embedding e = { 0 };
        bool full = f->used == CHUNK_OWN;

        if (t->ids[at] == TOKEN_COMMA) f->last_comma = (int)f->used;
        else if (full && f->last_comma >= 0 && (int)f->used - f->last_comma <= CHUNK_COMMA_REACH) move_behind_comma(f);
        if (f->used == CHUNK_OWN) finish_chunk(f);
        if (f->failed) break;
        if (f->options->find && f->options->find(f->options->user, t->ids + at, t->count - at, &e)) {
            if (!add_embedding(f, &e, weight, err)) return false;
            at += e.tokens ? e.tokens : 1;
        } else {
            add_own(f, t->ids[at++], weight);
        }
    }
    return true;
}

static bool add_pieces(struct filler *f, const struct emphasis *e, struct tinct_err *err)
{
    struct tokens t = { 0 };
    bool good = true;

    for (size_t i = 0; good && i < e->count; i++) {
        const struct emphasis_piece *p = &e->pieces[i];
        bool ignored = f->options->emphasis == TINCT_EMPHASIS_IGNORE;
        if (p->is_break) {
            finish_chunk(f);
            continue;
        }
        t.count = 0;
        good = tokenize(&t, e->text.bytes + p->begin, p->end - p->begin, err) &&
               add_tokens(f, &t, ignored ? 1.0f : (float)p->weight, err);
    }
    tokens_free(&t);
    return good;
}

/* The whole text as one piece. */
static bool plain_piece(struct emphasis *e, const char *text, struct tinct_err *err)
{
    *e = (struct emphasis) { 0 };
    str_add(&e->text, text);
    e->pieces = malloc(sizeof *e->pieces);
    if (!e->pieces || e->text.failed) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
    e->pieces[0] = (struct emphasis_piece) { 0, e->text.length, 1, false };
    e->count = 1;
    return true;
}

bool chunks_make(struct chunks *out, const char *text, const struct chunk_options *options, struct tinct_err *err)
{
    struct filler f = { .out = out, .options = options, .last_comma = -1 };
    struct emphasis e;

    *out = (struct chunks) { 0 };
    bool good = options->emphasis == TINCT_EMPHASIS_NONE ? plain_piece(&e, text, err)
                                                         : emphasis_parse(&e, text, strlen(text), err);
    good = good && add_pieces(&f, &e, err);
    out->own_tokens = out->count * CHUNK_OWN + f.used;
    if (good && (f.used || !out->count)) finish_chunk(&f);
    if (f.failed) good = tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the chunks of a prompt");
    emphasis_free(&e);
    if (!good) chunks_free(out);
    return good;
}

bool chunks_extend(struct chunks *c, uint32_t count, const struct chunk_options *options, struct tinct_err *err)
{
    struct filler f = { .out = c, .options = options, .room = c->count };

    while (c->count < count && !f.failed) finish_chunk(&f);
    return !f.failed || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for the chunks of a prompt");
}

void chunks_free(struct chunks *c)
{
    free(c->ids);
    free(c->weights);
    free(c->inserts);
    *c = (struct chunks) { 0 };
}

/* One chunk, z [77, width]. */
static void weigh_chunk(const float *weights, bool restore, float *z, size_t width)
{
    double before = 0, after = 0;

    for (uint32_t t = 0; t < CHUNK_TOKENS; t++)
        for (size_t i = 0; i < width; i++) {
            float *value = &z[t * width + i];
            before += *value;
            *value *= weights[t];
            after += *value;
        }
    double factor = before / after;
    if (!restore || !isfinite(factor)) return;
    for (size_t i = 0; i < CHUNK_TOKENS * width; i++) z[i] *= (float)factor;
}

void chunks_weigh(const struct chunks *c, enum tinct_emphasis emphasis, float *z, size_t width)
{
    for (uint32_t chunk = 0; chunk < c->count; chunk++) {
        const float *weights = c->weights + (size_t)chunk * CHUNK_TOKENS;
        bool weighed = false;
        for (uint32_t t = 0; t < CHUNK_TOKENS; t++) weighed |= weights[t] != 1.0f;
        if (weighed) weigh_chunk(weights, emphasis == TINCT_EMPHASIS_ORIGINAL, z + chunk * CHUNK_TOKENS * width, width);
    }
}
