#include "check.h"
#include "lora/blocks.h"

static const char *const paths[] = { "time_embed.0", "input_blocks.0.0", "input_blocks.1.1.proj_in", "input_blocks.11.0.in_layers.2",
                                     "middle_block.1.proj_in", "output_blocks.0.0.in_layers.2", "output_blocks.11.1.proj_in", "out.2" };
enum { PATHS = sizeof paths / sizeof *paths };

/* BASE, and then the strengths in the layers above. */
static void strengths(const char *text, float out[PATHS + 1])
{
    struct lora_blocks blocks;
    struct tinct_err err;
    char name[128];

    if (!lora_blocks_read(&blocks, text, &err)) fail_msg("%s: %s", text, err.text);
    out[0] = lora_blocks_at(&blocks, &(struct lora_target) { .weight = "cond_stage_model.x.weight", .model = LORA_TEXT });
    for (int i = 0; i < PATHS; i++) {
        snprintf(name, sizeof name, "model.diffusion_model.%s.weight", paths[i]);
        out[i + 1] = lora_blocks_at(&blocks, &(struct lora_target) { .weight = name, .model = LORA_UNET });
    }
}

static void lists_reach_their_blocks(void **state)
{
    (void)state;
    static const struct { const char *text; float want[PATHS + 1]; } cases[] = {
        { "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,-.5,4,3,2,1,0,1,2,3,+16", { 1, 1, 2, 3, 13, 14, 15, 16, 1 } },
        { "2, 3,0,0,0,0,0, 4,0,0,0,0,0,0,0,0, 5", { 2, 1, 0, 3, 0, 4, 0, 5, 1 } },                     /* 17: IN01.. M00 OUT03.. */
        { "2,3,4,0,0,0,0,0,0,0,5,6,0,0,0,0,0,0,0,7", { 2, 1, 3, 4, 0, 5, 6, 0, 1 } },                 /* 20: IN00..08 M00 OUT00..08 */
        { "2,0,0,0,0,5,6,0,0,0,0,7", { 2, 1, 0, 0, 0, 5, 6, 0, 1 } },                                 /* 12: IN04.. M00 OUT00..05 */
        { "ALL0.5", { 0.5f, 1, 0, 0.5f, 0, 0.5f, 0, 0.5f, 1 } },
        { "OUTALL", { 1, 1, 0, 0, 0, 0, 0, 1, 1 } },
        { "INS", { 1, 1, 0, 1, 0, 0, 0, 0, 1 } },
        { "MIDD", { 1, 1, 0, 0, 0, 1, 0, 0, 1 } },
    };
    float got[PATHS + 1];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strengths(cases[i].text, got);
        for (int k = 0; k <= PATHS; k++)
            if (got[k] < cases[i].want[k] || got[k] > cases[i].want[k])
                fail_msg("%s: %s: %g, wanted %g", cases[i].text, k ? paths[k - 1] : "BASE", (double)got[k], (double)cases[i].want[k]);
    }
}

static void others_are_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *words; } wrong[] = {
        { "", "neither a list nor" }, { "1,2,3", "3 block weights; a list has 12, 17, 20 or 26" },
        { "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "28 block weights" },
        { "R,1,1,1,1,1,1,1,1,1,1,1", "random" }, { "U,1,1,1,1,1,1,1,1,1,1,1", "random" },
        { "X,1,1,1,1,1,1,1,1,1,1,1", "\"X\" is no number" }, { "1,,1,1,1,1,1,1,1,1,1,1", "\"\" is no number" },
        { "1,nan,1,1,1,1,1,1,1,1,1,1", "no number" }, { "1,1e9,1,1,1,1,1,1,1,1,1,1", "no number in -16..16" },
        { "ind", "NONE, ALL, INS, IND, INALL, MIDD, OUTD, OUTS, OUTALL, ALL0.5" },       /* case counts */
    };
    struct lora_blocks blocks;
    struct tinct_err err;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_refused(lora_blocks_read(&blocks, wrong[i].text, &err), &err, TINCT_ERR_ARG, wrong[i].words);
}

static void the_expanded_list_is_told(void **state)
{
    struct lora_blocks blocks;
    struct str told = { 0 };
    (void)state;

    assert_true(lora_blocks_read(&blocks, "ALL0.5", NULL));
    lora_blocks_tell(&blocks, &told);
    assert_non_null(strstr(told.bytes, "BASE 0.5, IN00 0, IN01 0.5, "));
    assert_non_null(strstr(told.bytes, ", IN11 0, M00 0.5, OUT00 0, "));
    assert_non_null(strstr(told.bytes, ", OUT11 0.5"));
    str_free(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_reach_their_blocks), cmocka_unit_test(others_are_refused),
        cmocka_unit_test(the_expanded_list_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
