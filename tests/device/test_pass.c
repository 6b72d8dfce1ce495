/* What passes promise on every device: order, scratch memory, replay, refusals, and the same bytes every time. */
#include <stdlib.h>

#include "ops/optest.h"

static void an_empty_pass_runs(struct optest *t)
{
    optest_pass(t);
    assert_int_equal(pass_dispatches(t->pass), 0);
    optest_run(t);
    optest_run(t);
}

static void it_runs_only_when_ended(struct optest *t)
{
    struct tinct_err err = { 0 };
    bool ok = pass_run(optest_pass(t), &err);
    check_refused(ok, &err, TINCT_ERR_INTERNAL, "a pass is run before it was recorded");
}

static void no_pass_is_taken_everywhere(struct optest *t)
{
    struct tinct_err err = { 0 };

    (void)t;
    assert_true(pass_failed(NULL));
    assert_null(pass_device(NULL));
    assert_null(scratch_take(NULL, 100).buffer);
    assert_int_equal(scratch_mark(NULL), 0);
    scratch_release(NULL, 0);
    pass_label(NULL, "nothing");
    pass_dispatch(NULL, &(struct dispatch) { .kernel = "layer_norm", .variant = "f32" });
    assert_int_equal(pass_dispatches(NULL), 0);
    pass_free(NULL);
    check_refused(pass_end(NULL, &err), &err, TINCT_ERR_MEMORY, "no memory for a pass");
}

/* ---- scratch ------------------------------------------------------------ */

static void scratch_is_a_stack(struct optest *t)
{
    struct pass *pass = optest_pass(t);
    struct span a = scratch_take(pass, 100), b = scratch_take(pass, 300);
    size_t mark = scratch_mark(pass);
    struct span c = scratch_take(pass, 1000);

    assert_int_equal(a.offset, 0);
    assert_int_equal(b.offset, SPAN_ALIGN);
    assert_int_equal(c.offset, 3 * SPAN_ALIGN);
    assert_int_equal(c.size, 1000);
    assert_int_equal(pass_scratch_bytes(pass), 7 * SPAN_ALIGN);
    scratch_release(pass, mark);
    assert_int_equal(scratch_take(pass, 8).offset, c.offset);
    assert_int_equal(pass_scratch_bytes(pass), 7 * SPAN_ALIGN);      /* the peak stays */
    optest_run(t);
}

static void missing_memory_is_told(struct optest *t)
{
    struct tinct_err err = { 0 };
    uint64_t beyond = device_memory_free(t->device) + ((uint64_t)4 << 30);

    assert_non_null(scratch_take(optest_pass(t), beyond).buffer);
    check_refused(pass_end(t->pass, &err), &err, TINCT_ERR_MEMORY, "MiB missing");
    optest_pass(t);                          /* and the device goes on */
    optest_run(t);
}

static void scratch_of_any_size_is_refused_or_held(struct optest *t)
{
    scratch_take(optest_pass(t), UINT64_MAX - 100);
    optest_refused(t, "scratch of 18446744073709551515 bytes");
}

/* ---- failures ----------------------------------------------------------- */

struct rows {                    /* [8, 64] and a norm for it */
    struct tensor x, y;
    struct norm norm;
};

static struct rows small_rows(struct optest *t)
{
    const uint32_t shape[] = { 8, 64 };
    struct norm norm = { optest_vector(t, 64, optest_random_f32(t, 64, 1, 0.5f)),
                         optest_vector(t, 64, optest_random_f32(t, 64, 0, 1)) };
    return (struct rows) { optest_tensor(t, t->dtype, 2, shape, optest_random(t, 512, 0, 1)),
                           optest_tensor(t, t->dtype, 2, shape, NULL), norm };
}

static void the_first_failure_stays(struct optest *t)
{
    struct rows r = small_rows(t);
    struct pass *pass = optest_pass(t);

    op_layer_norm(pass, r.y, r.x, &r.norm, 1e-5f);
    assert_int_equal(pass_dispatches(pass), 1);
    assert_false(pass_failed(pass));
    assert_true(pass_expect(pass, true, "not this"));
    assert_false(pass_expect(pass, false, "the first, with %d", 7));
    assert_false(pass_expect(pass, false, "the second"));
    assert_true(pass_failed(pass));
    op_layer_norm(pass, r.y, r.x, &r.norm, 1e-5f);
    assert_int_equal(pass_dispatches(pass), 1);
    assert_null(scratch_take(pass, 100).buffer);
    optest_refused(t, "the first, with 7");
}

