#include "lora/folder.h"

#include "check.h"
#include "temporary.h"
#include "tensor_file.h"

#include <sys/stat.h>

/* Folders within the temporary one, which temporary_remove does not know. */
static const char *const folders[] = { "loras", "loras/styles", "loras/people", "loras/people/old", "outside", "models", "models/Lora" };

static void write_lora(const char *name, const char *metadata, float value)
{
    struct tensor_file f;
    const uint32_t shape[] = { 1, 1 };
    tensor_file_begin_with(&f, metadata);
    *(float *)tensor_file_add(&f, "lora_unet_conv_in.lora_up.weight", DTYPE_F32, 2, shape) = value;
    assert_true(tensor_file_save(&f, temporary_path(name)));
    tensor_file_free(&f);
}

static int make(void **state)
{
    if (temporary_make(state)) return -1;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) mkdir(temporary_path(folders[i]), 0700);
    write_lora("loras/styles/arcane.safetensors", "{\"ss_output_name\":\"Arcane Style v2\"}", 1);
    write_lora("loras/people/jinx.safetensors", "{\"ss_output_name\":\"jinx\"}", 2);
    write_lora("loras/people/old/jinx.safetensors", "{\"ss_output_name\":\"twice\"}", 3);
    write_lora("loras/pixel.v1.safetensors", "{\"ss_output_name\":\"twice\","
               "\"sshs_model_hash\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}", 4);
    write_lora("loras/back\\slash.safetensors", "{\"format\":\"pt\"}", 5);
    write_lora("loras/.hidden.safetensors", "{\"format\":\"pt\"}", 6);
    write_lora("outside/secret.safetensors", "{\"format\":\"pt\"}", 7);
    write_lora("models/Lora/webui.safetensors", "{\"format\":\"pt\"}", 8);
    temporary_write("loras/notes.txt", "x", 1);
    temporary_write("loras/damaged.safetensors", "x", 1);
    return symlink(temporary_path("outside/secret.safetensors"), temporary_path("loras/link.safetensors")) ||
           symlink(temporary_path("outside"), temporary_path("loras/way_out")) ||
           symlink(temporary_path("loras/pixel.v1.safetensors"), temporary_path("loras/again.safetensors"));
}

static void remove_files(const char *folder)
{
    DIR *dir = opendir(temporary_path(folder));
    struct dirent *e;
    char path[320];
    while (dir && (e = readdir(dir))) {
        snprintf(path, sizeof path, "%.40s/%.256s", folder, e->d_name);
        unlink(temporary_path(path));
    }
    if (dir) closedir(dir);
}

static int clean(void **state)
{
    for (size_t i = sizeof folders / sizeof *folders; i-- > 0;) {
        remove_files(folders[i]);
        rmdir(temporary_path(folders[i]));
    }
    return temporary_remove(state);
}

static struct lora_folder *open_loras(void)
{
    struct tinct_err err;
    struct lora_folder *f = lora_folder_create(NULL, &err);
    assert_non_null(f);
    if (!lora_folder_add(f, temporary_path("loras"), &err)) fail_msg("%s", err.text);
    return f;
}

static void lists_every_file_once(void **state)
{
    static const char *const names[] = { "damaged", "people/jinx", "people/old/jinx", "pixel.v1", "styles/arcane" };
    struct lora_folder *f = open_loras();
    struct tinct_err err;
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(lora_folder_count(f), 5);
        for (size_t i = 0; i < 5; i++) assert_string_equal(lora_folder_at(f, i)->name, names[i]);
        char with_slash[600];
        snprintf(with_slash, sizeof with_slash, "%s//", temporary_path("loras"));
        assert_true(lora_folder_add(f, with_slash, &err)); /* the same place again */
    }
    assert_true(lora_folder_add(f, temporary_path("nowhere"), &err));
    assert_true(lora_folder_add_models(f, temporary_path("models"), &err));
    assert_int_equal(lora_folder_count(f), 6);
    assert_non_null(lora_folder_find(f, "webui", &err));
    check_refused(lora_folder_add(f, temporary_path("loras/notes.txt"), &err), &err, TINCT_ERR_IO, "cannot be read");
    lora_folder_free(f);
}

