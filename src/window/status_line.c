/* The line at the bottom: what is happening, how long it will take, on what. */
#include <SDL.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "window/parts.h"

static void write_time(char *out, size_t size, double seconds)
{
    long whole = (long)(seconds + 0.5);

    if (whole >= 3600) snprintf(out, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else snprintf(out, size, "%ld:%02ld", whole / 60, whole % 60);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void write_work(char *out, size_t size, const struct window *w)
{
    const struct painter_status *s = &w->status;
    char pictures[40] = "", rate[40] = "", left[40];

    if (s->phase == PAINTER_LOADING) {
        snprintf(out, size, "loading %.300s…", name_of(w->form.model));
        return;
    }
    if (s->purpose == PAINTER_COMPARE) snprintf(pictures, sizeof pictures, "comparing, ");
    if (s->images > 1) snprintf(pictures, sizeof pictures, "picture %d of %d, ", s->image + 1, s->images);
    if (s->stopping || !s->steps || !s->step) {
        snprintf(out, size, "%s%s", pictures, s->stopping ? "stopping…" : "reading the prompt…");
        return;
    }
    if (s->step_ms >= 1000) snprintf(rate, sizeof rate, ", %.2f s/it", s->step_ms / 1000);
    else if (s->step_ms > 0) snprintf(rate, sizeof rate, ", %.2f it/s", 1000 / s->step_ms);
    write_time(left, sizeof left, s->step_ms * ((s->steps - s->step) + (s->images - s->image - 1) * s->steps) / 1000);
    if (s->step >= s->steps) snprintf(out, size, "%sdecoding…", pictures);
    else snprintf(out, size, "%sstep %d of %d%s, %s left", pictures, s->step, s->steps, rate, left);
}

/* Of this process, shared pages included. */
static double memory_mib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f) return 0;
    if (fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1024.0 * 1024.0);
}

/* Left half: what happens or happened last. True where it is bad news. */
static bool write_left(char *out, size_t size, const struct window *w)
{
    if (w->status.phase != PAINTER_IDLE) {
        write_work(out, size, w);
        return false;
    }
    if (*w->message) {
        snprintf(out, size, "%s", w->message);
        return w->message_bad;
    }
    snprintf(out, size, "ready");
    return false;
}

/* "Save as [path] [Save] [Cancel]" in its place. */
static void show_save(struct window *w, struct ui_rect r)
{
    struct ui *ui = w->ui;
    float pad = ui_px(ui, 12), word = ui_px(ui, 64), button = ui_px(ui, 70), gap = ui_px(ui, 6), inset = ui_px(ui, 2);
    struct ui_rect field = { r.x + pad + word, r.y + inset, r.w - 2 * pad - word - 2 * (button + gap), r.h - 2 * inset };
    struct ui_rect save = { field.x + field.w + gap, field.y, button, field.h }, cancel = { save.x + button + gap, field.y, button, field.h };

    ui_label(ui, UI_SMALL, UI_TEXT, (struct ui_rect) { r.x + pad, r.y, word, r.h }, 0, "Save as");
    if (w->save_begins) ui_focus_next(ui);
    w->save_begins = false;
    ui_field(ui, "##save", field, w->save_path, sizeof w->save_path, "path of a PNG");
    trace_mark(&w->trace, "save", field, "%s", w->save_path);
    if (ui_button(ui, "Save##save", save, UI_PRIMARY)) files_save(w);
    if (ui_button(ui, "Cancel##save", cancel, UI_PLAIN)) w->saving = false;
}

void status_line_show(struct window *w, struct ui_rect r)
{
    struct ui *ui = w->ui;
    char left[WINDOW_MESSAGE_BYTES], right[2 * PAINTER_DEVICE_BYTES];
    float pad = ui_px(ui, 12), right_w;
    bool bad = write_left(left, sizeof left, w);
    double memory = memory_mib();
    const char *device = *w->status.device ? w->status.device : "no model loaded yet";

    if (memory >= 1024) snprintf(right, sizeof right, "%s   %.1f GiB", device, memory / 1024);
    else snprintf(right, sizeof right, "%s   %.0f MiB", device, memory);
    ui_fill(ui, r, UI_PANEL, 0);
    if (w->saving) {
        show_save(w, r);
        return;
    }
    right_w = ui_width(ui, UI_SMALL, right, 0);
    if (right_w > r.w * 0.45f) right_w = r.w * 0.45f;
    ui_label(ui, UI_SMALL, UI_FAINT, (struct ui_rect) { r.x + r.w - pad - right_w, r.y, right_w, r.h }, 1, right);
    struct ui_rect at = { r.x + pad, r.y, r.w - right_w - 3 * pad, r.h };
    ui_label(ui, UI_SMALL, bad ? UI_ERROR : w->status.phase != PAINTER_IDLE ? UI_TEXT : UI_MUTED, at, 0, left);
    if (ui_area(ui, "status", at).over && ui_width(ui, UI_SMALL, left, 0) > at.w) ui_tip(ui, left);
    trace_mark(&w->trace, "status", at, "%s", left);
}
