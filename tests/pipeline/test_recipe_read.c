/* Recipes to settings: every field of A1111's text that tinct_txt2img has, those that are left out, and pictures with and without. */

#include "check.h"
#include "image/png.h"
#include "temporary.h"
#include "tinct.h"

static struct tinct_recipe *parse(const char *text)
{
    struct tinct_err err;
    struct tinct_recipe *r = tinct_recipe_parse(text, &err);
    if (!r) fail_msg("%s", err.text);
    return r;
}

static void all_fields(void **state)
{
    struct tinct_recipe *r = parse(
        "a castle <lora:arcane:0.8>\nsecond line\nNegative prompt: blurry\n"
        "Steps: 25, Sampler: Euler a, Schedule type: Karras, CFG scale: 6.5, Seed: 123456789012, Size: 512x768, Model hash: 0123456789, "
        "Model: dreamy, Variation seed: 7, Variation seed strength: 0.25, Clip skip: 2, ENSD: 31337, RNG: CPU, Eta: 0.5, "
        "Emphasis: No norm, Lora hashes: \"arcane: 0123456789ab\", TI hashes: \"face: ba9876543210\", Version: v1.10.1");
    const struct tinct_txt2img *p = &r->picture;
    (void)state;

    assert_string_equal(p->prompt, "a castle <lora:arcane:0.8>\nsecond line");
    assert_string_equal(p->negative, "blurry");
    assert_int_equal(p->steps, 25);
    assert_string_equal(p->sampler, "Euler a");
    assert_string_equal(p->scheduler, "Karras");
    assert_true(p->guidance >= 6.5f && p->guidance <= 6.5f);
    assert_true(p->seed == 123456789012);
    assert_int_equal(p->width, 512);
    assert_int_equal(p->height, 768);
    assert_true(p->subseed == 7 && p->subseed_strength >= 0.25f && p->subseed_strength <= 0.25f);
    assert_int_equal(p->clip_skip, 2);
    assert_int_equal(p->ensd, 31337);
    assert_int_equal(p->rng, TINCT_RNG_CPU);
    assert_non_null(p->eta);
    assert_true(*p->eta >= 0.5f && *p->eta <= 0.5f);
    assert_int_equal(p->emphasis, TINCT_EMPHASIS_NO_NORM);
    assert_string_equal(p->lora_hashes, "arcane: 0123456789ab");
    assert_string_equal(p->embedding_hashes, "face: ba9876543210");
    assert_string_equal(r->model, "dreamy");
    assert_string_equal(r->model_hash, "0123456789");
    assert_string_equal(r->program, "v1.10.1");
    tinct_recipe_free(r);
}

/* What a recipe does not say is the useful zero of tinct_txt2img. */
static void what_is_left_out(void **state)
{
    struct tinct_recipe *r = parse("only a prompt");
    const struct tinct_txt2img *p = &r->picture;
    (void)state;

    assert_string_equal(p->prompt, "only a prompt");
    assert_string_equal(p->negative, "");
    assert_true(p->steps == 0 && p->width == 0 && p->height == 0 && p->seed < 0 && !(p->guidance > 0) && !(p->subseed_strength > 0));
    assert_true(!p->sampler && !p->scheduler && !p->eta && !p->lora_hashes && !p->embedding_hashes);
    assert_int_equal(p->rng, TINCT_RNG_GPU);
    assert_int_equal(p->emphasis, TINCT_EMPHASIS_ORIGINAL);
    assert_true(!r->model && !r->model_hash && !r->program);
    tinct_recipe_free(r);
    r = parse("");
    assert_string_equal(r->picture.prompt, "");
    tinct_recipe_free(r);
    r = parse("a\nSteps: 20, Sampler: DDIM, Schedule type: Automatic, Seed: 1, Eta DDIM: 1");
    assert_null(r->picture.scheduler);          /* the sampler's own */
    assert_true(r->picture.eta && *r->picture.eta >= 1);
    tinct_recipe_free(r);
    r = parse("a\nSteps: 20, Sampler: Euler, Seed: 1, Eta: much, Emphasis: Strong");
    assert_null(r->picture.eta);
    assert_int_equal(r->picture.emphasis, TINCT_EMPHASIS_ORIGINAL);
    tinct_recipe_free(r);
    tinct_recipe_free(NULL);
}

static void write_picture(const char *path, const char *recipe)
{
    static const unsigned char rgb[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    struct tinct_err err;
    if (!png_write(path, rgb, 2, 2, recipe, true, &err)) fail_msg("%s", err.text);
}

static void out_of_a_picture(void **state)
{
    const char *path = temporary_path("a.png");
    struct tinct_image image;
    struct tinct_err err;
    (void)state;

    write_picture(path, "sea\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 99, Size: 2x2");
    struct tinct_recipe *r = tinct_recipe_read(path, &err);
    assert_non_null(r);
    assert_true(r->picture.seed == 99);
    tinct_recipe_free(r);
    assert_true(tinct_image_load(path, &image, &err));
    assert_true(image.seed == 99 && image.width == 2 && image.height == 2 && image.rgb[11] == 12);
    assert_non_null(strstr(image.infotext, "Steps: 3"));
    tinct_image_free(&image);
    write_picture(path, NULL);
    check_refused(tinct_recipe_read(path, &err) != NULL, &err, TINCT_ERR_FORMAT, "a picture without a recipe");
    assert_true(tinct_image_load(path, &image, &err));
    assert_true(image.seed == -1 && !image.infotext);
    tinct_image_free(&image);
    check_refused(tinct_recipe_read(temporary_path("none.png"), &err) != NULL, &err, TINCT_ERR_IO, "none.png");
    check_refused(tinct_image_load(temporary_path("none.png"), &image, &err), &err, TINCT_ERR_IO, "none.png");
    assert_null(image.rgb);
}

/* SHA-256 of "abc" is in FIPS 180-2. */
static void a_models_hash(void **state)
{
    char hash[TINCT_MODEL_HASH_BYTES];
    struct tinct_err err;
    (void)state;

    assert_true(tinct_model_hash(temporary_write("abc.safetensors", "abc", 3), NULL, hash, &err));
    assert_string_equal(hash, "ba7816bf8f");
    check_refused(tinct_model_hash(temporary_path("none.safetensors"), NULL, hash, &err), &err, TINCT_ERR_IO, "none.safetensors");
    assert_string_equal(hash, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields),
        cmocka_unit_test(what_is_left_out),
        cmocka_unit_test(out_of_a_picture),
        cmocka_unit_test(a_models_hash),
    };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
