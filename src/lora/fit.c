#include "lora/fit.h"

#include <stdio.h>
#include <string.h>

struct sizes {
    uint64_t out, in, k, total; /* the layer's rows, columns, kernel taps */
};

static struct sizes sizes_of(const struct lora_target *t)
{
    struct sizes s = { t->shape[0], t->shape[1], (uint64_t)t->shape[2] * t->shape[3], 0 };
    s.total = s.out * s.in * s.k;
    return s;
}

/* Values of a part; 0 where there is none. */
static uint64_t count_of(const struct lora_module *m, enum lora_part part)
{
    struct stored view;
    return lora_module_view(m, part, &view) ? stored_count(&view) : 0;
}

/* Size of an axis, 1 beyond the last; 0 where there is no such part. */
static uint64_t axis(const struct lora_module *m, enum lora_part part, int index)
{
    struct stored view;
    return lora_module_view(m, part, &view) ? view.shape[index] : 0;
}

/* ---- sentences ---------------------------------------------------------- */

static void shape_text(char out[64], const struct stored *view)
{
    int used = snprintf(out, 64, "[");
    for (uint32_t i = 0; i < view->dims; i++)
        used += snprintf(out + used, 64 - (size_t)used, "%s%u", i ? "," : "", (unsigned)view->shape[i]);
    snprintf(out + used, 64 - (size_t)used, "]");
}

static enum lora_fit misfit(const struct lora_module *m, enum lora_part part, const struct lora_target *t, char *why)
{
    struct stored layer = { .dims = t->dims }, view = { .dims = 0 };
    char has[64], wanted[64];

    memcpy(layer.shape, t->shape, sizeof layer.shape);
    lora_module_view(m, part, &view);
    shape_text(has, &view);
    shape_text(wanted, &layer);
    snprintf(why, LORA_WHY_BYTES, "%s %s does not fit the layer's %s", lora_part_name(part), has, wanted);
    return LORA_MISFIT;
}

static enum lora_fit broken(char *why, const char *has, const char *wants)
{
    snprintf(why, LORA_WHY_BYTES, "has %s without %s", has, wants);
    return LORA_BROKEN;
}

static enum lora_fit ranks_differ(char *why, enum lora_part a, uint64_t rank_a, enum lora_part b, uint64_t rank_b)
{
    snprintf(why, LORA_WHY_BYTES, "%s has rank %llu, %s has rank %llu", lora_part_name(a), (unsigned long long)rank_a,
             lora_part_name(b), (unsigned long long)rank_b);
    return LORA_BROKEN;
}

/* Every part the file has must be one that can be used at all. */
static enum lora_fit check_views(const struct lora_module *m, char *why)
{
    for (int part = 0; part < LORA_PARTS; part++) {
        struct stored view;
        if (!m->part[part] || lora_module_view(m, (enum lora_part)part, &view)) continue;
        const struct safetensors_tensor *t = safetensors_at(lora_tensors(m->file), m->part[part] - 1);
        const char *name = lora_part_name((enum lora_part)part);
        if (t->bytes == 0) snprintf(why, LORA_WHY_BYTES, "%s holds no values (rank 0)", name);
        else snprintf(why, LORA_WHY_BYTES, "%s has %u dimensions", name, (unsigned)t->dims);
        return t->bytes == 0 ? LORA_BROKEN : LORA_MISFIT;
    }
    return LORA_FITS;
}

/* All of a type's parts, or which one is missing beside one that is there. */
static enum lora_fit check_present(const struct lora_module *m, const enum lora_part *parts, int count, char *why)
{
    int there = -1;

    for (int i = 0; i < count; i++)
        if (m->part[parts[i]]) there = i;
    for (int i = 0; i < count; i++)
        if (!m->part[parts[i]])
            return broken(why, there < 0 ? "other parts" : lora_part_name(parts[there]), lora_part_name(parts[i]));
    return LORA_FITS;
}

/* ---- types -------------------------------------------------------------- */

