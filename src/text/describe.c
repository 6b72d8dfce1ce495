#include "text/describe.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/chunks.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

struct teller {
    const char *prompt;
    const struct prompt *p;
    const struct prompt_options *options;
    struct chunk_options chunks;
    const struct prompt_embeddings *embeddings;     /* NULL: none */
    struct tinct_err *err;
};

/* ---- pieces that both forms share ---------------------------------------------- */

/* Text that a terminal shows as it is: control characters and broken UTF-8 as \xNN. */
static void add_shown(struct str *s, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t valid = str_utf8_prefix(text + at, size - at), end = at + valid;
        while (at < end) {
            size_t next = at;
            uint32_t point = unicode_next(text, &next);
            if (point < 0x20 || (point >= 0x7f && point < 0xa0)) str_addf(s, "\\x%02x", (unsigned)point);
            else str_add_bytes(s, text + at, next - at);
            at = next;
        }
        if (at < size) str_addf(s, "\\x%02x", (unsigned)(unsigned char)text[at++]);
    }
}

/* What a token spells. */
static void add_spelling(struct str *s, uint32_t id)
{
    char text[TOKEN_TEXT_MAX];
    bool ends_word;
    size_t size = token_text(id, text, &ends_word);

    add_shown(s, text, size);
}

/* What stands at a place of a chunk: a token's spelling, or an embedding's name. */
static void add_place(struct str *s, const struct teller *t, const struct chunks *c, uint32_t chunk, uint32_t place)
{
    for (size_t i = 0; t->embeddings && i < c->insert_count; i++) {
        const struct chunk_insert *in = &c->inserts[i];
        if (in->chunk != chunk || place < in->position || place - in->position >= in->vectors) continue;
        const char *name = t->embeddings->name(t->embeddings->user, in->embedding);
        add_shown(s, name, strlen(name));
        str_addf(s, ", vector %u of %u", (unsigned)(place - in->position + 1), (unsigned)in->vectors);
        return;
    }
    add_spelling(s, c->ids[(size_t)chunk * CHUNK_TOKENS + place]);
}

/* Evaluations of segment i, counted from 1. */
static void segment_range(const struct prompt_part *part, size_t i, int steps, int *first, int *last)
{
    int end = part->segments[i].end_step + 1;
    *first = i ? part->segments[i - 1].end_step + 2 : 1;
    *last = end < steps ? end : steps;
}

static bool is_lora(const struct prompt *p, size_t tag)
{
    for (size_t i = 0; i < p->lora_count; i++)
        if (p->loras[i].tag == tag) return true;
    return false;
}

/* Own tokens of a chunk: places 1 to the last that is not padding. */
static uint32_t own_count(const struct chunks *c, uint32_t chunk)
{
    const uint32_t *ids = c->ids + (size_t)chunk * CHUNK_TOKENS;
    uint32_t count = CHUNK_OWN;
    while (count && ids[count] == TOKEN_END) count--;
    return count;
}

/* ---- for a person ---------------------------------------------------------------- */

static void tell_tags(struct str *s, const struct teller *t)
{
    for (size_t i = 0; i < t->p->lora_count; i++) {
        const struct prompt_lora *l = &t->p->loras[i];
        str_add(s, "LoRA ");
        add_shown(s, l->name, strlen(l->name));
        str_add(s, ": text encoder ");
        str_add_double(s, l->te);
        str_add(s, ", UNet ");
        str_add_double(s, l->unet);
        if (l->dyn) str_addf(s, ", first %d ranks", l->dyn);
        if (l->blocks) {
            str_add(s, ", blocks ");
            add_shown(s, l->blocks, strlen(l->blocks));
        }
        if (l->start) str_addf(s, ", from step %d", l->start);
        if (l->stop) str_addf(s, ", to step %d", l->stop);
        str_add(s, "\n");
    }
    for (size_t i = 0; i < t->p->tag_count; i++) {
        const struct prompt_tag *tag = &t->p->tags[i];
        if (is_lora(t->p, i)) continue;
        str_add(s, "removed ");
        add_shown(s, t->prompt + tag->begin, tag->end - tag->begin);
        str_add(s, ": tinct knows only <lora:...>\n");
    }
}

