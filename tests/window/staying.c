/* Preloaded where leaks are looked for: a library that was unloaded has no name in the report, and so cannot be told
 * from ours (tests/lsan.supp). */
int dlclose(void *library);

int dlclose(void *library)
{
    (void)library;
    return 0;
}