static void finds_by_name_stem_alias_and_hash(void **state)
{
    static const char *const found[][2] = {
        { "styles/arcane", "styles/arcane" }, { "styles/arcane.safetensors", "styles/arcane" },
        { "arcane", "styles/arcane" },        { "arcane.safetensors", "styles/arcane" },
        { "Arcane Style v2", "styles/arcane" },
        { "people/jinx", "people/jinx" },     { "people/old/jinx", "people/old/jinx" },
        { "pixel.v1", "pixel.v1" },           { "0123456789ab", "pixel.v1" }, { "01234567", "pixel.v1" },
    };
    struct lora_folder *f = open_loras();
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        const struct lora_entry *e = lora_folder_find(f, found[i][0], &err);
        if (!e) fail_msg("%s: %s", found[i][0], err.text);
        assert_string_equal(e->name, found[i][1]);
    }
    /* a file without a stored hash is found by the computed one */
    const struct lora_entry *arcane = lora_folder_find(f, "arcane", &err);
    assert_true(lora_folder_hash(f, arcane, &err));
    assert_int_equal(strlen(arcane->hash), LORA_HASH_DIGITS);
    struct lora_folder *other = open_loras();
    assert_string_equal(lora_folder_find(other, arcane->hash, &err)->name, "styles/arcane");
    lora_folder_free(other);
    lora_folder_free(f);
}

/* Too many is not none: only none may be painted without. */
static void tells_none_from_several(void **state)
{
    static const struct { const char *name; bool lacks; } cases[] = {
        { "arcane", false }, { "jinx", false }, { "twice", false }, { "0123456789ab", false },
        { "arcade", true }, { "../secret", true }, { "ffffffffffff", true }, { "", false },
    };
    struct lora_folder *f = open_loras();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lora_folder_lacks(f, cases[i].name) != cases[i].lacks) fail_msg("\"%s\"", cases[i].name);
    lora_folder_free(f);
}

static void several_files_of_a_name_are_refused(void **state)
{
    struct lora_folder *f = open_loras();
    struct tinct_err err;
    (void)state;
    check_refused(lora_folder_find(f, "jinx", &err), &err, TINCT_ERR_ARG,
                  "LoRA \"jinx\": 2 files have this file name: people/jinx, people/old/jinx");
    check_refused(lora_folder_find(f, "twice", &err), &err, TINCT_ERR_ARG,
                  "2 files have this alias: people/old/jinx, pixel.v1");
    lora_folder_free(f);
}

static void unknown_names_give_the_nearest(void **state)
{
    struct lora_folder *f = open_loras(), *empty;
    struct tinct_err err;
    (void)state;
    check_refused(lora_folder_find(f, "pixel.v2", &err), &err, TINCT_ERR_ARG,
                  "LoRA \"pixel.v2\" is not there; the nearest names are pixel.v1,");
    check_refused(lora_folder_find(f, "", &err), &err, TINCT_ERR_ARG, "without a name");
    check_refused(lora_folder_find(f, "0123456", &err), &err, TINCT_ERR_ARG, "is not there"); /* too short for a hash */
    assert_non_null(empty = lora_folder_create("/nowhere", &err));
    check_refused(lora_folder_find(empty, "a", &err), &err, TINCT_ERR_ARG, "hold no LoRA at all");
    lora_folder_free(empty);
    lora_folder_free(f);
}

/* No spelling of a path reaches a file: a name is only ever compared. */
static void names_are_never_paths(void **state)
{
    static const char *const names[] = {
        "../outside/secret", "../../x", "styles/../styles/arcane", "./arcane", "styles//arcane", "/arcane", "arcane/",
        "arcane.", "arcane ", "styles\\..\\styles\\arcane", "..\\..\\x", "%2e%2e/outside/secret", "styles%2farcane", "link",
        "way_out/secret", "secret", "again", "back\\slash", ".hidden", "notes", "notes.txt", "ARCANE", "~/x",
        "arcane.safetensors.safetensors",
    };
    char absolute[600];
    struct lora_folder *f = open_loras();
    struct tinct_err err;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct lora_entry *e = lora_folder_find(f, names[i], &err);
        if (e) fail_msg("%s: %s", names[i], e->path);
        assert_int_equal(err.code, TINCT_ERR_ARG);
    }
    snprintf(absolute, sizeof absolute, "%s", temporary_path("loras/styles/arcane"));
    assert_null(lora_folder_find(f, absolute, &err));
    assert_int_equal(lora_folder_links(f), 2); /* told of, not followed */
    check_refused(lora_folder_find(f, "link", &err) != NULL, &err, TINCT_ERR_ARG, "\"link\" is a symbolic link, which is not followed");
    check_refused(lora_folder_find(f, "ink", &err) != NULL, &err, TINCT_ERR_ARG, "is not there");
    lora_folder_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_every_file_once),
        cmocka_unit_test(finds_by_name_stem_alias_and_hash),
        cmocka_unit_test(tells_none_from_several),
        cmocka_unit_test(several_files_of_a_name_are_refused),
        cmocka_unit_test(unknown_names_give_the_nearest),
        cmocka_unit_test(names_are_never_paths),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
