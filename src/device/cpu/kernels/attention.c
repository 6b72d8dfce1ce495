/* attention on the processor (shaders/attention.h): flash attention with the tile of gemm.
 *
 * An item is a block of queries of one head. Keys and values are taken KEYS at a time and packed for the tile; for each
 * strip of queries the scores are one product, the new values another, with an online softmax between them: a row
 * keeps its largest score, the sum of its weights and its sum of values, all relative to that largest score. */
#include "device/cpu/kernels.h"
#include "device/cpu/kernels/math.h"
#include "device/cpu/kernels/tile.h"

#include <math.h>

#include "attention.h"

enum { KEYS = 128, MOST_DIM = 512, SMALL_DIM = 160 };

struct view {                  /* a thread's working memory */
    float *q;                  /* [queries][dim] times scale */
    float *keys;               /* [KEYS / TILE_COLUMNS][dim][TILE_COLUMNS] */
    float *values;             /* [width / TILE_COLUMNS][KEYS][TILE_COLUMNS] */
    float *scores;             /* [TILE_ROWS][KEYS] */
    float *sums;               /* [queries][width] */
    float *largest, *weight;   /* [queries] */
    uint32_t width;            /* dim rounded up to whole tiles */
};

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static size_t view_cut(struct view *v, uint32_t dim, uint32_t queries, float *memory)
{
    float *at = memory;

    v->width = (dim + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
    v->keys = at, at += (size_t)KEYS * dim;
    v->values = at, at += (size_t)KEYS * v->width;
    v->scores = at, at += TILE_ROWS * KEYS;
    v->sums = at, at += (size_t)queries * v->width;
    v->q = at, at += (size_t)queries * dim;
    v->largest = at, at += queries;
    v->weight = at, at += queries;
    return (size_t)(at - memory) * sizeof *at;
}

static struct cpu_plan plan(const struct cpu_args *a)
{
    static float nowhere[1];
    const struct attention_params *p = a->params;
    struct view v;
    uint32_t most = p->head_dim <= SMALL_DIM ? 192 : 96, blocks = (p->q_rows + most - 1) / most;
    uint32_t rows = (p->q_rows + blocks - 1) / blocks;

    rows = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    blocks = (p->q_rows + rows - 1) / rows;
    return (struct cpu_plan) { .items = blocks * p->images * p->heads, .rows = rows,
                               .memory = view_cut(&v, p->head_dim, rows, nowhere) };
}

static void load_queries(const struct attention_params *p, struct view *v, const float *q, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < p->head_dim; c++)
            v->q[r * p->head_dim + c] = q[(size_t)r * p->q_stride + c] * p->scale;
        v->largest[r] = -INFINITY;
        v->weight[r] = 0;
    }
    memset(v->sums, 0, (size_t)rows * v->width * sizeof *v->sums);
}

static void pack_keys(const struct attention_params *p, struct view *v, const float *k, uint32_t keys)
{
    for (uint32_t j = 0; j < keys; j++) {
        float *to = v->keys + (size_t)(j / TILE_COLUMNS) * p->head_dim * TILE_COLUMNS + j % TILE_COLUMNS;
        for (uint32_t c = 0; c < p->head_dim; c++) to[c * TILE_COLUMNS] = k[(size_t)j * p->k_stride + c];
    }
}

static void pack_values(const struct attention_params *p, struct view *v, const float *values, uint32_t keys)
{
    for (uint32_t j = 0; j < keys; j++)
        for (uint32_t c = 0; c < v->width; c += TILE_COLUMNS) {
            float *to = v->values + (size_t)c * KEYS + j * TILE_COLUMNS;
            uint32_t count = least(p->head_dim - c, TILE_COLUMNS);
            memcpy(to, values + (size_t)j * p->v_stride + c, count * sizeof *to);
            memset(to + count, 0, (TILE_COLUMNS - count) * sizeof *to);
        }
}

/* A row's scores to weights relative to its largest score; what it held before is scaled down to the new one. */
static void soften(struct view *v, uint32_t row, float *scores, uint32_t seen, uint32_t keys)
{
    float largest = v->largest[row], sum = 0;

#pragma omp simd reduction(max : largest)
    for (uint32_t j = 0; j < seen; j++) largest = scores[j] > largest ? scores[j] : largest;
#pragma omp simd reduction(+ : sum)
    for (uint32_t j = 0; j < seen; j++) {
        scores[j] = fast_exp(scores[j] - largest);
        sum += scores[j];
    }
    for (uint32_t j = seen; j < keys; j++) scores[j] = 0;
    if (largest > v->largest[row]) {
        float shrink = fast_exp(v->largest[row] - largest);
        float *sums = v->sums + (size_t)row * v->width;
        for (uint32_t c = 0; c < v->width; c++) sums[c] *= shrink;
        v->weight[row] *= shrink;
        v->largest[row] = largest;
    }
    v->weight[row] += sum;
}