static void operands_outside_their_buffer_are_refused(struct optest *t)
{
    struct rows r = small_rows(t);
    struct tensor late = r.x, behind = r.x, far = r.x;

    late.offset = buffer_size(r.x.buffer) - tensor_bytes(r.x) + 16;
    op_layer_norm(optest_pass(t), r.y, late, &r.norm, 1e-5f);
    optest_refused(t, "layer_norm: operand 0 lies outside its buffer");
    behind.offset = buffer_size(r.y.buffer);
    behind.buffer = r.y.buffer;
    op_layer_norm(optest_pass(t), behind, r.x, &r.norm, 1e-5f);
    optest_refused(t, "layer_norm: operand 0 lies outside its buffer");
    far.offset = UINT64_MAX - 15;            /* offset + size overflows */
    op_layer_norm(optest_pass(t), r.y, far, &r.norm, 1e-5f);
    optest_refused(t, "layer_norm: operand 0 lies outside its buffer");

    struct pass *pass = optest_pass(t);      /* scratch has its end too */
    struct span s = scratch_take(pass, tensor_bytes(r.x));
    struct tensor beyond = tensor_at((struct tensor) { .buffer = s.buffer, .offset = s.offset + SPAN_ALIGN }, r.x);
    op_layer_norm(pass, beyond, r.x, &r.norm, 1e-5f);
    optest_refused(t, "layer_norm: operand 0 lies outside its buffer");
}

static void unknown_kernels_are_refused(struct optest *t)
{
    unsigned char params[DISPATCH_PARAMS_BYTES + 4] = { 0 };

    pass_dispatch(optest_pass(t), &(struct dispatch) { .kernel = "fold_paper", .variant = "f32" });
    optest_refused(t, "has no kernel fold_paper for f32");
    pass_dispatch(optest_pass(t), &(struct dispatch) { .kernel = "layer_norm", .variant = "f8" });
    optest_refused(t, "has no kernel layer_norm for f8");
    pass_dispatch(optest_pass(t), &(struct dispatch) { .kernel = "layer_norm", .variant = "f32", .params = params,
                                                       .params_size = sizeof params });
    optest_refused(t, "bytes of parameters");
}

/* ---- buffers ------------------------------------------------------------ */

static void buffers_hold_bytes(struct optest *t)
{
    const uint64_t size = (70 << 20) + 5;    /* beyond any staging memory */
    struct tinct_err err = { 0 };
    struct buffer *b = buffer_create(t->device, size, &err);
    unsigned char *bytes = optest_host(t, size), *back = optest_host(t, size);

    if (!b) fail_msg("%s", err.text);
    assert_int_equal(buffer_size(b), size);
    memset(back, 1, size);
    assert_true(buffer_read(b, 0, back, size, &err));
    assert_memory_equal(back, bytes, size);                          /* zeroed when made */
    for (uint64_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    assert_true(buffer_write(b, 0, bytes, size, &err));
    memcpy(bytes + 1003, "seven b", 7);
    assert_true(buffer_write(b, 1003, "seven b", 7, &err));          /* no alignment is asked for */
    assert_true(buffer_read(b, 0, back, size, &err));
    assert_memory_equal(back, bytes, size);
    assert_true(buffer_read(b, size - 3, back, 3, &err));
    assert_memory_equal(back, bytes + size - 3, 3);
    assert_true(buffer_write(b, size, bytes, 0, &err));
    assert_false(buffer_write(b, size - 3, bytes, 4, NULL));
    check_refused(buffer_read(b, UINT64_MAX, back, 2, &err), &err, TINCT_ERR_INTERNAL, "lie outside a buffer");
    buffer_free(b);
}

/* ---- the same bytes ----------------------------------------------------- */

struct picture_block {           /* something of every op, [2, 12, 9, 64] */
    struct tensor x, y, skip, shift, context;
    struct norm norm_x, norm_wide, norm_token;
    struct weight conv, qkv, kv, geglu, out;
};

static struct norm any_norm(struct optest *t, uint32_t channels)
{
    return (struct norm) { optest_vector(t, channels, optest_random_f32(t, channels, 1, 0.5f)),
                           optest_vector(t, channels, optest_random_f32(t, channels, 0, 1)) };
}

static struct picture_block a_block(struct optest *t)
{
    const uint32_t picture[] = { 2, 12, 9, 64 };
    return (struct picture_block) {
        .x = optest_tensor(t, t->dtype, 4, picture, optest_random(t, 2 * 12 * 9 * 64, 0, 1)),
        .y = optest_tensor(t, t->dtype, 4, picture, NULL),
        .skip = optest_tensor(t, t->dtype, 4, picture, optest_random(t, 2 * 12 * 9 * 64, 0, 1)),
        .shift = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 2, 64 }, optest_random_f32(t, 128, 0, 1)),
        .context = optest_tensor(t, t->dtype, 3, (uint32_t[]) { 2, 77, 36 }, optest_random(t, 2 * 77 * 36, 0, 1)),
        .norm_x = any_norm(t, 64), .norm_wide = any_norm(t, 128), .norm_token = any_norm(t, 64),
        .conv = optest_weight(t, 64, 128, 3, OPTEST_BIAS).device, .qkv = optest_weight(t, 192, 64, 1, 0).device,
        .kv = optest_weight(t, 128, 36, 1, 0).device,
        .geglu = optest_weight(t, 512, 64, 1, OPTEST_BIAS | OPTEST_GEGLU).device,
        .out = optest_weight(t, 64, 256, 1, OPTEST_BIAS).device,
    };
}

