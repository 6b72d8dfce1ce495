/* Every allocation on the way to changed weights is made to fail in turn: each time a clean refusal for want of memory,
 * and weights that are either as they were or told to be half-way, and pristine after an empty set. */
#include "check.h"
#define FAILING_MALLOC_OWN_ONLY
#include "failing_malloc.h"
#include "model/merge.h"
#include "temporary.h"
#include "tensor_file.h"

#ifdef FAILING_MALLOC
enum { OUTPUTS = 80, INPUTS = 24, RANK = 5, WEIGHT_BYTES = 2 * 64 * 32 * 2 };

static bool give_factors(void *user, float *up, float *down, struct tinct_err *err)
{
    (void)user;
    (void)err;
    for (int i = 0; i < OUTPUTS * RANK; i++) up[i] = (float)(i % 7 - 3);
    for (int i = 0; i < INPUTS * RANK; i++) down[i] = (float)(i % 5 - 2);
    return true;
}

static bool give_delta(void *user, float *out, const float *w0, struct tinct_err *err)
{
    const size_t *count = user;

    (void)err;
    for (size_t i = 0; i < *count; i++) out[i] = w0[i] + 1;
    return true;
}

static bool change(struct merge *m, struct tinct_err *err)
{
    static size_t weights = OUTPUTS * INPUTS, biases = OUTPUTS;
    struct merge_term low = { .key = 1, .rank = RANK, .scale = 1, .factors = give_factors };
    struct merge_term dense = { .key = 2, .needs_w0 = true, .user = &weights, .delta = give_delta };
    struct merge_term bias = { .key = 3, .needs_w0 = true, .user = &biases, .delta = give_delta };

    merge_begin(m);
    return merge_add(m, "g.weight", 0, 0, &low, err) && merge_add(m, "h.weight", 0, 0, &dense, err) &&
           merge_add(m, "g.bias", 0, 0, &bias, err) && merge_apply(m, NULL, err);
}

struct layers {
    struct device *device;
    struct checkpoint *checkpoint;
    struct weights *ws;
    struct weight g, h;
};

static void layers_open(struct layers *l)
{
    struct tensor_file f;
    struct tinct_err err = { 0 };
    const char *path = temporary_path("m.safetensors");

    tensor_file_begin(&f);
    tensor_file_add(&f, "g.weight", DTYPE_F16, 2, (uint32_t[]) { OUTPUTS, INPUTS });
    tensor_file_add(&f, "g.bias", DTYPE_F32, 1, (uint32_t[]) { OUTPUTS });
    tensor_file_add(&f, "h.weight", DTYPE_F32, 2, (uint32_t[]) { OUTPUTS, INPUTS });
    assert_true(tensor_file_save(&f, path));
    tensor_file_free(&f);
    l->device = device_open(&(struct device_options) { .name = "cpu", .threads = 1 }, &err);
    l->checkpoint = checkpoint_open(path, NULL, &err);
    l->ws = weights_create(l->device, l->checkpoint);
    want_linear(l->ws, &l->g, OUTPUTS, INPUTS, WANT_GEGLU, "g");
    want_linear(l->ws, &l->h, OUTPUTS, INPUTS, WANT_NO_BIAS, "h");
    if (!weights_load(l->ws, 1, &err)) fail_msg("%s", err.text);
}

static void layers_close(struct layers *l)
{
    weights_free(l->ws);
    checkpoint_close(l->checkpoint);
    device_close(l->device);
}

/* The file holds zeros. */
static bool is_pristine(const struct layers *l)
{
    static char bytes[WEIGHT_BYTES];
    bool zeros = true;

    for (uint32_t i = 0; i < weights_count(l->ws); i++) {
        struct weights_entry e = weights_entry(l->ws, i);
        size_t size;
        assert_true(pack_job_bytes(&size, e.job, NULL) && size <= sizeof bytes);
        assert_true(buffer_read(e.place.buffer, e.place.offset, bytes, size, NULL));
        for (size_t b = 0; b < size; b++) zeros = zeros && !bytes[b];
    }
    return zeros;
}

/* Allocation n fails; gives whether there are that many. */
static bool fail_one(const struct layers *l, long n)
{
    struct tinct_err err = { 0 };

    malloc_open_blocks = 0;
    malloc_until_failure = n;
    malloc_armed = true;
    struct merge *m = merge_create(l->ws, &(struct merge_options) { 1, 1 });
    bool ok = m && change(m, &err), reached = malloc_until_failure < 0;
    malloc_armed = false;
    if (m && !ok && err.code != TINCT_ERR_MEMORY) fail_msg("allocation %ld: %s", n, err.text);
    if (!reached && !ok) fail_msg("%s", err.text);
    if (m && !ok && merge_usable(m, &err)) assert_true(is_pristine(l));
    if (ok) assert_false(is_pristine(l));

    malloc_until_failure = 1000000;
    malloc_armed = true;
    if (m) {
        merge_begin(m);
        assert_true(merge_apply(m, NULL, &err));
    }
    merge_free(m);
    malloc_armed = false;
    assert_true(is_pristine(l));
    if (malloc_open_blocks) fail_msg("%ld blocks left after allocation %ld failed", malloc_open_blocks, n);
    return reached;
}

static void every_allocation_may_fail(void **state)
{
    struct layers l;
    long n = 0;

    (void)state;
    layers_open(&l);
    fail_one(&l, 1000000);                   /* threads are made here */
    while (fail_one(&l, n)) n++;
    print_message("%ld allocations\n", n);
    assert_true(n > 20);
    layers_close(&l);
}
#else
static void every_allocation_may_fail(void **state)
{
    (void)state;
    print_message("skipped: the allocator cannot be replaced in this build\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation_may_fail) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