static enum lora_fit fit_low_rank(const struct lora_module *m, const struct lora_target *t, char *why)
{
    static const enum lora_part parts[] = { LORA_UP, LORA_DOWN };
    struct sizes s = sizes_of(t);
    uint64_t up = axis(m, LORA_UP, 1), down = axis(m, LORA_DOWN, 0);
    bool tucker = m->part[LORA_MID] != 0;

    if (check_present(m, parts, 2, why)) return LORA_BROKEN;
    if (tucker && axis(m, LORA_MID, 0) != up) return ranks_differ(why, LORA_UP, up, LORA_MID, axis(m, LORA_MID, 0));
    if (tucker && axis(m, LORA_MID, 1) != down)
        return ranks_differ(why, LORA_MID, axis(m, LORA_MID, 1), LORA_DOWN, down);
    if (!tucker && up != down) return ranks_differ(why, LORA_UP, up, LORA_DOWN, down);
    if (count_of(m, LORA_UP) != s.out * up) return misfit(m, LORA_UP, t, why);
    if (count_of(m, LORA_DOWN) != down * s.in * (tucker ? 1 : s.k) || axis(m, LORA_DOWN, 1) != s.in)
        return misfit(m, LORA_DOWN, t, why);
    return tucker && count_of(m, LORA_MID) != up * down * s.k ? misfit(m, LORA_MID, t, why) : LORA_FITS;
}

/* One of LoHa's two factors. */
static enum lora_fit fit_hada(const struct lora_module *m, const struct lora_target *t, enum lora_part a,
                              enum lora_part b, enum lora_part core, char *why)
{
    struct sizes s = sizes_of(t);
    bool tucker = m->part[core] != 0;
    uint64_t rank_a = axis(m, a, tucker ? 0 : 1), rank_b = axis(m, b, 0);

    if (tucker && (axis(m, core, 0) != rank_a || axis(m, core, 1) != rank_b))
        return ranks_differ(why, a, rank_a, core, axis(m, core, 0));
    if (!tucker && rank_a != rank_b) return ranks_differ(why, a, rank_a, b, rank_b);
    if (count_of(m, a) != s.out * rank_a) return misfit(m, a, t, why);
    if (count_of(m, b) != rank_b * s.in * (tucker ? 1 : s.k)) return misfit(m, b, t, why);
    return tucker && count_of(m, core) != rank_a * rank_b * s.k ? misfit(m, core, t, why) : LORA_FITS;
}

static enum lora_fit fit_loha(const struct lora_module *m, const struct lora_target *t, char *why)
{
    static const enum lora_part parts[] = { LORA_HADA_1A, LORA_HADA_1B, LORA_HADA_2A, LORA_HADA_2B };
    static const enum lora_part cores[] = { LORA_HADA_T1, LORA_HADA_T2 };
    enum lora_fit fit = check_present(m, parts, 4, why);

    if (!fit && (m->part[LORA_HADA_T1] || m->part[LORA_HADA_T2])) fit = check_present(m, cores, 2, why);
    if (!fit) fit = fit_hada(m, t, LORA_HADA_1A, LORA_HADA_1B, LORA_HADA_T1, why);
    return fit ? fit : fit_hada(m, t, LORA_HADA_2A, LORA_HADA_2B, LORA_HADA_T2, why);
}

static enum lora_fit fit_lokr(const struct lora_module *m, const struct lora_target *t, char *why)
{
    static const enum lora_part left[] = { LORA_LOKR_1A, LORA_LOKR_1B }, right[] = { LORA_LOKR_2A, LORA_LOKR_2B };
    struct sizes s = sizes_of(t);
    bool full1 = m->part[LORA_LOKR_1], full2 = m->part[LORA_LOKR_2], tucker = m->part[LORA_LOKR_T2];
    uint64_t a = full1 ? axis(m, LORA_LOKR_1, 0) : axis(m, LORA_LOKR_1A, 0);
    uint64_t c = full1 ? axis(m, LORA_LOKR_1, 1) : axis(m, LORA_LOKR_1B, 1);
    uint64_t r1 = axis(m, LORA_LOKR_1A, 1), r2a = axis(m, LORA_LOKR_2A, tucker ? 0 : 1), r2b = axis(m, LORA_LOKR_2B, 0);
    enum lora_part second = full2 ? LORA_LOKR_2 : LORA_LOKR_2B;

