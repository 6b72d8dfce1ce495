#include "check.h"
#include "model/merge.h"
#include "model/model.h"
#include "temporary.h"
#include "tensor/convert.h"
#include "tensor_file.h"
#include "tiny_checkpoint.h"

#include <stdlib.h>
#include <unistd.h>

#define UNET "model.diffusion_model."
#define BLOCK "input_blocks.4.1.transformer_blocks.0."
#define TEXT "cond_stage_model.transformer.text_model.encoder.layers.1."
enum { PANEL = 64, MOST_ADAPTERS = 64 };

/* ---- adapters: what a LoRA adds to one tensor, by its values -------------------- */

struct adapter {
    const char *name;
    uint32_t first, rows;              /* rows 0: all */
    uint32_t rank;                     /* 0: a delta */
    float strength;
    bool fails;
    float *up, *down, *delta;          /* [rows, rank], [rank, inputs], [rows, inputs] */
    size_t inputs;
};

static uint64_t random_state;

static float next_random(void)         /* -1 .. 1 */
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1);
}

static float *random_values(size_t count, float size)
{
    float *values = malloc((count + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) values[i] = size * next_random();
    return values;
}

/* A tensor's adapter; rank 0: a dense one. */
static void adapter_make(struct adapter *a, const struct merge *m, const char *name, uint32_t rank, float strength)
{
    struct stored view;

    *a = (struct adapter) { .name = name, .rank = rank, .strength = strength };
    if (!merge_find(m, name, &view)) fail_msg("%s: not found", name);
    a->rows = view.shape[0];
    a->inputs = (size_t)stored_count(&view) / a->rows;
    float size = 1 / sqrtf((float)a->inputs);
    if (rank) {
        a->up = random_values((size_t)a->rows * rank, size);
        a->down = random_values(rank * a->inputs, 0.5f);
    } else {
        a->delta = random_values(a->rows * a->inputs, size * 0.1f);
    }
}

static void adapter_free(struct adapter *a)
{
    free(a->up);
    free(a->down);
    free(a->delta);
}

static bool give_factors(void *user, float *up, float *down, struct tinct_err *err)
{
    const struct adapter *a = user;

    if (a->fails) return tinct_fail(err, TINCT_ERR_IO, "this adapter is gone");
    memcpy(up, a->up, (size_t)a->rows * a->rank * sizeof *up);
    memcpy(down, a->down, a->rank * a->inputs * sizeof *down);
    return true;
}

static bool give_delta(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const struct adapter *a = user;

    assert_null(w0);
    if (a->fails) return tinct_fail(err, TINCT_ERR_IO, "this adapter is gone");
    for (size_t i = 0; i < a->rows * a->inputs; i++) out[i] = a->strength * a->delta[i];
    return true;
}

/* The adapter's index stands for its values. */
static struct merge_term term_of(struct adapter *a, uint64_t index)
{
    uint32_t bits;
    memcpy(&bits, &a->strength, 4);
    return (struct merge_term) { .key = index << 32 | bits, .rank = a->rank, .scale = a->strength, .user = a,
                                 .factors = give_factors, .delta = give_delta };
}

static bool add(struct merge *m, struct adapter *a, uint64_t index, struct tinct_err *err)
{
    struct merge_term term = term_of(a, index);
    return merge_add(m, a->name, a->first, a->rows, &term, err);
}

static void apply(struct merge *m, struct merge_report *report)
{
    struct tinct_err err = { 0 };
    if (!merge_apply(m, report, &err)) fail_msg("%s", err.text);
    assert_true(merge_usable(m, &err));
}

static struct merge_report apply_all(struct merge *m, struct adapter *adapters, uint32_t count)
{
    struct merge_report report;
    struct tinct_err err = { 0 };

    merge_begin(m);
    for (uint32_t i = 0; i < count; i++)
        if (!add(m, &adapters[i], i, &err)) fail_msg("%s", err.text);
    apply(m, &report);
    return report;
}

static struct merge_report remove_all(struct merge *m)
{
    return apply_all(m, NULL, 0);
}

/* ---- the model, and its weights' bytes ------------------------------------------ */

struct fixture {
    struct device *device;
    struct model *model;
    struct merge *merge;
};

static struct fixture fixture_open(const char *device, uint64_t piece_bytes)
{
    struct fixture f = { 0 };
    struct tinct_err err = { 0 };
    struct device_options options = { .name = device, .threads = 2, .validation = true };

    f.device = device_open(&options, &err);
    if (!f.device) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    f.model = model_open(f.device, &(struct model_options) { .path = temporary_path("tiny.safetensors"), .encoder = true, .threads = 2 }, &err);
    if (!f.model) fail_msg("%s", err.text);
    f.merge = merge_create(f.model->weights, &(struct merge_options) { 2, piece_bytes });
    assert_non_null(f.merge);
    random_state = 4711;
    return f;
}

static void fixture_close(struct fixture *f)
{
    merge_free(f->merge);
    model_close(f->model);
    assert_int_equal(device_validation_messages(f->device), 0);
    device_close(f->device);
}

static size_t entry_bytes(const struct weights_entry *e)
{
    size_t bytes;
    assert_true(pack_job_bytes(&bytes, e->job, NULL));
    return bytes;
}

static void *read_entry(const struct weights_entry *e)
{
    struct tinct_err err = { 0 };
    size_t bytes = entry_bytes(e);
    void *raw = malloc(bytes);
    assert_non_null(raw);
    if (!buffer_read(e->place.buffer, e->place.offset, raw, bytes, &err)) fail_msg("%s", err.text);
    return raw;
}

struct snapshot {
    uint32_t count;
    void **bytes;
};

static struct snapshot snapshot_take(const struct weights *ws)
{
    struct snapshot s = { weights_count(ws), malloc(weights_count(ws) * sizeof *s.bytes) };
    assert_non_null(s.bytes);
    for (uint32_t i = 0; i < s.count; i++) {
        struct weights_entry e = weights_entry(ws, i);
        s.bytes[i] = read_entry(&e);
    }
    return s;
}

static void snapshot_free(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->count; i++) free(s->bytes[i]);
    free(s->bytes);
}