static void tell_chunk(struct str *s, const struct teller *t, const struct chunks *c, uint32_t chunk)
{
    uint32_t own = own_count(c, chunk);

    str_addf(s, "    chunk %u: %u of %d tokens\n", (unsigned)chunk + 1, (unsigned)own, CHUNK_OWN);
    for (uint32_t i = 1; i <= own; i++) {
        size_t at = (size_t)chunk * CHUNK_TOKENS + i;
        str_addf(s, "      %5u  ", (unsigned)c->ids[at]);
        size_t column = s->length;
        add_place(s, t, c, chunk, i);
        size_t used = s->length - column;
        str_addf(s, "%*s ", used < 20 ? (int)(20 - used) : 0, "");
        str_add_float(s, c->weights[at]);
        str_add(s, "\n");
    }
}

/* The chunks of a text stand below its first use. */
static bool tell_segment(struct str *s, const struct teller *t, const struct prompt_part *part, size_t i,
                         size_t *told)
{
    struct chunks c;
    const char *text = part->texts[part->segments[i].text];
    int first, last;

    segment_range(part, i, t->options->steps, &first, &last);
    if (last < first) return true;
    if (part->segment_count > 1) {
        str_addf(s, "  %d", first);
        if (last > first) str_addf(s, "-%d", last);
        str_addf(s, " of %d: ", t->options->steps);
    } else {
        str_add(s, "  ");
    }
    add_shown(s, text, strlen(text));
    str_add(s, "\n");
    if (part->segments[i].text < *told) return true;
    *told = part->segments[i].text + 1;
    if (!chunks_make(&c, text, &t->chunks, t->err)) return false;
    for (uint32_t chunk = 0; chunk < c.count; chunk++) tell_chunk(s, t, &c, chunk);
    chunks_free(&c);
    return true;
}

static char *tell(const struct teller *t)
{
    struct str s = { 0 };
    bool good = true;

    tell_tags(&s, t);
    for (size_t i = 0; good && i < t->p->part_count; i++) {
        const struct prompt_part *part = &t->p->parts[i];
        size_t told = 0;
        str_addf(&s, "part %zu of %zu, weight ", i + 1, t->p->part_count);
        str_add_double(&s, part->weight);
        str_add(&s, "\n");
        for (size_t j = 0; good && j < part->segment_count; j++) good = tell_segment(&s, t, part, j, &told);
    }
    if (good) return str_take(&s, t->err);
    str_free(&s);
    return NULL;
}

/* ---- JSON --------------------------------------------------------------------------- */

/* An item that was put together, and is freed. */
static void put_made(struct json_writer *w, struct str *s)
{
    w->text.failed |= s->failed;
    json_put_string(w, NULL, s->bytes ? s->bytes : "");
    str_free(s);
}

static void put_lora(struct json_writer *w, const struct prompt_lora *l, const struct prompt_tag *tag)
{
    json_begin(w, NULL, JSON_OBJECT);
    json_put_string(w, "name", l->name);
    json_put_double(w, "text_encoder", l->te);
    json_put_double(w, "unet", l->unet);
    json_put_integer(w, "dyn", l->dyn);
    json_put_string(w, "blocks", l->blocks);
    json_put_integer(w, "start", l->start);
    json_put_integer(w, "stop", l->stop);
    json_begin(w, "arguments", JSON_ARRAY);
    for (size_t i = 0; i < tag->arg_count; i++) {
        struct str s = { 0 };
        if (tag->args[i].key) str_addf(&s, "%s=", tag->args[i].key);
        str_add(&s, tag->args[i].value);
        put_made(w, &s);
    }
    json_end(w);
    json_end(w);
}

static void put_tags(struct json_writer *w, const struct teller *t)
{
    json_begin(w, "loras", JSON_ARRAY);
    for (size_t i = 0; i < t->p->lora_count; i++) put_lora(w, &t->p->loras[i], &t->p->tags[t->p->loras[i].tag]);
    json_end(w);
    json_begin(w, "removed", JSON_ARRAY);
    for (size_t i = 0; i < t->p->tag_count; i++) {
        const struct prompt_tag *tag = &t->p->tags[i];
        struct str s = { 0 };
        if (is_lora(t->p, i)) continue;
        str_add_bytes(&s, t->prompt + tag->begin, tag->end - tag->begin);
        put_made(w, &s);
    }
    json_end(w);
}

