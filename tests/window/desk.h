/* A desk for the window under test: an X server of its own (Xvfb), the program on it, hands (xdotool) and eyes (the
 * screen's pixels, and the trace that the window writes of what is where). */
#ifndef TINCT_TESTS_WINDOW_DESK_H
#define TINCT_TESTS_WINDOW_DESK_H

#include <X11/Xlib.h>
#include <X11/Xutil.h>

#include "app/program.h"
#include "tinct.h"

enum { DESK_LINE_BYTES = 4096, DESK_PATIENCE = 60 }; /* seconds: a busy machine is slow, not wrong */

struct desk {
    pid_t server, window;
    Display *display;
    int width, height;
};

struct mark {
    int x, y, w, h;
    char value[DESK_LINE_BYTES];
};

static struct desk desk;

static inline void desk_rest(int ms)
{
    nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000L }, NULL);
}

static inline bool desk_has(const char *name)
{
    char command[200];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", name);
    return system(command) == 0;
}

/* The server chooses a number that is free and tells it. */
static inline void desk_begin(int width, int height)
{
    char screen[40], number[16] = ":", fd[16];
    int ends[2];

    desk = (struct desk) { .width = width, .height = height };
    snprintf(screen, sizeof screen, "%dx%dx24", width, height);
    assert_int_equal(pipe(ends), 0);
    snprintf(fd, sizeof fd, "%d", ends[1]);
    desk.server = fork();
    if (desk.server == 0) {
        redirect(1, "/dev/null", O_WRONLY);
        redirect(2, "/dev/null", O_WRONLY);
        execlp("Xvfb", "Xvfb", "-displayfd", fd, "-screen", "0", screen, "-nolisten", "tcp", (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    size_t used = 1;
    while (used < sizeof number - 1 && read(ends[0], number + used, 1) == 1 && number[used] != '\n') used++;
    close(ends[0]);
    number[used] = '\0';
    if (used < 2) fail_msg("Xvfb does not start");
    setenv("DISPLAY", number, 1);
    unsetenv("WAYLAND_DISPLAY");
    desk.display = XOpenDisplay(NULL);
    assert_non_null(desk.display);
}

static inline void desk_end(void)
{
    if (desk.display) XCloseDisplay(desk.display);
    if (desk.server > 0) {
        kill(desk.server, SIGTERM);
        waitpid(desk.server, NULL, 0);
    }
    desk = (struct desk) { 0 };
}

/* ---- the window ---- */

/* The trace's line of that name. */
static inline bool desk_look(const char *name, struct mark *mark)
{
    static char line[DESK_LINE_BYTES];
    size_t letters = strlen(name);
    bool found = false;
    FILE *f = fopen("trace", "rb");

    while (f && !found && fgets(line, sizeof line, f)) {
        if (strncmp(line, name, letters) != 0 || line[letters] != ' ') continue;
        int used = 0;
        found = sscanf(line + letters, " %d %d %d %d %n", &mark->x, &mark->y, &mark->w, &mark->h, &used) == 4;
        if (found) snprintf(mark->value, sizeof mark->value, "%s", line + letters + used);
        mark->value[strcspn(mark->value, "\n")] = '\0';
    }
    if (f) fclose(f);
    return found;
}

static inline bool desk_alive(void)
{
    return desk.window > 0 && waitpid(desk.window, NULL, WNOHANG) == 0;
}

/* Waits until the mark's value holds the words (absent: until it does not). */
static inline struct mark desk_wait(const char *name, const char *words, bool absent)
{
    struct mark mark = { 0 };
    char said[SAID_BYTES];

    for (int i = 0; i < DESK_PATIENCE * 50; i++) {
        if (desk_look(name, &mark) && (strstr(mark.value, words) == NULL) == absent) return mark;
        if (i % 50 == 49 && !desk_alive()) break;
        desk_rest(20);
    }
    read_said(".stderr", said);
    fail_msg("%s %s \"%s\"; it is \"%s\"; the program %s and said: %s", name, absent ? "kept" : "never became", words, mark.value,
             desk_alive() ? "runs" : "ended", said);
    return mark;
}

static inline struct mark desk_until(const char *name, const char *words)
{
    return desk_wait(name, words, false);
}

/* Opens it and waits for its first frame. */
static inline void desk_open(const char *arguments)
{
    static char line[4096];
    char *argv[ARGUMENTS_MOST];

    strcpy(line, arguments);
    split_words(line, argv);
    unlink("trace");
    setenv("TINCT_WINDOW_TRACE", "trace", 1);
    desk.window = fork();
    if (desk.window == 0) {
        redirect(0, "/dev/null", O_RDONLY);
        redirect(1, ".stdout", O_WRONLY | O_CREAT | O_TRUNC);
        redirect(2, ".stderr", O_WRONLY | O_CREAT | O_TRUNC);
#ifdef STAYING
        setenv("LD_PRELOAD", STAYING, 1);
#endif
        execv(program_path, argv);
        _exit(99);
    }
    desk_until("status", "");
}

/* Waits for its end. */
static inline struct run desk_closed(void)
{
    struct run run;
    program_end(desk.window, &run);
    desk.window = 0;
    return run;
}

/* As its close button does. */
static inline struct run desk_close(void)
{
    kill(desk.window, SIGTERM);
    return desk_closed();
}

/* ---- hands ---- */

static inline void hands(const char *fmt, ...)
{
    char command[DESK_LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    if (system(command) != 0) fail_msg("%s", command);
}

static inline void hands_key(const char *key)
{
    hands("xdotool key %s", key);
}

static inline void hands_type(const char *text)
{
    hands("xdotool type --delay 5 -- '%s'", text);
}

/* At a share of the mark's width and height. */
static inline void hands_move(const char *name, double across, double down)
{
    struct mark m = desk_until(name, "");
    hands("xdotool mousemove %d %d", m.x + (int)(m.w * across), m.y + (int)(m.h * down));
}

static inline void hands_click(const char *name)
{
    hands_move(name, 0.5, 0.5);
    desk_rest(60);
    hands("xdotool click 1");
}

/* Presses at one share of its width and lets go at another. */
static inline void hands_drag(const char *name, double from, double to)
{
    hands_move(name, from, 0.5);
    desk_rest(60);
    hands("xdotool mousedown 1");
    desk_rest(120);
    hands_move(name, (from + to) / 2, 0.5);
    desk_rest(120);
    hands_move(name, to, 0.5);
    desk_rest(120);
    hands("xdotool mouseup 1");
}

/* ---- eyes ---- */

/* Pixels of a part of the screen, rgb [h, w, 3]; free them. */
static inline unsigned char *eyes(int x, int y, int w, int h)
{
    XImage *image = XGetImage(desk.display, DefaultRootWindow(desk.display), x, y, (unsigned)w, (unsigned)h, AllPlanes, ZPixmap);
    unsigned char *rgb = malloc((size_t)w * (size_t)h * 3);

    assert_non_null(image);
    assert_non_null(rgb);
    for (int i = 0; i < w * h; i++) {
        unsigned long pixel = XGetPixel(image, i % w, i / w);
        rgb[3 * i] = (unsigned char)(pixel >> 16);
        rgb[3 * i + 1] = (unsigned char)(pixel >> 8);
        rgb[3 * i + 2] = (unsigned char)pixel;
    }
    XDestroyImage(image);
    return rgb;
}

/* A number that stands for what the middle of a mark looks like. */
static inline uint64_t eyes_hash(const char *name)
{
    struct mark m = desk_until(name, "");
    unsigned char *rgb = eyes(m.x + m.w / 4, m.y + m.h / 4, m.w / 2, m.h / 2);
    uint64_t hash = 14695981039346656037u;

    for (int i = 0; i < m.w / 2 * (m.h / 2) * 3; i++) hash = (hash ^ rgb[i]) * 1099511628211u;
    free(rgb);
    return hash;
}

/* No window is on the screen yet. */
static inline bool is_black(const struct tinct_image *image)
{
    const unsigned char *middle = image->rgb + 3 * ((size_t)image->height / 2 * (size_t)image->width + (size_t)image->width / 2);
    return !middle[0] && !middle[1] && !middle[2];
}

/* The screen into out/window-NAME.png. */
static inline void eyes_keep(const char *name)
{
    char path[1200];
    struct tinct_err err;
    struct tinct_image image = { .width = desk.width, .height = desk.height };

    desk_rest(150); /* what was asked for is drawn, and on the screen */
    image.rgb = eyes(0, 0, desk.width, desk.height);
    for (int i = 0; i < DESK_PATIENCE * 10 && is_black(&image); i++) {
        desk_rest(100);
        free(image.rgb);
        image.rgb = eyes(0, 0, desk.width, desk.height);
    }
    snprintf(path, sizeof path, "%s/../out/window-%s.png", TESTS_DIR, name);
    if (!tinct_image_save(&image, path, true, &err)) fail_msg("%s", err.text);
    free(image.rgb);
}

#endif