/* Gives the number of weights that differ. */
static uint32_t differences(const struct weights *ws, const struct snapshot *s)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct weights_entry e = weights_entry(ws, i);
        void *bytes = read_entry(&e);
        found += memcmp(bytes, s->bytes[i], entry_bytes(&e)) != 0;
        free(bytes);
    }
    return found;
}

/* ---- the definition, in double ---------------------------------------------------- */

/* Values of all parts, one after the other, in the file's order, with what the adapters add. */
static double *merged_values(const struct weights_entry *e, const struct adapter *adapters, uint32_t count)
{
    const struct pack_recipe *r = &e->job->recipe;
    struct tinct_err err = { 0 };
    size_t all = 0, at = 0;

    for (uint32_t p = 0; p < r->part_count; p++) all += (size_t)stored_count(&r->parts[p]);
    double *values = malloc(all * sizeof *values);
    float *w0 = malloc(all * sizeof *w0);
    for (uint32_t p = 0; p < r->part_count; at += stored_count(&r->parts[p++])) {
        if (!stored_read_f32(w0 + at, &r->parts[p], &err)) fail_msg("%s", err.text);
        for (size_t i = 0; i < stored_count(&r->parts[p]); i++) values[at + i] = w0[at + i];
        for (const struct adapter *a = adapters; a < adapters + count; a++) {
            if (strcmp(a->name, e->names[p])) continue;
            for (size_t row = 0; row < a->rows; row++)
                for (size_t i = 0; i < a->inputs; i++) {
                    double sum = a->rank ? 0 : (double)a->delta[row * a->inputs + i];
                    for (size_t k = 0; k < a->rank; k++)
                        sum += (double)a->up[row * a->rank + k] * a->down[k * a->inputs + i];
                    values[at + (a->first + row) * a->inputs + i] += a->strength * sum;
                }
        }
    }
    free(w0);
    return values;
}

