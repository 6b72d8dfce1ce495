#include "lora/delta.h"

#include "lora/fit.h"
#include "lora/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool lora_changes_weight(const struct lora_module *m)
{
    switch (m->type) {
    case LORA_NONE: return false;
    case LORA_FULL: return lora_module_has(m, LORA_DIFF);
    case LORA_NORM: return lora_module_has(m, LORA_NORM_W);
    default: return true;
    }
}

bool lora_changes_bias(const struct lora_module *m)
{
    return lora_module_has(m, LORA_UP_BIAS) || lora_module_has(m, LORA_DIFF_B) || lora_module_has(m, LORA_NORM_B);
}

bool lora_needs_weight(const struct lora_module *m)
{
    switch (m->type) {
    case LORA_GLORA:
    case LORA_IA3_TYPE:
    case LORA_SET_TYPE:
    case LORA_DIAG_OFT:
    case LORA_BOFT: return true;
    default: return m->dora;
    }
}

static bool no_memory(const struct lora_module *m, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_MEMORY, "%s: %s: no memory for its delta", lora_path(m->file), m->name);
}

/* ---- types that go element by element ----------------------------------- */

/* w0 times w of its column (on_input) or of its row. False where w has another length than that. */
static bool delta_ia3(float *delta, const struct lora_module *m, const struct lora_parts *p, const float *w0)
{
    struct lora_sizes s = lora_sizes(m->target);
    bool on_input = p->value[LORA_ON_INPUT][0] > 0.5f;
    struct stored view;

    if (!lora_module_view(m, LORA_IA3, &view) || stored_count(&view) != (on_input ? s.in : s.out)) return false;
    for (size_t i = 0; i < s.total; i++)
        delta[i] = w0[i] * p->value[LORA_IA3][on_input ? i / s.taps % s.in : i / (s.in * s.taps)];
    return true;
}

static void delta_of_values(float *delta, const float *values, const float *minus, size_t count)
{
    for (size_t i = 0; i < count; i++) delta[i] = minus ? values[i] - minus[i] : values[i];
}

/* ---- DoRA --------------------------------------------------------------- */

/* Lengths of V = w0 + delta over one axis; scale [out] or [in] becomes magnitude / length. */
static void dora_scales(double *scale, const float *magnitude, const float *delta, const float *w0,
                        struct lora_sizes s, enum lora_axis axis)
{
    static const double eps = 1.1920929e-7; /* of fp32, as LyCORIS adds it */
    size_t count = axis == LORA_AXIS_OUT ? s.out : s.in;

    memset(scale, 0, count * sizeof *scale);
    for (size_t i = 0; i < s.total; i++) {
        double v = (double)w0[i] + (double)delta[i];
        scale[axis == LORA_AXIS_OUT ? i / (s.in * s.taps) : i / s.taps % s.in] += v * v;
    }
    for (size_t i = 0; i < count; i++) scale[i] = (double)magnitude[i] / (sqrt(scale[i]) + eps);
}

/* delta of the factors becomes m V / |V| - w0. */
static bool decompose(float *delta, const struct lora_module *m, const struct lora_parts *p, const float *w0)
{
    struct lora_sizes s = lora_sizes(m->target);
    enum lora_axis axis = lora_dora_axis(m, m->target);
    const float *magnitude = p->value[LORA_DORA_OUT] ? p->value[LORA_DORA_OUT] : p->value[LORA_DORA];
    double *scale = malloc((axis == LORA_AXIS_OUT ? s.out : s.in) * sizeof *scale);

    if (!scale) return false;
    dora_scales(scale, magnitude, delta, w0, s, axis);
    for (size_t i = 0; i < s.total; i++) {
        double v = (double)w0[i] + (double)delta[i];
        delta[i] = (float)(scale[axis == LORA_AXIS_OUT ? i / (s.in * s.taps) : i / s.taps % s.in] * v - (double)w0[i]);
    }
    free(scale);
    return true;
}

/* ---- all ---------------------------------------------------------------- */

