#include "device/cpu/kernels/attention_lanes.h"

#include "device/cpu/kernels/turn.h"

enum {
    MOST_FLOATS = 160 * 1024,      /* queries and sums of an item: their share of the cache */
    MOST_ROWS = 256,
    ITEMS_PER_THREAD = 4,
};

static size_t group_floats(uint32_t head_dim)
{
    return (size_t)LANES * (2 * head_dim + 2);
}

struct cpu_plan CPU_NAME(attention_lanes_plan)(const struct cpu_args *a, const struct lanes_core *core)
{
    const struct attention_params *p = a->params;
    uint32_t heads = p->images * p->heads, wanted = parts(a->threads * ITEMS_PER_THREAD, heads);
    uint32_t groups = MOST_FLOATS / group_floats(p->head_dim);

    groups = least(groups ? groups : 1, MOST_ROWS / LANES);
    while (groups > 1 && parts(p->q_rows, groups * LANES) < wanted) groups--;
    return (struct cpu_plan) {
        .items = heads * parts(p->q_rows, groups * LANES), .rows = groups * LANES, .panels = 1,
        .memory = (core->floats(p->head_dim) + groups * group_floats(p->head_dim)) * sizeof(float),
    };
}

/* to[j][i] = from[i][j] factor[j] of VEC_WIDTH by VEC_WIDTH. */
VEC_INLINE void turn_square(float *to, size_t to_stride, const float *from, size_t from_stride, vec factor)
{
    vec rows[VEC_WIDTH];

    for (int i = 0; i < VEC_WIDTH; i++) rows[i] = vec_load(from + i * from_stride) * factor;
    turn(rows);
    for (int i = 0; i < VEC_WIDTH; i++) vec_store(to + i * to_stride, rows[i]);
}

/* Where the square begins that has channel c as its first, or as one of its last. */
static uint32_t square_at(uint32_t c, uint32_t head_dim)
{
    return least(c, head_dim - VEC_WIDTH);
}

/* The group's queries = q, times scale log2(e). */
static void load_queries(const struct attention_params *p, const struct group *g, const float *q, uint32_t queries)
{
    float scale = p->scale * 1.44269504f;
    uint32_t lane = 0;

    for (; lane + VEC_WIDTH <= queries && VEC_WIDTH <= p->head_dim; lane += VEC_WIDTH)
        for (uint32_t c = 0; c < p->head_dim; c += VEC_WIDTH) {
            uint32_t first = square_at(c, p->head_dim);
            turn_square(g->queries + first * LANES + lane, LANES, q + (size_t)lane * p->q_stride + first, p->q_stride,
                        vec_all(scale));
        }
    for (; lane < LANES; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++)
            g->queries[c * LANES + lane] = lane < queries ? q[(size_t)lane * p->q_stride + c] * scale : 0;
}

static void store_copy(const struct attention_params *p, const struct group *g, const float *inverse, float *y, uint32_t queries)
{
    uint32_t lane = 0;

    for (; lane + VEC_WIDTH <= queries && VEC_WIDTH <= p->head_dim; lane += VEC_WIDTH)
        for (uint32_t c = 0; c < p->head_dim; c += VEC_WIDTH) {
            uint32_t first = square_at(c, p->head_dim);
            turn_square(y + (size_t)lane * p->y_stride + first, p->y_stride, g->sums + first * LANES + lane, LANES,
                        vec_load(inverse + lane));
        }
    for (; lane < queries; lane++)
        for (uint32_t c = 0; c < p->head_dim; c++) y[(size_t)lane * p->y_stride + c] = g->sums[c * LANES + lane] * inverse[lane];
}

static void store_group(const struct attention_params *p, const struct group *g, float *y, uint32_t queries)
{
    float inverse[LANES];

    for (uint32_t i = 0; i < LANES; i += VEC_WIDTH) vec_store(inverse + i, 1.0f / vec_load(g->weight + i));
    for (uint32_t copy = 0; copy < p->copies; copy++) store_copy(p, g, inverse, y + copy * copy_step(p), queries);
}

/* The group of an item that begins with its row `row`. groups: a thread's memory for them. */
static struct group group_at(const struct attention_params *p, const struct head *h, float *groups, uint32_t row)
{
    float *at = groups + row / LANES * group_floats(p->head_dim), *after = at + (size_t)LANES * 2 * p->head_dim;

    return (struct group) { .queries = at, .sums = at + (size_t)LANES * p->head_dim, .base = after, .weight = after + LANES,
                            .first = h->first + row, .vecs = parts(least(h->rows - row, LANES), VEC_WIDTH) };
}

static void begin_group(const struct group *g)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        g->base[lane] = -INFINITY;
        g->weight[lane] = 0;
    }
}

void CPU_NAME(attention_lanes_run)(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, float *memory,
                                   const struct lanes_core *core)
{
    const struct attention_params *p = a->params;
    struct head h = head_of(a, plan, item);
    uint32_t end = p->causal ? least(p->k_rows, h.first + h.rows) : p->k_rows;
    float *groups = memory + core->floats(p->head_dim);

    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(p, &h, groups, row);
        load_queries(p, &g, (const float *)h.q + (size_t)row * p->q_stride, least(h.rows - row, LANES));
        begin_group(&g);
        if (core->turned) core->turned(p, &g);
    }
    for (uint32_t key = 0; key < end; key += KEYS) {
        struct block b = { .k = (const float *)h.k + (size_t)key * p->k_stride, .v = (const float *)h.v + (size_t)key * p->v_stride,
                           .key = key, .keys = least(p->k_rows - key, KEYS) };
        core->begin(p, &b, memory);
        for (uint32_t row = 0; row < h.rows; row += LANES) {
            struct group g = group_at(p, &h, groups, row);
            if (!p->causal || key < g.first + LANES) core->take(p, &b, &g, memory);
        }
    }
    for (uint32_t row = 0; row < h.rows; row += LANES) {
        struct group g = group_at(p, &h, groups, row);
        store_group(p, &g, (float *)h.y + (size_t)row * p->y_stride, least(h.rows - row, LANES));
    }
}