/* Half a step of fp16 at v. */
static double half_step(double v)
{
    int exponent;
    frexp(v, &exponent);
    return ldexp(0.5, (exponent < -13 ? -13 : exponent) - 11);
}

/* Every element of the packed weight, padding included. One rounding to fp16: half a step, and 1e-6 for fp32 sums. */
static void check_packed(const struct weights_entry *e, const double *values)
{
    const struct pack_recipe *r = &e->job->recipe;
    struct pack_shape s;
    uint16_t *packed = read_entry(e);
    uint32_t channels = r->parts[0].shape[1];

    assert_true(pack_shape(&s, r, NULL));
    for (uint32_t n = 0; n < s.n_padded; n++)
        for (uint32_t k = 0; k < s.k_padded; k++) {
            uint32_t tap = k / s.channels, channel = k % s.channels, row = n;
            if (r->geglu) row = n % 8 < 4 ? n / 8 * 4 + n % 4 : s.n / 2 + n / 8 * 4 + n % 4;
            uint16_t half = packed[((size_t)(n / PANEL) * s.k_padded + k) * PANEL + n % PANEL];
            if (n >= s.n || k >= s.k || channel >= channels) {
                assert_int_equal(half, 0);
                continue;
            }
            double want = values[((size_t)row * channels + channel) * s.taps + tap];
            double got = (double)convert_f16_to_f32(half);
            if (!(fabs(got - want) <= half_step(want) + 1e-6 * (1 + fabs(want))))
                fail_msg("%s: column %u, row %u: got %.8g, want %.8g", e->names[0], n, k, got, want);
        }
    free(packed);
}

static void check_vector(const struct weights_entry *e, const double *values)
{
    const struct pack_recipe *r = &e->job->recipe;
    float *got = read_entry(e);
    uint32_t n = e->place.shape[0];

    for (uint32_t c = 0; c < n; c++) {
        uint32_t row = !r->geglu ? c : c % 8 < 4 ? c / 8 * 4 + c % 4 : n / 2 + c / 8 * 4 + c % 4;
        if (fabs((double)got[c] - values[row]) > 1e-6 * (1 + fabs(values[row])))
            fail_msg("%s: %u: got %.8g, want %.8g", e->names[0], c, (double)got[c], values[row]);
    }
    free(got);
}

static void check_all(const struct weights *ws, const struct adapter *adapters, uint32_t count)
{
    for (uint32_t i = 0; i < weights_count(ws); i++) {
        struct weights_entry e = weights_entry(ws, i);
        double *values = merged_values(&e, adapters, count);
        if (e.job->form == PACK_WEIGHT) check_packed(&e, values);
        else check_vector(&e, values);
        free(values);
    }
}

/* ---- tests --------------------------------------------------------------------------- */