/* A residual block on x and skip, then self-attention, cross-attention and feed-forward, as the UNet has them. */
static void record(struct pass *pass, const struct picture_block *b)
{
    const uint32_t token_shape[] = { 2, 12 * 9, 64 };
    struct tensor wide = scratch_channels(pass, b->x, 128), h = scratch_like(pass, b->x);
    struct tensor y = tensor_reshape(b->y, 3, token_shape), tokens = tensor_reshape(h, 3, token_shape);
    size_t mark = scratch_mark(pass);

    op_group_norm(pass, wide, b->x, b->skip, &b->norm_wide, 32, 1e-5f, OP_ACT_SILU);
    op_conv2d(pass, b->y, wide, &b->conv, NULL, &(struct epilogue) { .per_image = b->shift, .residual = b->skip });
    op_group_norm(pass, b->y, b->y, (struct tensor) { 0 }, &b->norm_x, 16, 1e-6f, OP_ACT_NONE);

    struct tensor qkv = scratch_channels(pass, tokens, 192);
    op_layer_norm(pass, tokens, y, &b->norm_token, 1e-5f);
    op_linear(pass, qkv, tokens, &b->qkv, NULL);
    op_attention(pass, tokens, tensor_columns(qkv, 0, 64), tensor_columns(qkv, 64, 64), tensor_columns(qkv, 128, 64), 8,
                 false);
    scratch_release(pass, mark);

    struct tensor kv = scratch_channels(pass, b->context, 128), z = scratch_like(pass, tokens);
    op_linear(pass, kv, b->context, &b->kv, NULL);
    op_attention(pass, z, tokens, tensor_columns(kv, 0, 64), tensor_columns(kv, 64, 64), 4, false);
    scratch_release(pass, mark);

    struct tensor inner = scratch_channels(pass, tokens, 256);       /* over kv, and over what z held */
    op_layer_norm(pass, tokens, tokens, &b->norm_token, 1e-5f);
    op_linear(pass, inner, tokens, &b->geglu, NULL);
    op_linear(pass, y, inner, &b->out, &(struct epilogue) { .residual = y });
}

static float *run_block(struct optest *t, size_t *bytes)
{
    struct picture_block b = a_block(t);

    record(optest_pass(t), &b);
    optest_run(t);
    *bytes = (size_t)tensor_bytes(b.y);
    float *result = malloc(*bytes);
    assert_non_null(result);
    assert_true(buffer_read(b.y.buffer, b.y.offset, result, *bytes, NULL));
    optest_all_written(t, optest_read(t, b.y), tensor_rows(b.y) * 64);
    return result;
}

