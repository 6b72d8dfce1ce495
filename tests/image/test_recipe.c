#include "image/recipe.h"
#include "check.h"

static struct recipe find(const char *key, const char *value, const char *key2, const char *value2)
{
    static struct png_text texts[2]; /* what recipe_find gives points into it */
    texts[0] = (struct png_text){(char *)(uintptr_t)key, (char *)(uintptr_t)value};
    texts[1] = (struct png_text){(char *)(uintptr_t)key2, (char *)(uintptr_t)value2};
    return recipe_find(&(struct png){.texts = texts, .text_count = key2 ? 2 : 1});
}

static void check_infotext(const char *version, const char *program)
{
    char text[256];
    snprintf(text, sizeof text, "a cat\nSteps: 20, Sampler: Euler, Seed: 1%s%s",
             *version ? ", Version: " : "", version);
    struct recipe found = find("parameters", text, "workflow", "{}");
    assert_int_equal(found.kind, RECIPE_INFOTEXT);
    assert_string_equal(found.program, program);
    assert_ptr_equal(found.text, text);
}

static void check_foreign(struct recipe found, const char *program)
{
    assert_int_equal(found.kind, RECIPE_FOREIGN);
    assert_string_equal(found.program, program);
    assert_non_null(found.holds);
    assert_null(found.text);
}

static void writers_of_a1111s_words_are_known(void **state)
{
    (void)state;
    check_infotext("v1.10.1", "A1111's web UI");
    check_infotext("f2.0.1v1.10.1-previous-665-gae278f79", "Forge");
    check_infotext("tinct 0.1.0", "tinct");
    check_infotext("stable-diffusion.cpp, SDCPP: {\"a\": 1}", "sd.cpp");
    check_infotext("Fooocus v2.5.5", "Fooocus");
    check_infotext("", "A1111's web UI or one that writes like it");
}

static void other_carriers_are_recognised(void **state)
{
    (void)state;
    check_foreign(find("prompt", "{\"3\": {\"class_type\": \"KSampler\"}}", "workflow", "{}"), "ComfyUI");
    check_foreign(find("workflow", " {\"nodes\": []}", NULL, NULL), "ComfyUI");
    check_foreign(find("invokeai_metadata", "{}", NULL, NULL), "InvokeAI");
    check_foreign(find("sd-metadata", "{}", "Dream", "x"), "InvokeAI");
    check_foreign(find("Software", "NovelAI", "Comment", "{}"), "NovelAI");
    check_foreign(
        find("parameters", "{\"base_model\": \"x\", \"prompt\": \"y\"}", "fooocus_scheme", "fooocus"),
        "Fooocus");
    check_foreign(find("parameters", "{\"sui_image_params\": {}}", NULL, NULL), "SwarmUI");
    check_foreign(find("parameters", "{\"what\": 1}", NULL, NULL), "an unknown program");
    assert_int_equal(find("parameters", "{red|blue} cat", NULL, NULL).kind, RECIPE_INFOTEXT);
    check_foreign(find("prompt", "a cat", "negative_prompt", ""), "Easy Diffusion");
}

static void other_texts_are_no_recipe(void **state)
{
    (void)state;
    assert_int_equal(find("Software", "GIMP", "Comment", "made with GIMP").kind, RECIPE_NONE);
    assert_int_equal(find("prompt", "a cat", NULL, NULL).kind, RECIPE_NONE);
    assert_null(recipe_find(&(struct png){0}).program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_of_a1111s_words_are_known),
        cmocka_unit_test(other_carriers_are_recognised),
        cmocka_unit_test(other_texts_are_no_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