static const struct { const char *name; uint32_t rank; } kinds[] = {
    { UNET BLOCK "ff.net.0.proj.weight", 8 },                       /* GEGLU */
    { UNET BLOCK "ff.net.0.proj.bias", 0 },
    { UNET BLOCK "ff.net.2.weight", 0 },
    { UNET BLOCK "attn1.to_q.weight", 4 },                          /* fused: two of three */
    { UNET BLOCK "attn1.to_v.weight", 16 },
    { UNET BLOCK "attn2.to_k.weight", 5 },                          /* fused, of the text */
    { UNET BLOCK "attn2.to_v.weight", 3 },
    { UNET BLOCK "attn2.to_out.0.bias", 0 },
    { UNET BLOCK "norm1.weight", 0 },
    { UNET "input_blocks.0.0.weight", 2 },                          /* 4 channels */
    { UNET "input_blocks.4.0.in_layers.2.weight", 8 },              /* 3x3 */
    { UNET "input_blocks.4.0.skip_connection.weight", 8 },          /* 1x1 */
    { UNET "input_blocks.4.0.emb_layers.1.weight", 1 },
    { UNET "input_blocks.3.0.op.weight", 6 },                       /* down */
    { UNET "output_blocks.2.1.conv.weight", 7 },                    /* up */
    { UNET "output_blocks.2.1.conv.weight", 0 },                    /* and a delta on the same */
    { UNET "output_blocks.2.1.conv.weight", 4 },
    { UNET "output_blocks.3.1.proj_in.weight", 4 },
    { UNET "time_embed.0.weight", 4 },
    { UNET "out.2.weight", 4 },                                     /* 4 outputs */
    { TEXT "self_attn.k_proj.weight", 4 },
    { TEXT "self_attn.k_proj.bias", 0 },
    { TEXT "mlp.fc1.weight", 0 },
    { "first_stage_model.encoder.conv_in.weight", 2 },              /* 3 channels, padded */
    { "first_stage_model.decoder.conv_out.weight", 2 },             /* 3 outputs, padded */
    { "first_stage_model.decoder.mid.attn_1.q.weight", 2 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void make_kinds(struct adapter *adapters, const struct merge *m)
{
    for (uint32_t i = 0; i < KINDS; i++)
        adapter_make(&adapters[i], m, kinds[i].name, kinds[i].rank, 0.25f + 0.125f * (float)i);
}

static void free_adapters(struct adapter *adapters, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) adapter_free(&adapters[i]);
}

static void every_kind_of_weight(void **state)
{
    struct fixture f = fixture_open("cpu", 0);
    struct snapshot pristine = snapshot_take(f.model->weights);
    struct adapter adapters[KINDS];

    (void)state;
    make_kinds(adapters, f.merge);
    struct merge_report report = apply_all(f.merge, adapters, KINDS);
    assert_int_equal(report.rebuilt, KINDS - 4);       /* q and v are one weight, k and v too; three on one convolution */
    assert_int_equal(differences(f.model->weights, &pristine), report.rebuilt);
    check_all(f.model->weights, adapters, KINDS);

    report = apply_all(f.merge, adapters, KINDS);      /* the same again: nothing to do */
    assert_true(report.rebuilt == 0 && report.restored == 0);
    report = apply_all(f.merge, adapters, KINDS - 1);
    assert_true(report.rebuilt == 0 && report.restored == 1);
    adapters[0].strength = 0.5f;
    report = apply_all(f.merge, adapters, KINDS - 1);
    assert_true(report.rebuilt == 1 && report.restored == 0);
    check_all(f.model->weights, adapters, KINDS - 1);

    report = remove_all(f.merge);
    assert_true(report.rebuilt == 0 && report.restored == KINDS - 5);
    assert_int_equal(differences(f.model->weights, &pristine), 0);
    free_adapters(adapters, KINDS);
    snapshot_free(&pristine);
    fixture_close(&f);
}

static void shuffle(struct adapter **list, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)((next_random() * 0.499f + 0.5f) * (float)i);
        struct adapter *swapped = list[i - 1];
        list[i - 1] = list[j];
        list[j] = swapped;
    }
}

/* Random subsets in random order and strengths; each gives the bits that it gives on a fresh model. */
static void fifty_changes_and_none_is_left(void **state)
{
    struct fixture f = fixture_open("cpu", 0), fresh = fixture_open("cpu", 0);
    struct snapshot pristine = snapshot_take(f.model->weights);
    struct adapter adapters[KINDS], *order[KINDS];
    struct tinct_err err = { 0 };

    (void)state;
    make_kinds(adapters, f.merge);
    for (uint32_t i = 0; i < KINDS; i++) order[i] = &adapters[i];
    for (int change = 0; change < 50; change++) {
        uint32_t count = (uint32_t)((next_random() * 0.499f + 0.5f) * KINDS);
        shuffle(order, KINDS);
        merge_begin(f.merge);
        for (uint32_t i = 0; i < count; i++) {
            if (next_random() > 0) order[i]->strength = next_random();
            assert_true(add(f.merge, order[i], (uint64_t)(order[i] - adapters), &err));
        }
        apply(f.merge, NULL);
        if (change % 16 != 7) continue;
        remove_all(fresh.merge);
        merge_begin(fresh.merge);
        for (uint32_t i = count; i--;) assert_true(add(fresh.merge, order[i], (uint64_t)(order[i] - adapters), &err));
        apply(fresh.merge, NULL);
        struct snapshot again = snapshot_take(fresh.model->weights);
        assert_int_equal(differences(f.model->weights, &again), 0);
        snapshot_free(&again);
    }
    remove_all(f.merge);
    assert_int_equal(differences(f.model->weights, &pristine), 0);
    free_adapters(adapters, KINDS);
    snapshot_free(&pristine);
    fixture_close(&fresh);
    fixture_close(&f);
}