static void running_again_gives_the_same_bytes(struct optest *t)
{
    struct picture_block b = a_block(t);
    size_t count = tensor_rows(b.y) * 64, bytes = count * sizeof(float);

    record(optest_pass(t), &b);
    optest_run(t);
    float *first = optest_read(t, b.y);
    struct tinct_err err = { 0 };
    for (int again = 0; again < 3; again++) {
        assert_true(pass_run(t->pass, &err));
        assert_memory_equal(optest_read(t, b.y), first, bytes);
    }
    record(optest_pass(t), &b);              /* recorded anew */
    optest_run(t);
    assert_memory_equal(optest_read(t, b.y), first, bytes);
}

static void any_number_of_threads_gives_the_same_bytes(struct optest *t)
{
    static const int threads[] = { 1, 2, 3, 5 };
    size_t bytes;
    float *first = run_block(t, &bytes);

    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        optest_reopen(t, threads[i]);
        float *again = run_block(t, &bytes);
        bool same = !memcmp(again, first, bytes);
        free(again);
        if (!same) {
            free(first);
            fail_msg("%d threads give other bytes", threads[i]);
        }
    }
    free(first);
}

/* Many dispatches on the same few scratch ranges: each must see what the one before wrote, and none may write over
 * what an earlier one still reads. The same steps, each in a pass of its own, are the reference. */
static void step(struct pass *pass, const struct picture_block *b, struct tensor x)
{
    size_t mark = scratch_mark(pass);
    struct tensor h = scratch_like(pass, x), inner = scratch_channels(pass, x, 256);

    op_layer_norm(pass, h, x, &b->norm_token, 1e-5f);
    op_linear(pass, inner, h, &b->geglu, NULL);
    op_linear(pass, h, inner, &b->out, NULL);
    op_layer_norm(pass, x, h, &b->norm_token, 1e-5f);
    scratch_release(pass, mark);
}

static void dispatches_follow_one_another(struct optest *t)
{
    enum { STEPS = 12 };
    struct picture_block b = a_block(t);
    size_t count = tensor_rows(b.x) * 64;

    struct tensor alone = optest_tensor(t, t->dtype, 4, b.x.shape, optest_read(t, b.x));
    for (int i = 0; i < STEPS; i++) {
        step(optest_pass(t), &b, alone);
        optest_run(t);
    }
    optest_pass(t);
    for (int i = 0; i < STEPS; i++) step(t->pass, &b, b.x);
    optest_run(t);
    optest_all_written(t, optest_read(t, b.x), count);
    assert_memory_equal(optest_read(t, b.x), optest_read(t, alone), count * sizeof(float));
}

static void passes_live_side_by_side(struct optest *t)
{
    struct rows a = small_rows(t), b = small_rows(t);
    struct pass *first = pass_begin(t->device), *second = pass_begin(t->device);
    struct tensor between_a = scratch_like(first, a.x), between_b = scratch_like(second, b.x);

    op_layer_norm(first, between_a, a.x, &a.norm, 1e-5f);
    op_layer_norm(second, between_b, b.x, &b.norm, 1e-5f);
    op_layer_norm(first, a.y, between_a, &b.norm, 1e-5f);
    op_layer_norm(second, b.y, between_b, &a.norm, 1e-5f);
    bool ok = pass_end(first, NULL) && pass_end(second, NULL) && pass_run(first, NULL) && pass_run(second, NULL);
    float *a1 = optest_read(t, a.y), *b1 = optest_read(t, b.y);
    ok = ok && pass_run(second, NULL) && pass_run(first, NULL);
    pass_free(first);
    pass_free(second);
    assert_true(ok);
    optest_all_written(t, a1, 512);
    optest_all_written(t, b1, 512);
    assert_memory_equal(optest_read(t, a.y), a1, 512 * sizeof(float));
    assert_memory_equal(optest_read(t, b.y), b1, 512 * sizeof(float));
}

/* 100 runs of a pass, none waited for, each with weights of its own: more than a device keeps under way. A write that came
 * too early or too late leaves a sum without one of them, or with one twice. */
