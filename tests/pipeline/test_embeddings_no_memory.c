/* Every allocation from a folder of embeddings to their hashes is made to fail in turn: a refusal for want of memory,
 * never words in place of an embedding; nothing is left behind. */
#include "check.h"
#define FAILING_MALLOC_OWN_ONLY
#include "failing_malloc.h"
#include "pipeline/embeddings.h"
#include "text/tokenizer.h"

#ifdef FAILING_MALLOC

static const struct embeddings_options options = { .dir = TESTS_DIR "/golden/embeddings", .width = 64 };

static bool use(const struct tokens *t, struct tinct_err *err)
{
    struct embeddings *e = embeddings_open(&options, NULL, 0, err);
    struct chunk_embedding found;
    bool ok = e && embeddings_expect(e, "a embedding:tinctface b", err), seen = false;

    for (size_t i = 0; ok && i < t->count; i++) seen |= embeddings_find(e, t->ids + i, t->count - i, &found);
    ok = ok && embeddings_sound(e, err);
    if (ok && !seen) fail_msg("an embedding became words");
    char *hashes = ok ? embeddings_hashes(e, err) : NULL;
    free(hashes);
    embeddings_close(e);
    return hashes != NULL;
}

static void no_allocation_is_trusted(void **state)
{
    struct tokens t = { 0 };
    struct tinct_err err = { 0 };
    bool failed = true;
    long n = 0;

    (void)state;
    assert_true(tokenize(&t, "a tinctline", 11, &err));
    assert_true(use(&t, &err));
    for (; failed; n++) {
        err = (struct tinct_err) { 0 };
        malloc_arm(n);
        bool fine = use(&t, &err);
        failed = malloc_disarm();
        if (malloc_open_blocks) fail_msg("allocation %ld: %ld blocks are kept (%s)", n, malloc_open_blocks, err.text);
        if (!fine && err.code != TINCT_ERR_MEMORY) fail_msg("allocation %ld: %d %s", n, (int)err.code, err.text);
        if (!failed) assert_true(fine);
    }
    print_message("%ld allocations\n", n);
    assert_true(n > 30);
    tokens_free(&t);
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}