static void small_pieces_give_the_same_bits(void **state)
{
    static const uint64_t pieces[] = { 1, 100000 };
    struct fixture f = fixture_open("cpu", 0);
    struct adapter adapters[KINDS];

    (void)state;
    make_kinds(adapters, f.merge);
    apply_all(f.merge, adapters, KINDS);
    struct snapshot whole = snapshot_take(f.model->weights);
    for (int i = 0; i < 2; i++) {
        struct fixture cut = fixture_open("cpu", pieces[i]);
        apply_all(cut.merge, adapters, KINDS);
        assert_int_equal(differences(cut.model->weights, &whole), 0);
        fixture_close(&cut);
    }
    free_adapters(adapters, KINDS);
    snapshot_free(&whole);
    fixture_close(&f);
}

/* Halves as integers that count steps. */
static int steps(uint16_t half)
{
    return half & 0x8000 ? -(half & 0x7fff) : half;
}

static void vulkan_within_one_step(void **state)
{
    struct fixture v = fixture_open("llvmpipe", 0), f = fixture_open("cpu", 0);
    struct snapshot pristine = snapshot_take(v.model->weights);
    struct adapter adapters[KINDS];
    uint32_t apart = 0;

    (void)state;
    assert_int_equal(differences(f.model->weights, &pristine), 0);
    make_kinds(adapters, f.merge);
    apply_all(f.merge, adapters, KINDS);
    apply_all(v.merge, adapters, KINDS);
    struct snapshot s = snapshot_take(v.model->weights);
    for (uint32_t i = 0; i < s.count; i++) {
        struct weights_entry e = weights_entry(f.model->weights, i);
        uint16_t *got = s.bytes[i], *want = read_entry(&e);
        if (e.job->form != PACK_WEIGHT) assert_memory_equal(got, want, entry_bytes(&e));
        for (size_t j = 0; e.job->form == PACK_WEIGHT && j < entry_bytes(&e) / 2; j++) {
            int difference = abs(steps(got[j]) - steps(want[j]));
            if (difference > 1) fail_msg("%s: element %zu: %04x, on the processor %04x", e.names[0], j, got[j], want[j]);
            apart += (uint32_t)difference;
        }
        free(want);
    }
    print_message("# %u values one step apart\n", apart);
    remove_all(v.merge);
    assert_int_equal(differences(v.model->weights, &pristine), 0);
    free_adapters(adapters, KINDS);
    snapshot_free(&s);
    snapshot_free(&pristine);
    fixture_close(&f);
    fixture_close(&v);
}