static void sums_up(struct optest *t)
{
    enum { RUNS = 100, COUNT = 64 * 64 * 4 };
    float a[2 * OP_MIX_RESULTS] = { 1 }, *x = optest_host(t, 2 * COUNT * sizeof *x), want = 0;
    struct tinct_err err;

    for (int i = 0; i < COUNT; i++) x[COUNT + i] = (float)(i % 7);
    struct tensor xt = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 2, COUNT }, x);     /* a sum, and what is added to it */
    struct tensor at = optest_tensor(t, DTYPE_F32, 2, (uint32_t[]) { 2, OP_MIX_RESULTS }, a);
    op_mix(optest_pass(t), tensor_image(xt, 0, 1), xt, (struct tensor) { 0 }, at);
    optest_run(t);                           /* adds nothing */
    struct device_counts before = device_counts(t->device);
    for (int run = 1; run <= RUNS; run++) {
        a[OP_MIX_RESULTS] = (float)run;
        want += (float)run;
        if (!buffer_write(at.buffer, at.offset, a, sizeof a, &err) || !pass_start(t->pass, &err)) fail_msg("%s", err.text);
    }
    uint64_t all = device_started(t->device);
    float *sum = optest_read(t, tensor_image(xt, 0, 1));
    struct device_counts after = device_counts(t->device);
    for (int i = 0; i < COUNT; i++) assert_true(sum[i] == want * (float)(i % 7));
    assert_true(device_is_done(t->device, all) && device_wait(t->device, all, &err));
    assert_int_equal(after.writes - before.writes, RUNS);
    assert_int_equal(after.reads - before.reads, 1);
}

static void what_is_started_keeps_its_order(struct optest *t)
{
    sums_up(t);
    setenv("TINCT_VULKAN_STAGING", "1", 1);      /* as where the host does not see the device's memory */
    optest_reopen(t, 1);
    unsetenv("TINCT_VULKAN_STAGING");
    sums_up(t);
}

/* A pass is freed, and its operands, while it is at work. */
static void what_is_freed_is_waited_for(struct optest *t)
{
    struct tinct_err err;
    struct rows r = small_rows(t);
    struct buffer *other = buffer_create(t->device, 1 << 20, &err);
    struct pass *pass = pass_begin(t->device);

    assert_non_null(other);
    for (int i = 0; i < 200; i++) op_layer_norm(pass, r.y, r.x, &r.norm, 1e-5f);
    bool ok = pass_end(pass, &err) && pass_start(pass, &err) && pass_start(pass, &err);
    uint64_t all = device_started(t->device);
    buffer_free(other);
    pass_free(pass);
    if (!ok) fail_msg("%s", err.text);
    assert_true(device_is_done(t->device, all));
    optest_all_written(t, optest_read(t, r.y), 512);
}

static void times_are_kept_on_request(struct optest *t)
{
    struct rows r = small_rows(t);
    struct dispatch_time time;

    device_keep_times(t->device, true);
    struct pass *pass = optest_pass(t);
    pass_label(pass, "the norm");
    op_layer_norm(pass, r.y, r.x, &r.norm, 1e-5f);
    optest_run(t);
    assert_true(pass_time(pass, 0, &time));
    assert_string_equal(time.label, "the norm");
    assert_string_equal(time.kernel, "layer_norm");
    assert_true(time.ms >= 0 && time.ms < 10000);
    assert_true(time.bytes >= 2 * tensor_bytes(r.x));
    assert_false(pass_time(pass, 1, &time));
    device_keep_times(t->device, false);
}

int main(void)
{
    static const struct optest_case cases[] = {
        { "an empty pass runs", an_empty_pass_runs },
        { "it runs only when ended", it_runs_only_when_ended },
        { "no pass is taken everywhere", no_pass_is_taken_everywhere },
        { "scratch is a stack", scratch_is_a_stack },
        { "missing memory is told", missing_memory_is_told },
        { "scratch beyond all numbers is refused", scratch_of_any_size_is_refused_or_held },
        { "the first failure stays", the_first_failure_stays },
        { "operands outside their buffer are refused", operands_outside_their_buffer_are_refused },
        { "unknown kernels are refused", unknown_kernels_are_refused },
        { "buffers hold bytes", buffers_hold_bytes },
        { "running again gives the same bytes", running_again_gives_the_same_bytes },
        { "any number of threads gives the same bytes", any_number_of_threads_gives_the_same_bytes },
        { "dispatches follow one another", dispatches_follow_one_another },
        { "passes live side by side", passes_live_side_by_side },
        { "what is started keeps its order", what_is_started_keeps_its_order },
        { "what is freed is waited for", what_is_freed_is_waited_for },
        { "times are kept on request", times_are_kept_on_request },
    };
    return optest_main(cases, sizeof cases / sizeof *cases);
}