/* At strength 1, but for the types that take it themselves. */
static bool delta_of_type(float *delta, const struct lora_module *m, const struct lora_parts *p, struct lora_use use,
                          const float *w0)
{
    struct lora_sizes s = lora_sizes(m->target);

    switch (m->type) {
    case LORA_LOW_RANK: return lora_delta_low_rank(delta, m, p, use.keep);
    case LORA_LOHA: return lora_delta_loha(delta, m, p);
    case LORA_LOKR: return lora_delta_lokr(delta, m, p);
    case LORA_GLORA: return lora_delta_glora(delta, m, p, w0);
    case LORA_DIAG_OFT:
    case LORA_BOFT: return lora_delta_oft(delta, m, p, (double)use.strength, w0);
    case LORA_IA3_TYPE: return delta_ia3(delta, m, p, w0);
    case LORA_FULL: delta_of_values(delta, p->value[LORA_DIFF], NULL, s.total); return true;
    case LORA_NORM: delta_of_values(delta, p->value[LORA_NORM_W], NULL, s.total); return true;
    case LORA_SET_TYPE: delta_of_values(delta, p->value[LORA_SET], w0, s.total); return true;
    default: return false;
    }
}

static bool takes_strength(const struct lora_module *m)
{
    return m->type == LORA_DIAG_OFT || m->type == LORA_BOFT || m->type == LORA_SET_TYPE;
}

/* Multiplied by the strength; refused where a value is none. */
static bool finish(float *values, size_t count, float strength, const struct lora_module *m, struct tinct_err *err)
{
    float check = 0;

    for (size_t i = 0; i < count; i++) {
        values[i] *= strength;
        check += values[i] * 0; /* NaN and Inf stay */
    }
    if (check == 0) return true;
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: its change of the weight is NaN or Inf at strength %g",
                      lora_path(m->file), m->name, (double)strength);
}

bool lora_delta(float *delta, const struct lora_module *m, struct lora_use use, const float *w0,
                struct tinct_err *err)
{
    size_t total = lora_sizes(m->target).total;
    bool still = !(use.strength < 0 || use.strength > 0) || !lora_changes_weight(m);
    struct lora_parts parts;

    if (still) {
        memset(delta, 0, total * sizeof *delta);
        return true;
    }
    if (!lora_parts_read(&parts, m, err)) return false;
    bool ok = delta_of_type(delta, m, &parts, use, w0) && (!m->dora || decompose(delta, m, &parts, w0));
    lora_parts_free(&parts);
    if (!ok && m->type == LORA_IA3_TYPE)
        return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: its values are neither one a column nor one a row",
                          lora_path(m->file), m->name);
    return ok ? finish(delta, total, takes_strength(m) ? 1 : use.strength, m, err) : no_memory(m, err);
}

bool lora_bias_delta(float *delta, const struct lora_module *m, struct lora_use use, struct tinct_err *err)
{
    static const enum lora_part parts[] = { LORA_UP_BIAS, LORA_DIFF_B, LORA_NORM_B };
    size_t out = m->target->shape[0];
    float *values = malloc(out * sizeof *values);
    bool ok = values || no_memory(m, err);

    memset(delta, 0, out * sizeof *delta);
    for (size_t i = 0; ok && i < sizeof parts / sizeof *parts; i++) {
        struct stored view;
        if (!lora_module_view(m, parts[i], &view)) continue;
        if (!(ok = stored_read_f32(values, &view, err))) break;
        double scale = parts[i] == LORA_UP_BIAS ? m->scale : 1;
        for (size_t c = 0; c < out; c++) delta[c] += (float)(scale * (double)values[c]);
    }
    free(values);
    return ok && finish(delta, out, use.strength, m, err);
}

/* ---- factors ------------------------------------------------------------ */

uint32_t lora_factor_rank(const struct lora_module *m, struct lora_use use)
{
    if (m->type != LORA_LOW_RANK || m->dora || lora_module_has(m, LORA_FIXED)) return 0;
    if (lora_module_has(m, LORA_MID)) return lora_axis_size(m, LORA_UP, 1);
    return use.keep && use.keep < m->rank ? use.keep : m->rank;
}

bool lora_factors(float *up, size_t row_stride, float *down, const struct lora_module *m, struct lora_use use,
                  struct tinct_err *err)
{
    struct lora_sizes s = lora_sizes(m->target);
    size_t rank = lora_factor_rank(m, use), stored_rank = lora_axis_size(m, LORA_UP, 1);
    struct lora_parts parts;

    if (!lora_parts_read(&parts, m, err)) return false;
    for (size_t o = 0; o < s.out; o++)
        memcpy(up + o * row_stride, parts.value[LORA_UP] + o * stored_rank, rank * sizeof *up);
    if (parts.value[LORA_MID])
        lora_spread(down, parts.value[LORA_MID], parts.value[LORA_DOWN], rank, m->rank, s.in, s.taps);
    else
        memcpy(down, parts.value[LORA_DOWN], rank * s.in * s.taps * sizeof *down);
    lora_parts_free(&parts);
    return true;
}