/* 1.1f as 1.1, not as the double next to it. */
static void put_weight(struct json_writer *w, float weight)
{
    struct str s = { 0 };
    double value = (double)weight;

    str_add_float(&s, weight);
    w->text.failed |= s.failed;
    if (s.bytes) str_to_double(s.bytes, &value);
    str_free(&s);
    json_put_double(w, NULL, value);
}

static void put_chunk(struct json_writer *w, const struct teller *t, const struct chunks *c, uint32_t chunk)
{
    size_t at = (size_t)chunk * CHUNK_TOKENS;
    uint32_t own = own_count(c, chunk);

    json_begin(w, NULL, JSON_OBJECT);
    json_begin(w, "ids", JSON_ARRAY);
    for (uint32_t i = 0; i < CHUNK_TOKENS; i++) json_put_integer(w, NULL, c->ids[at + i]);
    json_end(w);
    json_begin(w, "weights", JSON_ARRAY);
    for (uint32_t i = 0; i < CHUNK_TOKENS; i++) put_weight(w, c->weights[at + i]);
    json_end(w);
    json_begin(w, "spelling", JSON_ARRAY);
    for (uint32_t i = 1; i <= own; i++) {
        struct str s = { 0 };
        add_place(&s, t, c, chunk, i);
        put_made(w, &s);
    }
    json_end(w);
    json_end(w);
}

static bool put_text(struct json_writer *w, const struct teller *t, const char *text)
{
    struct chunks c;

    if (!chunks_make(&c, text, &t->chunks, t->err)) return false;
    json_begin(w, NULL, JSON_OBJECT);
    json_put_string(w, "text", text);
    json_put_integer(w, "tokens", c.own_tokens);
    json_begin(w, "chunks", JSON_ARRAY);
    for (uint32_t chunk = 0; chunk < c.count; chunk++) put_chunk(w, t, &c, chunk);
    json_end(w);
    json_end(w);
    chunks_free(&c);
    return true;
}

static bool put_part(struct json_writer *w, const struct teller *t, const struct prompt_part *part)
{
    bool good = true;
    int first, last;

    json_begin(w, NULL, JSON_OBJECT);
    json_put_double(w, "weight", part->weight);
    json_begin(w, "segments", JSON_ARRAY);
    for (size_t i = 0; i < part->segment_count; i++) {
        segment_range(part, i, t->options->steps, &first, &last);
        json_begin(w, NULL, JSON_OBJECT);
        json_put_integer(w, "end_step", part->segments[i].end_step);
        json_put_integer(w, "first", first);
        json_put_integer(w, "last", last);
        json_put_integer(w, "text", (int64_t)part->segments[i].text);
        json_end(w);
    }
    json_end(w);
    json_begin(w, "texts", JSON_ARRAY);
    for (size_t i = 0; good && i < part->text_count; i++) good = put_text(w, t, part->texts[i]);
    json_end(w);
    json_end(w);
    return good;
}

static char *put(const struct teller *t)
{
    struct json_writer w = { 0 };
    bool good = true;

    json_begin(&w, NULL, JSON_OBJECT);
    put_tags(&w, t);
    json_begin(&w, "parts", JSON_ARRAY);
    for (size_t i = 0; good && i < t->p->part_count; i++) good = put_part(&w, t, &t->p->parts[i]);
    json_end(&w);
    json_end(&w);
    if (good) return json_finish(&w, t->err);
    str_free(&w.text);
    return NULL;
}

char *prompt_describe(const char *text, const struct prompt_options *options, enum tinct_emphasis emphasis,
                      const struct prompt_embeddings *embeddings, bool json, struct tinct_err *err)
{
    struct prompt p;

    if (!prompt_parse(&p, text, options, err)) return NULL;
    struct teller t = { text, &p, options, { .emphasis = emphasis, .pad = TOKEN_END }, embeddings, err };
    if (embeddings) {
        t.chunks.find = embeddings->find;
        t.chunks.user = embeddings->user;
    }
    char *told = json ? put(&t) : tell(&t);
    prompt_free(&p);
    return told;
}
