#include "window/loader.h"

#include <SDL.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MOST = 64, DONE_MOST = 32 };

struct request {
    enum loader_kind kind;
    uint64_t id;
    int most;
    char path[FORM_PATH_BYTES];
};

struct loader {
    SDL_Thread *thread;
    SDL_mutex *lock;
    SDL_cond *changed;
    void (*wake)(void *user);
    void *user;
    struct request waiting[WAITING_MOST];       /* the last is the next */
    int waiting_count, done_count;
    struct loader_result *done[DONE_MOST];
    bool quit;
};

/* ---- smaller ---- */

static void mean(const unsigned char *rgb, int w, int x0, int x1, int y0, int y1, unsigned char *out)
{
    unsigned sum[3] = { 0 }, count = (unsigned)((x1 - x0) * (y1 - y0));

    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            for (int c = 0; c < 3; c++) sum[c] += rgb[3 * ((size_t)y * (size_t)w + (size_t)x) + (size_t)c];
    for (int c = 0; c < 3; c++) out[c] = (unsigned char)((sum[c] + count / 2) / count);
}

unsigned char *loader_reduce(const unsigned char *rgb, int *w, int *h, int most)
{
    int longer = *w > *h ? *w : *h, to = longer < most ? longer : most;
    int small_w = (int)((long)*w * to / longer), small_h = (int)((long)*h * to / longer);

    small_w = small_w < 1 ? 1 : small_w;
    small_h = small_h < 1 ? 1 : small_h;
    unsigned char *small = malloc(3 * (size_t)small_w * (size_t)small_h);
    for (int y = 0; small && y < small_h; y++)
        for (int x = 0; x < small_w; x++)
            mean(rgb, *w, (int)((long)x * *w / small_w), (int)(((long)x + 1) * *w / small_w), (int)((long)y * *h / small_h),
                 (int)(((long)y + 1) * *h / small_h), small + 3 * ((size_t)y * (size_t)small_w + (size_t)x));
    *w = small_w;
    *h = small_h;
    return small;
}

/* ---- the thread's side ---- */

static void load(const struct request *r, struct loader_result *out)
{
    *out = (struct loader_result) { .kind = r->kind, .id = r->id };
    snprintf(out->path, sizeof out->path, "%s", r->path);
    if (r->kind == LOADER_ABOUT) {
        out->about = tinct_describe_file(r->path, true, &out->err);
        return;
    }
    if (!tinct_image_load(r->path, &out->image, &out->err) || r->most == 0) return;
    unsigned char *small = loader_reduce(out->image.rgb, &out->image.width, &out->image.height, r->most);
    int w = out->image.width, h = out->image.height;
    tinct_image_free(&out->image);
    out->image = (struct tinct_image) { .width = w, .height = h, .rgb = small };
}

static int run(void *user)
{
    struct loader *l = user;

    SDL_LockMutex(l->lock);
    for (;;) {
        while (!l->quit && (!l->waiting_count || l->done_count == DONE_MOST)) SDL_CondWait(l->changed, l->lock);
        if (l->quit) break;
        struct request request = l->waiting[--l->waiting_count];
        struct loader_result *result = malloc(sizeof *result);
        if (!result) continue;
        SDL_UnlockMutex(l->lock);
        load(&request, result);
        SDL_LockMutex(l->lock);
        l->done[l->done_count++] = result;
        l->wake(l->user);
    }
    SDL_UnlockMutex(l->lock);
    return 0;
}

/* ---- the window's side ---- */

struct loader *loader_start(void (*wake)(void *user), void *user)
{
    struct loader *l = calloc(1, sizeof *l);

    if (!l) return NULL;
    l->wake = wake;
    l->user = user;
    l->lock = SDL_CreateMutex();
    l->changed = SDL_CreateCond();
    if (l->lock && l->changed) l->thread = SDL_CreateThread(run, "loader", l);
    if (l->thread) return l;
    loader_close(l);
    return NULL;
}

void loader_close(struct loader *l)
{
    if (!l) return;
    if (l->thread) {
        SDL_LockMutex(l->lock);
        l->quit = true;
        SDL_CondBroadcast(l->changed);
        SDL_UnlockMutex(l->lock);
        SDL_WaitThread(l->thread, NULL);
    }
    for (int i = 0; i < l->done_count; i++) {
        tinct_image_free(&l->done[i]->image);
        tinct_text_free(l->done[i]->about);
        free(l->done[i]);
    }
    if (l->changed) SDL_DestroyCond(l->changed);
    if (l->lock) SDL_DestroyMutex(l->lock);
    free(l);
}

static void drop_waiting(struct loader *l, int index)
{
    memmove(l->waiting + index, l->waiting + index + 1, (size_t)(--l->waiting_count - index) * sizeof *l->waiting);
}

bool loader_ask(struct loader *l, enum loader_kind kind, uint64_t id, const char *path, int most)
{
    SDL_LockMutex(l->lock);
    bool whole_waits = l->waiting_count && l->waiting[l->waiting_count - 1].kind == LOADER_WHOLE;
    if (whole_waits && kind == LOADER_WHOLE) drop_waiting(l, l->waiting_count - 1);
    if (kind == LOADER_WHOLE && l->waiting_count == WAITING_MOST) drop_waiting(l, 0);
    bool room = l->waiting_count < WAITING_MOST && strlen(path) < FORM_PATH_BYTES;
    if (room) {
        bool below = whole_waits && kind != LOADER_WHOLE;
        if (below) l->waiting[l->waiting_count] = l->waiting[l->waiting_count - 1];
        struct request *r = &l->waiting[l->waiting_count - below];
        *r = (struct request) { .kind = kind, .id = id, .most = most };
        strcpy(r->path, path);
        l->waiting_count++;
        SDL_CondBroadcast(l->changed);
    }
    SDL_UnlockMutex(l->lock);
    return room;
}

bool loader_take(struct loader *l, struct loader_result *out)
{
    SDL_LockMutex(l->lock);
    bool any = l->done_count > 0;
    if (any) {
        *out = *l->done[0];
        free(l->done[0]);
        memmove(l->done, l->done + 1, (size_t)--l->done_count * sizeof *l->done);
        SDL_CondBroadcast(l->changed);
    }
    SDL_UnlockMutex(l->lock);
    return any;
}
