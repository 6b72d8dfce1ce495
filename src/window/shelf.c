#include "window/shelf.h"

#include <SDL.h>
#include <stdlib.h>
#include <string.h>

struct shelf {
    SDL_Thread *thread;
    SDL_mutex *lock;
    void (*wake)(void *user);
    void *user;
    char *folders[4];                           /* lora_dir, models_dir, cache_dir, model */
    struct tinct_loras *loras;                  /* the thread's own */
    const char **names;                         /* under the lock, all below */
    const struct tinct_lora_card **cards;
    size_t count, wanted;
    bool listed, quit;
    struct tinct_err err;
};

/* ---- the thread's side ---- */

static bool list(struct shelf *s)
{
    struct tinct_err err = { .code = TINCT_OK };
    struct tinct_loras *loras = tinct_loras_open(&(struct tinct_lora_list_options) {
        .lora_dir = s->folders[0], .models_dir = s->folders[1], .cache_dir = s->folders[2], .model = s->folders[3] }, &err);
    size_t count = loras ? tinct_loras_count(loras) : 0;
    const char **names = calloc(count + 1, sizeof *names);
    const struct tinct_lora_card **cards = calloc(count + 1, sizeof *cards);

    s->loras = loras;
    for (size_t i = 0; names && i < count; i++) names[i] = tinct_loras_name(loras, i);
    SDL_LockMutex(s->lock);
    s->names = names;
    s->cards = cards;
    s->count = names && cards ? count : 0;
    s->wanted = s->count;
    s->listed = true;
    s->err = err;
    SDL_UnlockMutex(s->lock);
    s->wake(s->user);
    return loras && names && cards;
}

/* The wanted one, else the next that is not read; count when all are. */
static size_t next(struct shelf *s, size_t *at)
{
    SDL_LockMutex(s->lock);
    size_t i = s->wanted;
    s->wanted = s->count;
    while (*at < s->count && s->cards[*at]) (*at)++;
    if (i >= s->count || s->cards[i]) i = *at;
    if (s->quit) i = s->count;
    SDL_UnlockMutex(s->lock);
    return i;
}

static int run(void *user)
{
    struct shelf *s = user;
    size_t at = 0, index;
    Uint32 woken = 0;

    if (!list(s)) return 0;
    while ((index = next(s, &at)) < s->count) {
        const struct tinct_lora_card *card = tinct_loras_card(s->loras, index, NULL);
        if (!card) break;
        SDL_LockMutex(s->lock);
        s->cards[index] = card;
        SDL_UnlockMutex(s->lock);
        if (SDL_GetTicks() - woken < 50) continue;     /* a thousand cards are not a thousand frames */
        woken = SDL_GetTicks();
        s->wake(s->user);
    }
    s->wake(s->user);
    return 0;
}

/* ---- the window's side ---- */

static char *copy(const char *text)
{
    char *c = text ? malloc(strlen(text) + 1) : NULL;
    return c ? strcpy(c, text) : NULL;
}

struct shelf *shelf_open(const struct tinct_lora_list_options *options, void (*wake)(void *user), void *user)
{
    struct shelf *s = calloc(1, sizeof *s);

    if (!s) return NULL;
    s->wake = wake;
    s->user = user;
    s->folders[0] = copy(options->lora_dir);
    s->folders[1] = copy(options->models_dir);
    s->folders[2] = copy(options->cache_dir);
    s->folders[3] = copy(options->model);
    s->lock = SDL_CreateMutex();
    if (s->lock) s->thread = SDL_CreateThread(run, "loras", s);
    if (s->thread) return s;
    shelf_close(s);
    return NULL;
}

void shelf_close(struct shelf *s)
{
    if (!s) return;
    if (s->thread) {
        SDL_LockMutex(s->lock);
        s->quit = true;
        SDL_UnlockMutex(s->lock);
        SDL_WaitThread(s->thread, NULL);
    }
    tinct_loras_close(s->loras);
    free(s->names);
    free(s->cards);
    for (int i = 0; i < 4; i++) free(s->folders[i]);
    if (s->lock) SDL_DestroyMutex(s->lock);
    free(s);
}

size_t shelf_count(struct shelf *s)
{
    SDL_LockMutex(s->lock);
    size_t count = s->count;
    SDL_UnlockMutex(s->lock);
    return count;
}

bool shelf_listed(struct shelf *s)
{
    SDL_LockMutex(s->lock);
    bool listed = s->listed;
    SDL_UnlockMutex(s->lock);
    return listed;
}

const char *shelf_error(struct shelf *s)
{
    return shelf_listed(s) && s->err.code != TINCT_OK ? s->err.text : NULL;
}

const char *shelf_name(struct shelf *s, size_t index)
{
    return s->names[index];
}

const struct tinct_lora_card *shelf_card(struct shelf *s, size_t index)
{
    SDL_LockMutex(s->lock);
    const struct tinct_lora_card *card = s->cards[index];
    SDL_UnlockMutex(s->lock);
    return card;
}

void shelf_want(struct shelf *s, size_t index)
{
    SDL_LockMutex(s->lock);
    s->wanted = index;
    SDL_UnlockMutex(s->lock);
}

static const char *file_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

static bool is_called(const struct tinct_lora_card *card, const char *alias)
{
    return card && card->readable && *card->alias && strcmp(card->alias, alias) == 0;
}

bool shelf_find(struct shelf *s, const char *name, size_t *index)
{
    SDL_LockMutex(s->lock);
    size_t count = s->count, found = count;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(s->names[i], name) == 0) {
            found = i;
            break;
        }
        if (found == count && (strcmp(file_name(s->names[i]), name) == 0 || is_called(s->cards[i], name))) found = i;
    }
    SDL_UnlockMutex(s->lock);
    *index = found;
    return found < count;
}