    if (!full1 && check_present(m, left, 2, why)) return LORA_BROKEN;
    if (!full2 && check_present(m, right, 2, why)) return LORA_BROKEN;
    if (!full1 && r1 != axis(m, LORA_LOKR_1B, 0))
        return ranks_differ(why, LORA_LOKR_1A, r1, LORA_LOKR_1B, axis(m, LORA_LOKR_1B, 0));
    if (a == 0 || c == 0 || s.out % a || s.in % c) return misfit(m, full1 ? LORA_LOKR_1 : LORA_LOKR_1A, t, why);
    if (count_of(m, LORA_LOKR_1) != (full1 ? a * c : 0) || (!full1 && (count_of(m, LORA_LOKR_1A) != a * r1 ||
        count_of(m, LORA_LOKR_1B) != r1 * c)))
        return misfit(m, full1 ? LORA_LOKR_1 : LORA_LOKR_1A, t, why);
    uint64_t b = s.out / a, d = s.in / c;
    if (full2)
        return axis(m, second, 0) != b || axis(m, second, 1) != d || count_of(m, second) != b * d * s.k
                   ? misfit(m, second, t, why) : LORA_FITS;
    if (tucker && (axis(m, LORA_LOKR_T2, 0) != r2a || axis(m, LORA_LOKR_T2, 1) != r2b ||
                   count_of(m, LORA_LOKR_T2) != r2a * r2b * s.k))
        return misfit(m, LORA_LOKR_T2, t, why);
    if (!tucker && r2a != r2b) return ranks_differ(why, LORA_LOKR_2A, r2a, LORA_LOKR_2B, r2b);
    if (count_of(m, LORA_LOKR_2A) != b * r2a) return misfit(m, LORA_LOKR_2A, t, why);
    return count_of(m, LORA_LOKR_2B) != r2b * d * (tucker ? 1 : s.k) ? misfit(m, LORA_LOKR_2B, t, why) : LORA_FITS;
}

static bool matrix_is(const struct lora_module *m, enum lora_part part, uint64_t rows, uint64_t count)
{
    return rows && axis(m, part, 0) == rows && count_of(m, part) == rows * count;
}

bool lora_glora_current(const struct lora_module *m, const struct lora_target *t)
{
    struct sizes s = sizes_of(t);
    uint64_t r = axis(m, LORA_GLORA_A2, 0);
    return r && matrix_is(m, LORA_GLORA_A1, s.in, r) && matrix_is(m, LORA_GLORA_A2, r, s.in) &&
           matrix_is(m, LORA_GLORA_B1, s.out, r) && matrix_is(m, LORA_GLORA_B2, r, s.in * s.k);
}

static enum lora_fit fit_glora(const struct lora_module *m, const struct lora_target *t, char *why)
{
    static const enum lora_part parts[] = { LORA_GLORA_A1, LORA_GLORA_A2, LORA_GLORA_B1, LORA_GLORA_B2 };
    struct sizes s = sizes_of(t);
    uint64_t r = axis(m, LORA_GLORA_A1, 0);

    if (check_present(m, parts, 4, why)) return LORA_BROKEN;
    if (m->part[LORA_GLORA_BM]) return misfit(m, LORA_GLORA_BM, t, why);
    if (lora_glora_current(m, t)) return LORA_FITS;
    bool old = r && matrix_is(m, LORA_GLORA_A1, r, s.in) && matrix_is(m, LORA_GLORA_A2, s.in, r) &&
               matrix_is(m, LORA_GLORA_B1, r, s.in * s.k) && matrix_is(m, LORA_GLORA_B2, s.out, r);
    return old ? LORA_FITS : misfit(m, LORA_GLORA_B1, t, why);
}

static enum lora_fit fit_oft(const struct lora_module *m, const struct lora_target *t, char *why)
{
    enum lora_part part = m->part[LORA_OFT] ? LORA_OFT : LORA_OFT_R;
    int first = m->type == LORA_BOFT;
    uint64_t n = axis(m, part, first), b = axis(m, part, first + 1);
    struct stored view;

