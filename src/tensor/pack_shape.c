/* What a recipe gives: shapes, sizes and places. */
#include "tensor/pack.h"

#include "tensor/convert.h"

#include <string.h>

enum {
    PANEL = PACK_COLUMNS,
    MOST = 1 << 20,            /* size of an axis, and of K */
};

static bool refuse_part(const struct stored *s, const char *why, struct tinct_err *err)
{
    return tinct_fail(err, TINCT_ERR_FORMAT, "%s: %s: %s", file_path(s->file), s->name, why);
}

static bool check_part(const struct stored *s, struct tinct_err *err)
{
    if (!convert_takes(s->dtype)) return refuse_part(s, "values of this type cannot be read", err);
    for (uint32_t i = 0; i < STORED_DIMS; i++)
        if (s->shape[i] < 1 || s->shape[i] > MOST) return refuse_part(s, "a dimension of 0 or above 2^20", err);
    return true;
}

/* Does a part fit the first one, beside it or below it? */
static bool part_fits(const struct pack_recipe *recipe, const struct stored *part, struct tinct_err *err)
{
    const struct stored *first = &recipe->parts[0];

    if (part->dims != 2 && part->dims != 4) return refuse_part(part, "a weight has 2 or 4 dimensions", err);
    if (recipe->stacked)
        return part->shape[0] == first->shape[0] ||
               refuse_part(part, "its outputs differ from those it is added to", err);
    return !memcmp(part->shape + 1, first->shape + 1, 3 * sizeof *part->shape) ||
           refuse_part(part, "its inputs or kernel differ from those it is joined with", err);
}

/* Rows of K that a part takes; beyond MOST: too many. */
static uint64_t part_inputs(const struct pack_recipe *recipe, const struct stored *part)
{
    uint64_t taps = (uint64_t)part->shape[2] * part->shape[3];
    uint64_t channels = recipe->channels > part->shape[1] ? recipe->channels : part->shape[1];

    return taps > MOST ? taps : taps * channels;
}

struct pack_rows pack_rows(const struct pack_recipe *recipe, uint32_t part)
{
    const struct stored *s = &recipe->parts[part];
    struct pack_rows rows = { .channels = s->shape[1], .taps = s->shape[2] * s->shape[3] };

    rows.pitch = recipe->channels > rows.channels ? recipe->channels : rows.channels;
    for (uint32_t i = 0; recipe->stacked && i < part; i++) rows.first += (uint32_t)part_inputs(recipe, &recipe->parts[i]);
    return rows;
}

bool pack_shape(struct pack_shape *shape, const struct pack_recipe *recipe, struct tinct_err *err)
{
    const struct stored *first = &recipe->parts[0];
    struct pack_shape s = { 0 };
    uint64_t k = 0;

    for (uint32_t i = 0; i < recipe->part_count; i++) {
        const struct stored *part = &recipe->parts[i];
        if (!check_part(part, err) || !part_fits(recipe, part, err)) return false;
        if (i == 0 || !recipe->stacked) s.n += part->shape[0];
        if (i == 0 || recipe->stacked) k += part_inputs(recipe, part);
        if (k > MOST) return refuse_part(part, "more than 2^20 inputs", err);
    }
    if (recipe->geglu && s.n % 8) return refuse_part(first, "a GEGLU's outputs must be a multiple of 8", err);

    s.taps = pack_rows(recipe, 0).taps;
    s.channels = pack_rows(recipe, 0).pitch;
    s.k = (uint32_t)k;
    s.n_padded = (s.n + PANEL - 1) / PANEL * PANEL;
    s.k_padded = (s.k + PACK_K_MULTIPLE - 1) / PACK_K_MULTIPLE * PACK_K_MULTIPLE;
    s.bytes = (size_t)s.n_padded * s.k_padded * sizeof(uint16_t);
    *shape = s;
    return true;
}

uint32_t pack_vector_length(const struct pack_recipe *recipe)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < (recipe->stacked ? 1 : recipe->part_count); i++) n += recipe->parts[i].shape[0];
    return n;
}

bool pack_job_bytes(size_t *bytes, const struct pack_job *job, struct tinct_err *err)
{
    const struct pack_recipe *recipe = &job->recipe;
    struct pack_shape shape;

    if (job->form == PACK_WEIGHT || job->form == PACK_WEIGHT_F32) {
        if (!pack_shape(&shape, recipe, err)) return false;
        uint32_t columns = job->panels ? job->panels * PANEL : shape.n_padded;
        *bytes = (size_t)columns * shape.k_padded * (job->form == PACK_WEIGHT ? 2 : 4);
        return true;
    }
    for (uint32_t i = 0; i < recipe->part_count; i++) {
        if (!check_part(&recipe->parts[i], err)) return false;
        if (job->form == PACK_VECTOR_F32 && recipe->parts[i].dims != 1)
            return refuse_part(&recipe->parts[i], "a vector has 1 dimension", err);
        if (recipe->stacked && recipe->parts[i].shape[0] != recipe->parts[0].shape[0])
            return refuse_part(&recipe->parts[i], "its length differs from that of what it is added to", err);
    }
    if (job->form == PACK_VECTOR_F32) {
        if (recipe->geglu && pack_vector_length(recipe) % 8)
            return refuse_part(&recipe->parts[0], "a GEGLU's outputs must be a multiple of 8", err);
        *bytes = (size_t)(pack_vector_length(recipe) + PANEL - 1) / PANEL * PANEL * sizeof(float);
    } else {
        *bytes = (size_t)stored_count(&recipe->parts[0]) * (job->form == PACK_PLAIN_F16 ? 2 : 4);
    }
    return true;
}

uint32_t pack_source_row(const struct pack_recipe *recipe, uint32_t n, uint32_t column)
{
    if (!recipe->geglu) return column;
    uint32_t value = column / 8 * 4 + column % 4;
    return column % 8 < 4 ? value : n / 2 + value;
}
