/* Every allocation on a prompt's way is made to fail in turn: each time a clean refusal or the same text, nothing
 * kept; and the next try works. */
#include "check.h"
#include "failing_malloc.h"
#include "temporary.h"

#ifdef FAILING_MALLOC
#include "tensor_file.h"
#include "text/chunks.h"
#include "text/describe.h"
#include "text/embedding.h"
#include "text/tokenizer.h"

static const char prompt[] = "<lora:a:0.5:te=1><x:y> na\xc3\xafve [(cat:1.2)|\xe6\x9d\xb1] BREAK "
                             "[b:c:3] tiny, tiny AND d :0.5";
static char expected[2][1 << 16];

static bool describe(bool json, struct tinct_err *err)
{
    struct prompt_options options = { .steps = 6 };
    char *text = prompt_describe(prompt, &options, TINCT_EMPHASIS_ORIGINAL, NULL, json, err);
    bool armed = malloc_armed;
    if (!text) return false;
    malloc_armed = false;
    if (!expected[json][0]) strcpy(expected[json], text);
    assert_string_equal(text, expected[json]);
    malloc_armed = armed;
    free(text);
    return true;
}

static bool tell(struct tinct_err *err)
{
    return describe(false, err);
}

static bool put(struct tinct_err *err)
{
    return describe(true, err);
}

static uint32_t tiny;        /* the id of that word */

static bool find_tiny(void *user, const uint32_t *ids, size_t count, struct chunk_embedding *found)
{
    (void)count;
    *found = (struct chunk_embedding) { user, 30, 1 };
    return ids[0] == *(const uint32_t *)user;
}

static bool make_chunks(struct tinct_err *err)
{
    struct chunk_options options = { .pad = TOKEN_END, .find = find_tiny, .user = &tiny };
    struct chunks c;
    bool good = chunks_make(&c, "tiny tiny, BREAK tiny, (tiny:1.1) a BREAK b", &options, err) &&
                chunks_extend(&c, 9, &options, err);
    chunks_free(&c);
    return good;
}

static bool read_embedding(struct tinct_err *err)
{
    struct embedding e;
    bool good = embedding_read(&e, temporary_path("e.safetensors"), 8, err);
    embedding_free(&e);
    return good;
}

/* {"string_to_param":{"*":{"TORCHTENSOR":[[1,2,3]]}}} */
static bool decode_embedding(struct tinct_err *err)
{
    struct embedding e;
    bool good = embedding_decode(&e, "p.png", "eyJzdHJpbmdfdG9fcGFyYW0iOnsiKiI6eyJUT1JDSFRFTlNPUiI6W1sxLDIsM11dfX19", 3, err);
    embedding_free(&e);
    return good;
}

static void write_embedding(void)
{
    struct tensor_file f;
    tensor_file_begin(&f);
    tensor_file_add(&f, "emb_params", DTYPE_F16, 2, (uint32_t[]) { 2, 8 });
    assert_true(tensor_file_save(&f, temporary_path("e.safetensors")));
    tensor_file_free(&f);
}

static void fail_in_turn(bool (*work)(struct tinct_err *err))
{
    bool failed = true;
    int rounds = 0;

    for (long n = 0; failed; n++, rounds++) {
        struct tinct_err err = { 0 };
        malloc_arm(n);
        bool fine = work(&err);
        failed = malloc_disarm();
        if (malloc_open_blocks) fail_msg("allocation %ld: %ld blocks are kept (%s)", n, malloc_open_blocks, err.text);
        if (!fine && err.code != TINCT_ERR_MEMORY) fail_msg("allocation %ld: %d %s", n, (int)err.code, err.text);
        if (!failed) assert_true(fine);
    }
    assert_true(rounds > 5);
}

static void no_allocation_is_trusted(void **state)
{
    struct tokens t = { 0 };
    struct tinct_err err;
    (void)state;
    assert_true(tokenize(&t, "tiny", 4, &err) && t.count == 1);
    tiny = t.ids[0];
    tokens_free(&t);
    assert_true(tell(&err) && put(&err) && make_chunks(&err));
    fail_in_turn(tell);
    fail_in_turn(put);
    fail_in_turn(make_chunks);
    write_embedding();
    fail_in_turn(read_embedding);
    fail_in_turn(decode_embedding);
}
#else
static void no_allocation_is_trusted(void **state)
{
    (void)state;
    print_message("skipped: malloc can only be replaced in glibc builds without sanitizers\n");
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_allocation_is_trusted) };
    return cmocka_run_group_tests(tests, temporary_make, temporary_remove);
}
