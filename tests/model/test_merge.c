#include "model/merging.h"

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
    { UNET "input_blocks.4.0.out_layers.3.weight", 4 },             /* and the 1x1 below it, */
    { UNET "input_blocks.4.0.skip_connection.weight", 8 },
    { UNET "input_blocks.4.0.out_layers.3.bias", 0 },               /* and its bias added */
    { UNET "input_blocks.4.0.skip_connection.bias", 0 },
    { UNET "input_blocks.7.0.skip_connection.weight", 0 },          /* a delta there */
    { UNET "input_blocks.7.0.skip_connection.bias", 0 },
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
    assert_int_equal(report.rebuilt, KINDS - 6);       /* q and v are one weight, k and v too; three on one convolution; a block's
                                                          shortcut and its second convolution, and their biases */
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
    assert_true(report.rebuilt == 0 && report.restored == KINDS - 7);
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
