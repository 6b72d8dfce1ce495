#include "window/history.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { THUMB_PX = 192, TEXTURES_MOST = 400 };

static bool grow(struct history *h)
{
    if (h->count < h->room) return true;
    size_t room = h->room ? 2 * h->room : 64;
    struct history_entry *grown = realloc(h->entries, room * sizeof *grown);
    if (!grown) return false;
    h->entries = grown;
    h->room = room;
    return true;
}

static char *copy(const char *text)
{
    char *c = malloc(strlen(text) + 1);
    return c ? strcpy(c, text) : NULL;
}

/* ---- the folder ---- */

struct found {
    struct history_entry entry;
    double when;
};

static int newest_first(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->when != y->when) return x->when < y->when ? 1 : -1;
    return strcmp(y->entry.path, x->entry.path);
}

static bool is_png(const char *name)
{
    size_t bytes = strlen(name);
    return name[0] != '.' && bytes > 4 && strcmp(name + bytes - 4, ".png") == 0;
}

static size_t list(const char *folder, struct found **out)
{
    DIR *open = opendir(folder);
    const struct dirent *e;
    struct found *found = NULL;
    size_t count = 0, room = 0;
    char path[FORM_PATH_BYTES];
    struct stat st;

    while (open && (e = readdir(open))) {
        int used = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (!is_png(e->d_name) || used < 0 || (size_t)used >= sizeof path || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) continue;
        if (count == room) {
            struct found *grown = realloc(found, (room = room ? 2 * room : 64) * sizeof *found);
            if (!grown) break;
            found = grown;
        }
        char *kept = copy(path);
        if (kept) found[count++] = (struct found) { { .path = kept }, (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9 };
    }
    if (open) closedir(open);
    *out = found;
    return count;
}

void history_open(struct history *h, const char *folder)
{
    struct found *found = NULL;
    size_t count = folder ? list(folder, &found) : 0;

    *h = (struct history) { .next_id = 1 };
    if (count) qsort(found, count, sizeof *found, newest_first);
    for (size_t i = 0; i < count; i++) {
        if (!grow(h)) {
            free(found[i].entry.path);
            continue;
        }
        h->entries[h->count] = found[i].entry;
        h->entries[h->count++].id = h->next_id++;
    }
    free(found);
    h->selected = h->count;
}

void history_close(struct history *h, struct ui *ui)
{
    for (size_t i = 0; i < h->count; i++) {
        ui_texture_free(ui, h->entries[i].texture);
        free(h->entries[i].path);
    }
    free(h->entries);
    *h = (struct history) { 0 };
}

/* ---- pictures ---- */

static void set_texture(struct history *h, struct ui *ui, struct history_entry *e, int w, int height, const unsigned char *rgb)
{
    if (!e->texture) h->textures++;
    e->texture = ui_texture(ui, e->texture, w, height, rgb);
    e->w = w;
    e->h = height;
}

void history_add(struct history *h, struct ui *ui, const char *path, const struct tinct_image *image)
{
    int w = image->width, height = image->height;
    char *kept = copy(path);

    if (!kept || !grow(h)) {
        free(kept);
        return;
    }
    memmove(h->entries + 1, h->entries, h->count * sizeof *h->entries);
    h->entries[0] = (struct history_entry) { .id = h->next_id++, .path = kept };
    h->count++;
    h->selected = 0;
    h->reveal = true;
    unsigned char *small = loader_reduce(image->rgb, &w, &height, THUMB_PX);
    if (small) set_texture(h, ui, &h->entries[0], w, height, small);
    free(small);
}

/* Where there are many, those farthest from what is seen are let go. */
static void make_room(struct history *h, struct ui *ui, size_t first, size_t last)
{
    for (size_t i = 0; i < h->count && h->textures > TEXTURES_MOST; i++) {
        struct history_entry *e = &h->entries[i];
        bool near = i + TEXTURES_MOST / 4 >= first && i <= last + TEXTURES_MOST / 4;
        if (!e->texture || near) continue;
        ui_texture_free(ui, e->texture);
        e->texture = 0;
        e->asked = false;
        h->textures--;
    }
}

void history_loaded(struct history *h, struct ui *ui, const struct loader_result *result)
{
    for (size_t i = 0; i < h->count; i++) {
        struct history_entry *e = &h->entries[i];
        if (e->id != result->id) continue;
        if (result->image.rgb) set_texture(h, ui, e, result->image.width, result->image.height, result->image.rgb);
        else e->failed = true;
    }
}

/* ---- the strip ---- */

static void draw(struct ui *ui, const struct history_entry *e, struct ui_rect r, bool selected, bool over)
{
    float round = ui_px(ui, 4), thick = ui_px(ui, 2);

    ui_fill(ui, r, UI_FIELD, round);
    if (e->texture) {
        float scale = r.w / (float)e->w < r.h / (float)e->h ? r.w / (float)e->w : r.h / (float)e->h;
        float w = (float)e->w * scale, h = (float)e->h * scale;
        ui_picture(ui, e->texture, (struct ui_rect) { r.x + (r.w - w) / 2, r.y + (r.h - h) / 2, w, h }, UI_SMOOTH);
    } else {
        ui_label(ui, UI_SMALL, UI_FAINT, r, 0.5f, e->failed ? "unreadable" : "…");
    }
    if (selected) ui_outline(ui, r, UI_ACCENT, round, thick);
    else if (over) ui_outline(ui, r, UI_MUTED, round, ui_px(ui, 1));
}

bool history_show(struct history *h, struct ui *ui, struct loader *loader, struct ui_rect r)
{
    float pad = ui_px(ui, 6), bar = ui_px(ui, 11), side = r.h - pad - bar, step = side + pad;
    float scrolled = ui_strip_begin(ui, "history", r);
    size_t first = (size_t)(scrolled / step), seen = (size_t)(r.w / step) + 2;
    bool clicked = false;
    char id[32];

    size_t last = first + seen < h->count ? first + seen : h->count;
    for (size_t i = last; i-- > first;) {
        struct history_entry *e = &h->entries[i];
        struct ui_rect at = { r.x + ui_px(ui, 2) + step * (float)i - scrolled, r.y + pad, side, side };
        snprintf(id, sizeof id, "%llu", (unsigned long long)e->id);
        struct ui_area area = ui_area(ui, id, at);
        if (!e->texture && !e->asked && !e->failed) e->asked = loader_ask(loader, LOADER_HISTORY, e->id, e->path, THUMB_PX);
        draw(ui, e, at, i == h->selected, area.over);
        ui_tip(ui, e->path);
        if (area.clicked) {
            h->selected = i;
            clicked = true;
        }
    }
    if (h->reveal && h->selected < h->count) ui_strip_to(ui, step * (float)h->selected, side);
    h->reveal = false;
    make_room(h, ui, first, last);
    ui_strip_end(ui, step * (float)h->count);
    return clicked;
}

bool history_walk(struct history *h, int by)
{
    if (!h->count) return false;
    size_t to = h->selected >= h->count ? 0 : by < 0 ? h->selected - (h->selected > 0) : h->selected + (h->selected + 1 < h->count);
    bool moved = to != h->selected;
    h->selected = to;
    h->reveal = true;
    return moved;
}

const char *history_path(const struct history *h)
{
    return h->selected < h->count ? h->entries[h->selected].path : NULL;
}