    lora_module_view(m, part, &view);
    if (view.dims != 3u + (unsigned)first || axis(m, part, first + 2) != b || n * b != t->shape[0])
        return misfit(m, part, t, why);
    if (m->type != LORA_BOFT) return LORA_FITS;
    /* stage i mixes runs of 2^i b rows */
    uint64_t stages = axis(m, part, 0);
    if (b % 2 || stages > 16 || n % (UINT64_C(1) << (stages - 1))) return misfit(m, part, t, why);
    return LORA_FITS;
}

/* A part that has exactly this many values, or is not there. */
static enum lora_fit fit_count(const struct lora_module *m, const struct lora_target *t, enum lora_part part,
                               uint64_t count, char *why)
{
    return m->part[part] && count_of(m, part) != count ? misfit(m, part, t, why) : LORA_FITS;
}

static enum lora_fit fit_type(const struct lora_module *m, const struct lora_target *t, char *why)
{
    static const enum lora_part ia3[] = { LORA_IA3, LORA_ON_INPUT };

    switch (m->type) {
    case LORA_LOW_RANK: return fit_low_rank(m, t, why);
    case LORA_LOHA: return fit_loha(m, t, why);
    case LORA_LOKR: return fit_lokr(m, t, why);
    case LORA_GLORA: return fit_glora(m, t, why);
    case LORA_DIAG_OFT:
    case LORA_BOFT: return fit_oft(m, t, why);
    case LORA_IA3_TYPE:
        if (check_present(m, ia3, 2, why)) return LORA_BROKEN;
        if (count_of(m, LORA_ON_INPUT) != 1) return misfit(m, LORA_ON_INPUT, t, why);
        return count_of(m, LORA_IA3) == t->shape[0] || count_of(m, LORA_IA3) == t->shape[1] ? LORA_FITS
                                                                                         : misfit(m, LORA_IA3, t, why);
    default: return LORA_FITS;
    }
}

enum lora_axis lora_dora_axis(const struct lora_module *m, const struct lora_target *t)
{
    struct stored view;
    uint64_t out = t->shape[0], in = t->shape[1];

    if (lora_module_view(m, LORA_DORA_OUT, &view)) return stored_count(&view) == out ? LORA_AXIS_OUT : LORA_AXIS_NONE;
    if (!lora_module_view(m, LORA_DORA, &view)) return LORA_AXIS_NONE;
    uint64_t count = stored_count(&view);
    if (view.dims >= 2 && view.shape[0] == out && count == out) return LORA_AXIS_OUT;
    if (view.dims >= 2) return view.shape[0] == 1 && view.shape[1] == in && count == in ? LORA_AXIS_IN : LORA_AXIS_NONE;
    if (count == out && out != in) return LORA_AXIS_OUT;
    return count == in ? LORA_AXIS_IN : LORA_AXIS_NONE;
}

enum lora_fit lora_fit(const struct lora_module *m, const struct lora_target *t, char why[LORA_WHY_BYTES])
{
    struct sizes s = sizes_of(t);
    const struct {
        enum lora_part part;
        uint64_t count;
    } counts[] = {
        { LORA_UP_BIAS, s.out },   { LORA_FIXED, s.total }, { LORA_DIFF, s.total }, { LORA_DIFF_B, s.out },
        { LORA_NORM_W, s.total },  { LORA_NORM_B, s.out },  { LORA_SET, s.total },  { LORA_RESCALE, s.out },
    };
    enum lora_fit fit = check_views(m, why);

    if (!fit) fit = fit_type(m, t, why);
    for (size_t i = 0; !fit && i < sizeof counts / sizeof *counts; i++)
        fit = fit_count(m, t, counts[i].part, counts[i].count, why);
    if (fit || !m->dora || lora_dora_axis(m, t)) return fit;
    return misfit(m, m->part[LORA_DORA_OUT] ? LORA_DORA_OUT : LORA_DORA, t, why);
}
