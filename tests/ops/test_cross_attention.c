#include "ops/attention_definition.h"
#include "ops/gemm_definition.h"

struct cross_case {             /* one case; what is zero is absent */
    uint32_t images, queries, keys, heads, head_dim, inputs;       /* images 0 counts as 1; inputs 0: heads head_dim */
    uint32_t flags;             /* OPTEST_BIAS */
    float mean, spread;         /* of x; spread 0 counts as 1 */
};

struct operands {
    struct optest_weight w;
    float *x, *gamma, *beta, *k, *v;
    struct input_row row;
    struct attended at;
};

static const float eps = 1e-5f;

/* The queries of one row and head. Queries are stored between two dispatches, and where matrices multiply them. */
static void take_queries(const struct optest *t, const struct cross_case *c, struct operands *in, uint32_t head)
{
    for (uint32_t i = 0; i < c->head_dim; i++) {
        uint32_t o = head * c->head_dim + i;
        double inputs_off, bias = in->w.bias ? in->w.bias[o] : 0;
        struct dot d = input_row_dot(&in->row, c->inputs, in->w.values + (size_t)o * c->inputs, &inputs_off);

        in->at.q[i] = finish(t, d, c->inputs, bias, fabs(bias), OP_ACT_NONE, &in->at.q_off[i]);
        in->at.q_off[i] += inputs_off + optest_store(t, in->at.q[i]);
    }
}

static void definition(const struct optest *t, const struct cross_case *c, struct operands *in, uint32_t row, double *y,
                       double *tolerance)
{
    uint32_t channels = c->heads * c->head_dim;
    size_t keys = (size_t)(row / c->queries) * c->keys * channels;

    for (uint32_t i = 0; i < c->inputs; i++) in->row.x[i] = in->x[(size_t)row * c->inputs + i];
    input_row_normalise(t, &in->row, c->inputs, in->gamma, in->beta, eps);
    for (uint32_t head = 0; head < c->heads; head++) {
        take_queries(t, c, in, head);
        in->at.k = in->k + keys + head * c->head_dim;
        in->at.v = in->v + keys + head * c->head_dim;
        attend(t, &in->at, y + head * c->head_dim, tolerance + head * c->head_dim);
    }
}

static void compare(struct optest *t, const struct cross_case *c, struct operands *in, const float *got)
{
    uint32_t rows = c->images * c->queries, channels = c->heads * c->head_dim;
    uint32_t samples = optest_samples(rows, ((double)c->inputs + 3.0 * c->keys) * channels);
    size_t count = (size_t)samples * channels;
    double *want = optest_host(t, count * sizeof *want), *tolerance = optest_host(t, count * sizeof *tolerance);
    float *part = optest_host(t, count * sizeof *part);

    optest_all_written(t, got, (size_t)rows * channels);
    for (uint32_t i = 0; i < samples; i++) {
        uint32_t row = optest_sample(t, i, samples, rows);
        size_t at = (size_t)i * channels;
        definition(t, c, in, row, want + at, tolerance + at);
        memcpy(part + at, got + (size_t)row * channels, channels * sizeof *got);
    }
    optest_close(t, part, want, tolerance, samples, channels);
}

static void cross(struct optest *t, struct cross_case c)
{
    uint32_t channels = c.heads * c.head_dim;

    if (!c.images) c.images = 1;
    if (!c.inputs) c.inputs = channels;
    size_t keys = (size_t)c.images * c.keys * channels;
    struct operands in = {
        .w = optest_weight(t, channels, c.inputs, 1, (int)c.flags),
        .x = optest_random(t, (size_t)c.images * c.queries * c.inputs, c.mean, c.spread > 0 ? c.spread : 1),
        .gamma = optest_random_f32(t, c.inputs, 1, 0.5f), .beta = optest_random_f32(t, c.inputs, 0, 1),
        .k = optest_random(t, keys, 0, 1), .v = optest_random(t, keys, 0.25f, 1),
        .row = input_row_of(t, c.inputs), .at = attended_of(t, c.keys, c.head_dim, channels),
    };
    struct norm norm = { optest_vector(t, c.inputs, in.gamma), optest_vector(t, c.inputs, in.beta) };
    struct tensor x = optest_tensor(t, t->dtype, 3, (uint32_t[]) { c.images, c.queries, c.inputs }, in.x);
    struct tensor k = optest_columns(t, t->dtype, 3, (uint32_t[]) { c.images, c.keys, channels }, 8, 3 * channels, in.k);
    struct tensor v = optest_columns(t, t->dtype, 3, (uint32_t[]) { c.images, c.keys, channels }, 8, 3 * channels, in.v);
    struct tensor y = optest_tensor(t, t->dtype, 3, (uint32_t[]) { c.images, c.queries, channels }, NULL);

    op_cross_attention(optest_pass(t), y, x, &norm, eps, &in.w.device, k, v, c.heads);
    optest_run(t);
    compare(t, &c, &in, optest_read(t, y));
}

