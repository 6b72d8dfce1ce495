#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_USUAL = 80, WIDTH_MOST = 100, BAR_LEAST = 5 };

static int terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return WIDTH_USUAL;
    return size.ws_col < WIDTH_MOST ? size.ws_col : WIDTH_MOST;
}

struct progress progress_start(int pictures, bool quiet)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool shown = !quiet && isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);

    return (struct progress) { .shown = shown, .coloured = shown && (!no_color || !*no_color), .pictures = pictures };
}

void progress_clear(const struct progress *p)
{
    if (p->shown) fputs("\r\033[K", stderr);
}

void progress_say(const struct progress *p, const char *text)
{
    if (!p->shown) return;
    progress_clear(p);
    fputs(text, stderr);
    fflush(stderr);
}

/* "1.84 it/s" or, slower than that, "2.31 s/it", and the time that is left. */
static void write_rate(char *out, size_t size, double step_ms, int steps_left)
{
    long seconds = (long)(step_ms * steps_left / 1000 + 0.5);
    char left[32];

    if (seconds >= 3600)
        snprintf(left, sizeof left, "%ld:%02ld:%02ld", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        snprintf(left, sizeof left, "%ld:%02ld", seconds / 60, seconds % 60);
    if (step_ms <= 0)
        *out = '\0';
    else if (step_ms < 1000)
        snprintf(out, size, "  %.2f it/s  %s left", 1000 / step_ms, left);
    else
        snprintf(out, size, "  %.2f s/it  %s left", step_ms / 1000, left);
}

void progress_line(char *out, size_t size, int width, const struct progress *p, int picture, int step, int steps)
{
    char before[48] = "", rate[80], bar[WIDTH_MOST + 1];
    int steps_left = steps - step + (p->pictures - picture - 1) * steps;

    if (p->pictures > 1) snprintf(before, sizeof before, "%d/%d  ", picture + 1, p->pictures);
    snprintf(before + strlen(before), sizeof before - strlen(before), "%*d/%d", steps >= 100 ? 3 : 2, step, steps);
    write_rate(rate, sizeof rate, p->step_ms, steps_left);

    int room = width - 1 - (int)strlen(before) - 3 - (int)strlen(rate);
    if (room > WIDTH_MOST) room = WIDTH_MOST;
    if (room < BAR_LEAST) {
        snprintf(out, size, "%s%s", before, rate);
        return;
    }
    int filled = steps > 0 ? (int)((long)room * step / steps) : 0;
    memset(bar, ' ', (size_t)room);
    memset(bar, '=', (size_t)filled);
    if (filled && filled < room) bar[filled - 1] = '>';
    bar[room] = '\0';
    snprintf(out, size, "%s [%s]%s", before, bar, rate);
}

void progress_step(struct progress *p, int picture, const struct tinct_progress *step)
{
    char line[256];

    p->step_ms = p->step_ms > 0 ? 0.7 * p->step_ms + 0.3 * step->step_ms : step->step_ms;
    if (!p->shown) return;
    progress_line(line, sizeof line, terminal_width(), p, picture, step->step, step->steps);
    fprintf(stderr, "\r%s%s%s\033[K", p->coloured ? "\033[36m" : "", line, p->coloured ? "\033[0m" : "");
    fflush(stderr);
}