/* rows x keys scores = q keys, or rows x width sums += scores values. */
static void multiply(const struct tile_run *run, const float *panels, size_t panel_size, float *out, uint32_t stride,
                     uint32_t rows, uint32_t columns, bool add)
{
    for (uint32_t c = 0; c < columns; c += TILE_COLUMNS)
        CPU_NAME(tile)(run, 1, panels + c / TILE_COLUMNS * panel_size, out + c, stride, add, rows,
             (least(columns - c, TILE_COLUMNS) + VEC_WIDTH - 1) / VEC_WIDTH);
}

/* Rows [first, end) of the item take in `keys` packed keys; seen[r]: how many of them row r may look at. */
static void take_in(const struct attention_params *p, struct view *v, uint32_t first, uint32_t end, uint32_t keys,
                    const uint32_t *seen)
{
    struct tile_run q = { .length = p->head_dim }, weights = { .length = keys };
    uint32_t rows = end - first;

    for (uint32_t r = 0; r < rows; r++) {
        q.a[r] = v->q + (size_t)(first + r) * p->head_dim;
        weights.a[r] = v->scores + r * KEYS;
    }
    multiply(&q, v->keys, (size_t)p->head_dim * TILE_COLUMNS, v->scores, KEYS, rows, keys, false);
    for (uint32_t r = 0; r < rows; r++) soften(v, first + r, v->scores + r * KEYS, seen[r], keys);
    multiply(&weights, v->values, (size_t)KEYS * TILE_COLUMNS, v->sums + (size_t)first * v->width, v->width, rows,
             p->head_dim, true);
}

static void store(const struct attention_params *p, const struct view *v, float *y, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) {
        float inverse = 1.0f / v->weight[r];
        for (uint32_t c = 0; c < p->head_dim; c++)
            y[(size_t)r * p->y_stride + c] = v->sums[(size_t)r * v->width + c] * inverse;
    }
}

/* How many of the keys [key, key + keys) query i may look at. */
static uint32_t keys_seen(const struct attention_params *p, uint32_t query, uint32_t key, uint32_t keys)
{
    if (!p->causal) return keys;
    return query < key ? 0 : least(keys, query - key + 1);
}

static void run_item(const struct cpu_args *a, const struct cpu_plan *plan, uint32_t item, void *memory)
{
    const struct attention_params *p = a->params;
    uint32_t blocks = (p->q_rows + plan->rows - 1) / plan->rows, head = item / blocks, image = head / p->heads;
    uint32_t first = item % blocks * plan->rows, rows = least(plan->rows, p->q_rows - first);
    size_t column = (size_t)(head % p->heads) * p->head_dim, row = (size_t)image * p->q_rows + first;
    const float *k = (const float *)a->reads[1] + (size_t)image * p->k_rows * p->k_stride + column;
    const float *values = (const float *)a->reads[2] + (size_t)image * p->k_rows * p->v_stride + column;
    uint32_t end = p->causal ? least(p->k_rows, first + rows) : p->k_rows;
    struct view v;

    view_cut(&v, p->head_dim, plan->rows, memory);
    load_queries(p, &v, (const float *)a->reads[0] + row * p->q_stride + column, rows);
    for (uint32_t key = 0; key < end; key += KEYS) {
        uint32_t keys = least(KEYS, p->k_rows - key);
        pack_keys(p, &v, k + (size_t)key * p->k_stride, keys);
        pack_values(p, &v, values + (size_t)key * p->v_stride, keys);
        for (uint32_t s = 0; s < strip_count(rows); s++) {
            uint32_t r = strip_first(rows, s), strip_end = strip_first(rows, s + 1), seen[TILE_ROWS] = { 0 };
            for (uint32_t i = r; i < strip_end; i++) seen[i - r] = keys_seen(p, first + i, key, keys);
            if (seen[strip_end - r - 1]) take_in(p, &v, r, strip_end, keys, seen);
        }
    }
    store(p, &v, (float *)a->writes[0] + row * p->y_stride + column, rows);
}

const struct cpu_kernel CPU_NAME(attention) = { "attention", "f32", false, plan, run_item };
