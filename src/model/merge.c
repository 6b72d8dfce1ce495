#include "model/merge.h"

#include <stdlib.h>
#include <string.h>

#include "model/merge_rebuild.h"

struct named {                     /* a part of a weight */
    const char *name;
    uint32_t weight, part;
    uint32_t first;                /* row of the parts, put one after the other; 0 where they are stacked */
};

struct set {                       /* sorted by weight, rows and key once it is complete */
    struct placed_term *terms;
    uint32_t count, room;
};

struct merge {
    struct weights *ws;
    struct merge_options options;
    struct named *names;           /* sorted */
    uint32_t name_count;
    struct set now, next;
    bool *unknown;                 /* of a weight: an apply failed when it was to change */
    bool unusable;
};

/* ---- names -------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->weight > y->weight) - (x->weight < y->weight);
}

static bool list_names(struct merge *m)
{
    uint32_t weights = weights_count(m->ws);

    m->names = malloc(((size_t)weights * PACK_PARTS + 1) * sizeof *m->names);
    m->unknown = calloc(weights + 1, sizeof *m->unknown);
    if (!m->names || !m->unknown) return false;
    for (uint32_t i = 0; i < weights; i++) {
        struct weights_entry e = weights_entry(m->ws, i);
        for (uint32_t part = 0, first = 0; part < e.job->recipe.part_count; part++) {
            m->names[m->name_count++] = (struct named) { e.names[part], i, part, first };
            if (!e.job->recipe.stacked) first += e.job->recipe.parts[part].shape[0];
        }
    }
    qsort(m->names, m->name_count, sizeof *m->names, by_name);
    return true;
}

/* The first of this name; a tensor that two weights are made of has two. */
static const struct named *find(const struct merge *m, const char *name)
{
    uint32_t low = 0, high = m->name_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(m->names[middle].name, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low < m->name_count && !strcmp(m->names[low].name, name) ? &m->names[low] : NULL;
}

struct merge *merge_create(struct weights *ws, const struct merge_options *options)
{
    struct merge *m = calloc(1, sizeof *m);

    if (!m) return NULL;
    m->ws = ws;
    m->options = *options;
    if (list_names(m)) return m;
    merge_free(m);
    return NULL;
}

void merge_free(struct merge *m)
{
    if (!m) return;
    free(m->names);
    free(m->unknown);
    free(m->now.terms);
    free(m->next.terms);
    free(m);
}

bool merge_find(const struct merge *m, const char *name, struct stored *view)
{
    const struct named *n = find(m, name);

    if (n) *view = weights_entry(m->ws, n->weight).job->recipe.parts[n->part];
    return n != NULL;
}

/* ---- a set -------------------------------------------------------------- */

void merge_begin(struct merge *m)
{
    m->next.count = 0;
}

static bool append(struct set *set, const struct placed_term *term, struct tinct_err *err)
{
    if (set->count == set->room) {
        uint32_t room = set->room ? set->room * 2 : 512;
        struct placed_term *more = realloc(set->terms, room * sizeof *more);
        if (!more) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a list of %u changed weights", room);
        set->terms = more;
        set->room = room;
    }
    set->terms[set->count++] = *term;
    return true;
}

bool merge_add(struct merge *m, const char *name, uint32_t first, uint32_t rows, const struct merge_term *term,
               struct tinct_err *err)
{
    const struct named *n = find(m, name), *end = m->names + m->name_count;

    if (!n) return tinct_fail(err, TINCT_ERR_ARG, "%s: the model holds no weight of this name", name);
    for (; n < end && !strcmp(n->name, name); n++) {
        const struct pack_job *job = weights_entry(m->ws, n->weight).job;
        uint32_t all = job->recipe.parts[n->part].shape[0];
        if (first > all || rows > all - first)
            return tinct_fail(err, TINCT_ERR_ARG, "%s: rows %u to %u of %u", name, first, first + rows, all);
        if (term->rank && job->form != PACK_WEIGHT)
            return tinct_fail(err, TINCT_ERR_ARG, "%s: a vector takes a delta, not factors", name);
        struct placed_term placed = { n->weight, job->recipe.stacked ? n->part : 0, n->first + first,
                                      rows ? rows : all - first, *term };
        if (!append(&m->next, &placed, err)) return false;
    }
    return true;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_weight(const void *a, const void *b)
{
    const struct placed_term *x = a, *y = b;
    int order = compare(x->weight, y->weight);
    if (!order) order = compare(x->part, y->part);
    if (!order) order = compare(x->first, y->first);
    if (!order) order = compare(x->rows, y->rows);
    return order ? order : compare(x->term.key, y->term.key);
}

/* ---- from set to set ------------------------------------------------------ */

/* The terms of a weight, NULL where it has none, and past them. */
static const struct placed_term *terms_of(const struct set *set, uint32_t *at, uint32_t weight, uint32_t *count)
{
    uint32_t first = *at;

    while (*at < set->count && set->terms[*at].weight == weight) ++*at;
    *count = *at - first;
    return *count ? set->terms + first : NULL;
}

static bool same_terms(const struct placed_term *a, const struct placed_term *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (by_weight(&a[i], &b[i])) return false;
    return true;
}

/* list [weights_count] gets what must change; gives its length. */
static uint32_t differences(const struct merge *m, struct rebuild *list)
{
    uint32_t now = 0, next = 0, length = 0, before, count;

    for (uint32_t i = 0; i < weights_count(m->ws); i++) {
        const struct placed_term *had = terms_of(&m->now, &now, i, &before);
        const struct placed_term *terms = terms_of(&m->next, &next, i, &count);
        if (!m->unknown[i] && before == count && same_terms(had, terms, count)) continue;
        list[length++] = (struct rebuild) { i, terms, count };
    }
    return length;
}

/* Told before anything is touched, where it can be. */
static bool files_unchanged(const struct merge *m, const struct rebuild *list, uint32_t count, struct tinct_err *err)
{
    const struct file *last = NULL;

    for (uint32_t i = 0; i < count; i++) {
        const struct file *file = weights_entry(m->ws, list[i].weight).job->recipe.parts[0].file;
        if (file != last && !file_unchanged(file, err)) return false;
        last = file;
    }
    return true;
}

static bool apply(struct merge *m, const struct rebuild *list, uint32_t count, struct tinct_err *err)
{
    bool touched = false;

    if (!files_unchanged(m, list, count, err)) return false;
    if (merge_rebuild(m->ws, list, count, &m->options, &touched, err)) return true;
    for (uint32_t i = 0; touched && i < count; i++) m->unknown[list[i].weight] = true;
    m->unusable = m->unusable || touched;
    return false;
}

bool merge_apply(struct merge *m, struct merge_report *report, struct tinct_err *err)
{
    struct merge_report told = { 0 };
    struct rebuild *list = malloc((weights_count(m->ws) + 1) * sizeof *list);

    if (!list) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a list of changed weights");
    if (m->next.count) qsort(m->next.terms, m->next.count, sizeof *m->next.terms, by_weight);
    uint32_t count = differences(m, list);
    bool ok = apply(m, list, count, err);
    for (uint32_t i = 0; ok && i < count; i++) {
        *(list[i].count ? &told.rebuilt : &told.restored) += 1;
        m->unknown[list[i].weight] = false;
    }
    free(list);
    if (!ok) return false;

    struct set before = m->now;
    m->now = m->next;
    m->next = before;
    m->next.count = 0;
    m->unusable = false;
    if (report) *report = told;
    return true;
}

bool merge_usable(const struct merge *m, struct tinct_err *err)
{
    if (!m->unusable) return true;
    tinct_fail(err, TINCT_ERR_INTERNAL, "changing the model's weights failed half-way");
    return tinct_advise(err, "apply LoRAs again, or none, or open the model again");
}