static void refusals(void **state)
{
    struct fixture f = fixture_open("cpu", 1);             /* a weight after the other */
    struct snapshot pristine = snapshot_take(f.model->weights);
    struct adapter adapters[2];
    struct tinct_err err = { 0 };
    struct merge_term term = { .rank = 4 };

    (void)state;
    merge_begin(f.merge);
    check_refused(merge_add(f.merge, UNET "nothing.weight", 0, 0, &term, &err), &err, TINCT_ERR_ARG,
                  "holds no weight of this name");
    check_refused(merge_add(f.merge, UNET "out.2.weight", 3, 2, &term, &err), &err, TINCT_ERR_ARG, "rows 3 to 5 of 4");
    check_refused(merge_add(f.merge, UNET "out.2.bias", 0, 0, &term, &err), &err, TINCT_ERR_ARG, "not factors");

    /* What fails first leaves all as it was. */
    adapter_make(&adapters[0], f.merge, UNET "time_embed.0.weight", 4, 1);
    adapters[0].fails = true;
    assert_true(add(f.merge, &adapters[0], 0, &err));
    check_refused(merge_apply(f.merge, NULL, &err), &err, TINCT_ERR_IO, "this adapter is gone");
    assert_true(merge_usable(f.merge, &err));
    assert_int_equal(differences(f.model->weights, &pristine), 0);

    /* What fails later is told until an apply succeeds. */
    adapters[0].fails = false;
    adapter_make(&adapters[1], f.merge, UNET "out.2.weight", 4, 1);
    adapters[1].fails = true;
    merge_begin(f.merge);
    assert_true(add(f.merge, &adapters[0], 0, &err) && add(f.merge, &adapters[1], 1, &err));
    check_refused(merge_apply(f.merge, NULL, &err), &err, TINCT_ERR_IO, "this adapter is gone");
    check_refused(merge_usable(f.merge, &err), &err, TINCT_ERR_INTERNAL, "failed half-way");
    adapters[1].fails = false;
    apply_all(f.merge, adapters, 2);
    check_all(f.model->weights, adapters, 2);

    /* Beyond fp16. */
    adapters[1].strength = 1e7f;
    merge_begin(f.merge);
    assert_true(add(f.merge, &adapters[0], 0, &err) && add(f.merge, &adapters[1], 1, &err));
    check_refused(merge_apply(f.merge, NULL, &err), &err, TINCT_ERR_FORMAT, UNET "out.2.weight: with these LoRAs");
    assert_false(merge_usable(f.merge, &err));
    remove_all(f.merge);
    assert_int_equal(differences(f.model->weights, &pristine), 0);

    free_adapters(adapters, 2);
    snapshot_free(&pristine);
    fixture_close(&f);
}

/* ---- other files than fp16 ------------------------------------------------------------ */

static void write_mixed(const char *path)
{
    static const struct { const char *name; enum dtype type; uint32_t dims, shape[4]; } tensors[] = {
        { "a.to_q.weight", DTYPE_F16, 2, { 72, 40 } },   { "a.to_k.weight", DTYPE_F32, 2, { 72, 40 } },
        { "a.to_v.weight", DTYPE_BF16, 2, { 72, 40 } },  { "wide.q.weight", DTYPE_F32, 2, { 128, 40 } },
        { "wide.k.weight", DTYPE_F32, 2, { 128, 40 } },  { "wide.v.weight", DTYPE_F32, 2, { 128, 40 } },
        { "g.weight", DTYPE_BF16, 2, { 80, 24 } },       { "g.bias", DTYPE_F32, 1, { 80 } },
        { "c.weight", DTYPE_F32, 4, { 70, 6, 3, 3 } },   { "c.bias", DTYPE_BF16, 1, { 70 } },
    };
    struct tensor_file file;

    random_state = 99;
    tensor_file_begin(&file);
    for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++) {
        size_t count = 1;
        for (uint32_t d = 0; d < tensors[t].dims; d++) count *= tensors[t].shape[d];
        void *raw = tensor_file_add(&file, tensors[t].name, tensors[t].type, tensors[t].dims, tensors[t].shape);
        for (size_t i = 0; i < count; i++) {
            float v = next_random();
            uint32_t bits;
            memcpy(&bits, &v, 4);
            if (tensors[t].type == DTYPE_F32) ((float *)raw)[i] = v;
            else ((uint16_t *)raw)[i] = tensors[t].type == DTYPE_F16 ? convert_f32_to_f16(v) : (uint16_t)(bits >> 16);
        }
    }
    assert_true(tensor_file_save(&file, path));
    tensor_file_free(&file);
}

struct mixed {
    struct device *device;
    struct checkpoint *checkpoint;
    struct weights *ws;
    struct merge *merge;
    struct weight qkv, wide, g, c;
};