static void every_level(struct optest *t)
{
    static const uint32_t sizes[] = { 40, 80, 160 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cross(t, (struct cross_case) { .images = 2, .queries = 77, .keys = 77, .heads = 8, .head_dim = sizes[i] });
}

static void every_head_size(struct optest *t)
{
    static const uint32_t sizes[] = { 4, 8, 12, 16, 20, 64, 128, 192, 196, 256 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cross(t, (struct cross_case) { .queries = 33, .keys = 40, .heads = 3, .head_dim = sizes[i] });
}

static void every_length(struct optest *t)
{
    static const uint32_t lengths[] = { 1, 2, 5, 15, 16, 17, 63, 64, 65, 129, 154 };
    enum { COUNT = sizeof lengths / sizeof *lengths };

    for (int i = 0; i < COUNT; i++)
        cross(t, (struct cross_case) { .images = 3, .queries = lengths[i], .keys = lengths[COUNT - 1 - i], .heads = 2, .head_dim = 24 });
}

static void every_width(struct optest *t)        /* of x: not whole steps of 16 or 32 channels, not whole octets */
{
    static const uint32_t inputs[] = { 4, 8, 20, 36, 64, 100, 768 };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        cross(t, (struct cross_case) { .queries = 70, .keys = 77, .heads = 5, .head_dim = 40, .inputs = inputs[i] });
}

static void mean_of_1000(struct optest *t)
{
    cross(t, (struct cross_case) { .queries = 100, .keys = 77, .heads = 8, .head_dim = 40, .mean = 1000 });
}

static void bias(struct optest *t)
{
    cross(t, (struct cross_case) { .queries = 37, .keys = 77, .heads = 2, .head_dim = 40, .flags = OPTEST_BIAS });
}

static struct tensor tokens(struct optest *t, uint32_t images, uint32_t count, uint32_t channels)
{
    return optest_tensor(t, t->dtype, 3, (uint32_t[]) { images, count, channels }, NULL);
}

static void refusals(struct optest *t)
{
    struct optest_weight w = optest_weight(t, 32, 20, 1, 0);
    struct tensor x = tokens(t, 2, 5, 20), y = tokens(t, 2, 5, 32), k = tokens(t, 2, 7, 32), k3 = tokens(t, 3, 7, 32);
    struct norm norm = { optest_vector(t, 20, NULL), optest_vector(t, 20, NULL) };
    struct norm wide = { optest_vector(t, 32, NULL), optest_vector(t, 32, NULL) };

    op_cross_attention(optest_pass(t), y, y, &wide, eps, &w.device, k, k, 4);
    optest_refused(t, "linear: x has 32 channels, the weight takes 20");
    op_cross_attention(optest_pass(t), y, x, &wide, eps, &w.device, k, k, 4);
    optest_refused(t, "layer_norm: gamma and beta must hold 20 values");
    op_cross_attention(optest_pass(t), y, x, &norm, eps, &w.device, k3, k3, 4);
    optest_refused(t, "attention: q is [2, T, 32], k is [3, S, 32]");
    op_cross_attention(optest_pass(t), y, x, &norm, eps, &w.device, k, k, 5);
    optest_refused(t, "attention: 5 heads in 32 channels");
    op_cross_attention(optest_pass(t), y, x, &norm, eps, &w.device, k, k, 0);
    optest_refused(t, "attention: 0 heads in 32 channels");
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "2x77 on 77, 8 heads of 40, 80, 160", every_level },
        { "every head size", every_head_size },
        { "every length", every_length },
        { "every width of x", every_width },
        { "mean of 1000", mean_of_1000 },
        { "a bias", bias },
        { "refusals", refusals },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
