/* Runs the program under test, as a person would: in a folder of its own, with its own home. */
#ifndef TINCT_TESTS_APP_PROGRAM_H
#define TINCT_TESTS_APP_PROGRAM_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { SAID_BYTES = 16384, ARGUMENTS_MOST = 40 };

struct run {
    int code; /* exit status; 1000 + number for a signal */
    char out[SAID_BYTES], err[SAID_BYTES];
    double seconds; /* of processor time, which a busy machine does not stretch */
};

struct how {
    const char *in;      /* file for standard input; NULL: /dev/null */
    const char *out;     /* file instead of what run.out takes */
    const char *err;     /* the same for standard error, such as a terminal */
    size_t memory_bytes; /* address space; 0: no limit */
};

static char program_path[1024], program_folder[] = "/tmp/tinct-app-XXXXXX";

/* The program is built beside the folder of the tests. Goes into a folder of its own. */
static inline int program_begin(void)
{
    const char *named = getenv("TINCT_PROGRAM");
    ssize_t bytes = readlink("/proc/self/exe", program_path, sizeof program_path - 1);

    if (named) {
        if (!realpath(named, program_path)) return -1;
    } else {
        if (bytes <= 0) return -1;
        program_path[bytes] = '\0';
        *strrchr(program_path, '/') = '\0';
        strcpy(strrchr(program_path, '/') + 1, "tinct");
    }
    if (!mkdtemp(program_folder) || chdir(program_folder) != 0) return -1;
    setenv("HOME", program_folder, 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("TINCT_MODELS");
    return access(program_path, X_OK);
}

/* Of a group of tests: a folder of their own, and away with it. */
static inline int program_enter(void **state)
{
    (void)state;
    return program_begin();
}

static inline int program_leave(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", program_folder);
    return chdir("/") || system(command);
}

/* Words are cut at blanks; "quoted words" stay whole. */
static inline void split_words(char *line, char **argv)
{
    int count = 0;
    argv[count++] = program_path;
    while (*line) {
        while (*line == ' ') *line++ = '\0';
        if (!*line) break;
        assert_true(count < ARGUMENTS_MOST - 1);
        char end = ' ';
        if (*line == '"') {
            end = '"';
            line++;
        }
        argv[count++] = line;
        while (*line && *line != end) line++;
        if (*line) *line++ = '\0';
    }
    argv[count] = NULL;
}

static inline void redirect(int fd, const char *path, int flags)
{
    int file = open(path, flags, 0600);
    if (file < 0 || dup2(file, fd) < 0) _exit(99);
}

static inline pid_t program_start(const char *arguments, const struct how *how)
{
    static char line[4096];
    char *argv[ARGUMENTS_MOST];
    pid_t child;

    assert_true(strlen(arguments) < sizeof line);
    strcpy(line, arguments);
    split_words(line, argv);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = { how->memory_bytes, how->memory_bytes };
        if (how->memory_bytes) setrlimit(RLIMIT_AS, &limit);
        signal(SIGINT, SIG_DFL); /* a test in the background of a shell has it ignored */
        alarm(120);
        redirect(0, how->in ? how->in : "/dev/null", O_RDONLY);
        redirect(1, how->out ? how->out : ".stdout", O_WRONLY | O_CREAT | O_TRUNC);
        redirect(2, how->err ? how->err : ".stderr", how->err ? O_WRONLY | O_NOCTTY : O_WRONLY | O_CREAT | O_TRUNC);
        execv(program_path, argv);
        _exit(99);
    }
    return child;
}

static inline void read_said(const char *path, char *text)
{
    FILE *f = fopen(path, "rb");
    size_t bytes = f ? fread(text, 1, SAID_BYTES - 1, f) : 0;
    text[bytes] = '\0';
    if (f) fclose(f);
}

static inline void program_end(pid_t child, struct run *run)
{
    int status;
    struct rusage used;
    assert_int_equal(wait4(child, &status, 0, &used), child);
    run->seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    run->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    read_said(".stdout", run->out);
    read_said(".stderr", run->err);
}

static inline struct run program_run_how(const char *arguments, const struct how *how)
{
    struct run run;
    program_end(program_start(arguments, how), &run);
    return run;
}

static inline struct run program_run(const char *arguments)
{
    return program_run_how(arguments, &(struct how) { 0 });
}

/* Ended with this code, nothing on stdout, and one line "tinct: ...words..." on stderr with at most one
 * line of advice. */
static inline void check_failed(const char *arguments, const struct run *run, int code, const char *words)
{
    const char *line_end = strchr(run->err, '\n'), *advice_end = line_end ? strchr(line_end + 1, '\n') : NULL;

    if (run->code != code) fail_msg("tinct %s: ended with %d, wanted %d\n%s", arguments, run->code, code, run->err);
    if (*run->out) fail_msg("tinct %s: wrote to stdout: %s", arguments, run->out);
    if (strncmp(run->err, "tinct: ", 7) != 0 || !line_end) fail_msg("tinct %s: said: %s", arguments, run->err);
    if (advice_end ? advice_end[1] : line_end[1]) fail_msg("tinct %s: said more than two lines: %s", arguments, run->err);
    const char *found = strstr(run->err, words);
    if (!found) fail_msg("tinct %s: said: %swanted: %s", arguments, run->err, words);
}

#endif