static void mixed_open(struct mixed *f, const char *path)
{
    struct tinct_err err = { 0 };

    write_mixed(path);
    f->device = device_open(&(struct device_options) { .name = "cpu", .threads = 2 }, &err);
    f->checkpoint = checkpoint_open(path, NULL, &err);
    assert_true(f->device && f->checkpoint);
    f->ws = weights_create(f->device, f->checkpoint);
    want_linears(f->ws, &f->qkv, 72, 40, WANT_NO_BIAS, "to_q,to_k,to_v", "a");
    want_linears(f->ws, &f->wide, 128, 40, WANT_NO_BIAS, "q,k,v", "wide");
    want_linear(f->ws, &f->g, 80, 24, WANT_GEGLU, "g");
    want_conv(f->ws, &f->c, 70, 6, 3, "c");
    if (!weights_load(f->ws, 2, &err)) fail_msg("%s", err.text);
    f->merge = merge_create(f->ws, &(struct merge_options) { .threads = 2 });
    assert_non_null(f->merge);
}

static void mixed_close(struct mixed *f)
{
    merge_free(f->merge);
    weights_free(f->ws);
    checkpoint_close(f->checkpoint);
    device_close(f->device);
}

/* Rounded once, from what the file holds: were W0 rounded first, a third of the values would be off by more than half
 * a step. One adapter takes some rows of a tensor. */
static void fp32_and_bf16_files(void **state)
{
    static const char *const names[] = { "a.to_k.weight", "a.to_v.weight", "wide.k.weight", "g.weight", "c.weight" };
    struct mixed f;
    struct adapter adapters[8];
    uint32_t count = 0;

    (void)state;
    mixed_open(&f, temporary_path("mixed.safetensors"));
    struct snapshot pristine = snapshot_take(f.ws);
    for (int i = 0; i < 5; i++) adapter_make(&adapters[count++], f.merge, names[i], 3 + (uint32_t)i, 0.5f);
    adapters[0].first = 13;
    adapters[0].rows = 40;
    adapter_make(&adapters[count++], f.merge, "a.to_q.weight", 0, 1);
    adapter_make(&adapters[count++], f.merge, "g.bias", 0, 1);
    adapter_make(&adapters[count++], f.merge, "c.bias", 0, 1);
    struct merge_report report = apply_all(f.merge, adapters, count);
    assert_int_equal(report.rebuilt, 6);
    check_all(f.ws, adapters, count);
    remove_all(f.merge);
    assert_int_equal(differences(f.ws, &pristine), 0);
    free_adapters(adapters, count);
    snapshot_free(&pristine);
    mixed_close(&f);
}

static void a_changed_file_is_refused_before_anything(void **state)
{
    struct mixed f;
    struct adapter a;
    struct tinct_err err = { 0 };
    const char *path = temporary_path("changed.safetensors");

    (void)state;
    mixed_open(&f, path);
    struct snapshot pristine = snapshot_take(f.ws);
    adapter_make(&a, f.merge, "g.weight", 4, 1);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    fputc(0, file);
    fclose(file);
    merge_begin(f.merge);
    assert_true(add(f.merge, &a, 0, &err));
    check_refused(merge_apply(f.merge, NULL, &err), &err, TINCT_ERR_IO, "changed");
    assert_true(merge_usable(f.merge, &err));
    assert_int_equal(differences(f.ws, &pristine), 0);
    adapter_free(&a);
    snapshot_free(&pristine);
    mixed_close(&f);
}

static int make_model(void **state)
{
    return temporary_make(state) ||
           !tiny_checkpoint_write(TESTS_DIR "/parity/sd15_tensors.tsv", temporary_path("tiny.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_weight),
        cmocka_unit_test(fifty_changes_and_none_is_left),
        cmocka_unit_test(small_pieces_give_the_same_bits),
        cmocka_unit_test(vulkan_within_one_step),
        cmocka_unit_test(refusals),
        cmocka_unit_test(fp32_and_bf16_files),
        cmocka_unit_test(a_changed_file_is_refused_before_anything),
    };
    return cmocka_run_group_tests(tests, make_model, temporary_remove);
}
