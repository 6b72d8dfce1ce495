#include "window/shelf.h"

#include <SDL.h>
#include <stdlib.h>
#include <string.h>

struct shelf {
    SDL_Thread *thread;
    SDL_mutex *lock;
    void (*wake)(void *user);
    void *user;
    char *folders[5];                           /* lora_dir, models_dir, cache_dir, model, embedding_dir */
    struct tinct_loras *loras;                  /* the thread's own */
    struct tinct_embeddings *embeddings;        /* the thread's own until listed, then the window's */
    const char **names;                         /* under the lock, all below */
    const struct tinct_lora_card **cards;
    size_t count, wanted;
    bool listed, quit, ended, left;             /* left: the thread frees it all */
    struct tinct_err err;
};

static void dispose(struct shelf *s)
{
    tinct_loras_close(s->loras);
    tinct_embeddings_close(s->embeddings);
    free(s->names);
    free(s->cards);
    for (int i = 0; i < 5; i++) free(s->folders[i]);
    if (s->lock) SDL_DestroyMutex(s->lock);
    free(s);
}

/* ---- the thread's side ---- */

static bool list(struct shelf *s)
{
    struct tinct_err err = { .code = TINCT_OK };
    struct tinct_loras *loras = tinct_loras_open(&(struct tinct_lora_list_options) {
        .lora_dir = s->folders[0], .models_dir = s->folders[1], .cache_dir = s->folders[2], .model = s->folders[3] }, &err);
    struct tinct_embeddings *embeddings = tinct_embeddings_open(&(struct tinct_options) {
        .embedding_dir = s->folders[4], .models_dir = s->folders[1], .cache_dir = s->folders[2] }, loras ? &err : NULL);
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
    s->embeddings = embeddings;
    s->listed = true;
    s->err = err;
    if (!s->quit) s->wake(s->user);
    SDL_UnlockMutex(s->lock);
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

static void wake(struct shelf *s)
{
    SDL_LockMutex(s->lock);
    if (!s->quit) s->wake(s->user);
    SDL_UnlockMutex(s->lock);
}

static void read_all(struct shelf *s)
{
    size_t at = 0, index;
    Uint32 woken = 0;

    while ((index = next(s, &at)) < s->count) {
        const struct tinct_lora_card *card = tinct_loras_card(s->loras, index, NULL);
        if (!card) break;
        SDL_LockMutex(s->lock);
        s->cards[index] = card;
        SDL_UnlockMutex(s->lock);
        if (SDL_GetTicks() - woken < 50) continue;     /* a thousand cards are not a thousand frames */
        woken = SDL_GetTicks();
        wake(s);
    }
    wake(s);
}

static int run(void *user)
{
    struct shelf *s = user;

    if (list(s)) read_all(s);
    SDL_LockMutex(s->lock);
    s->ended = true;
    bool left = s->left;
    SDL_UnlockMutex(s->lock);
    if (left) dispose(s);
    return 0;
}

/* ---- the window's side ---- */

static char *copy(const char *text)
{
    char *c = text ? malloc(strlen(text) + 1) : NULL;
    return c ? strcpy(c, text) : NULL;
}

struct shelf *shelf_open(const struct tinct_lora_list_options *options, const char *embedding_dir, void (*wake_up)(void *user),
                         void *user)
{
    struct shelf *s = calloc(1, sizeof *s);

    if (!s) return NULL;
    s->wake = wake_up;
    s->user = user;
    s->folders[0] = copy(options->lora_dir);
    s->folders[1] = copy(options->models_dir);
    s->folders[2] = copy(options->cache_dir);
    s->folders[3] = copy(options->model);
    s->folders[4] = copy(embedding_dir);
    s->lock = SDL_CreateMutex();
    if (s->lock) s->thread = SDL_CreateThread(run, "loras", s);
    if (s->thread) return s;
    dispose(s);
    return NULL;
}

void shelf_close(struct shelf *s, bool wait)
{
    if (!s) return;
    if (!s->thread) {
        dispose(s);
        return;
    }
    SDL_LockMutex(s->lock);
    s->quit = true;
    s->left = !wait && !s->ended;
    bool left = s->left;
    SDL_Thread *thread = s->thread;
    SDL_UnlockMutex(s->lock);
    if (left) {
        SDL_DetachThread(thread);
        return;
    }
    SDL_WaitThread(thread, NULL);
    dispose(s);
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

struct tinct_embeddings *shelf_embeddings(struct shelf *s)
{
    return s && shelf_listed(s) ? s->embeddings : NULL;
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
