#include "pipeline/lora_stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lora_stack {
    struct tinct *t;
    struct prompt parsed;
    struct lora_wish *wishes;          /* [count], those that are not there left out */
    size_t count;
    struct str prompt, negative, hashes, not_found, told;
    uint64_t active;                   /* a bit a wish: whose UNet part the weights hold */
    bool applied;
};

/* ---- names ------------------------------------------------------------------------ */

/* Is the name of recipe's item [begin, end) this one? A1111 writes names without ':' and ','. */
static bool is_item_of(const char *begin, const char *end, const char *name)
{
    for (; *name; name++) {
        if (*name == ':' || *name == ',') continue;
        if (begin == end || *begin++ != *name) return false;
    }
    return begin == end;
}

/* "arcane: 0123456789ab, other: ..." -> the digits of name, "" where it is not among them. */
static void recipe_hash(const char *hashes, const char *name, char out[LORA_HASH_DIGITS + 1])
{
    *out = '\0';
    while (hashes && *hashes) {
        const char *item = hashes + strspn(hashes, ", "), *colon = item + strcspn(item, ":,");
        const char *digits = colon + strspn(colon, ": ");
        size_t count = strspn(digits, "0123456789abcdef");
        hashes = digits + strcspn(digits, ",");
        if (*colon != ':' || count < 10 || !is_item_of(item, colon, name)) continue;
        snprintf(out, LORA_HASH_DIGITS + 1, "%.*s", (int)count, digits);
    }
}

bool lora_wish_find(struct lora_wish *w, struct tinct *t, struct lora_places *places, const struct tinct_txt2img *p,
                    struct tinct_err *err)
{
    char hash[LORA_HASH_DIGITS + 1];
    bool other;

    recipe_hash(p->lora_hashes, w->name, hash);
    const struct lora_entry *entry = lora_places_find(places, w->name, hash, &other, err);
    if (!entry) return p->lenient && places->folder && lora_folder_lacks(places->folder, w->name);
    if (t && other && !strncmp(entry->hash, hash, strlen(hash)))
        context_log(t, TINCT_LOG_INFO, "%s: found as %s by the recipe's hash", w->name, entry->name);
    else if (t && other)
        context_log(t, TINCT_LOG_WARN, "%s: not the file of the recipe, whose hash is %s", w->name, hash);
    w->path = malloc(strlen(entry->path) + 1);
    if (!w->path) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a LoRA's name");
    strcpy(w->path, entry->path);
    return true;
}

static bool find_all(struct lora_stack *l, const struct tinct_txt2img *p, struct tinct_err *err)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (!lora_wish_find(&l->wishes[i], l->t, &l->t->places, p, err)) return false;
    for (size_t i = 0; i < l->count; i++) {
        if (l->wishes[i].path) {
            l->wishes[kept++] = l->wishes[i];
            continue;
        }
        context_log(l->t, TINCT_LOG_WARN, "LoRA \"%s\" is not there: painting without it", l->wishes[i].name);
        str_addf(&l->not_found, "%s%s", l->not_found.length ? ", " : "", l->wishes[i].name);
    }
    l->count = kept;
    return true;
}

bool context_adapters(struct tinct *t, struct tinct_err *err)
{
    if (!t->adapters)
        t->adapters = adapters_create(t->model, &(struct adapters_options) {
            .cache_dir = t->cache_dir, .threads = t->threads }, err);
    return t->adapters != NULL;
}

static bool open_all(struct lora_stack *l, struct tinct_err *err)
{
    if (l->count && !context_adapters(l->t, err)) return false;
    for (size_t i = 0; i < l->count; i++) {
        struct lora_wish *w = &l->wishes[i];
        double begin = context_now_ms();
        if (!(w->adapter = adapters_open(l->t->adapters, w->path, err))) return false;
        w->ms = context_now_ms() - begin;
    }
    return true;
}

/* ---- words ------------------------------------------------------------------------ */

/* Was the same file called by the same name before? */
static bool is_repeated(const struct lora_stack *l, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (l->wishes[i].adapter == l->wishes[at].adapter && !strcmp(l->wishes[i].name, l->wishes[at].name)) return true;
    return false;
}

static void add_hashes(struct lora_stack *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (is_repeated(l, i)) continue;
        if (l->hashes.length) str_add(&l->hashes, ", ");
        for (const char *c = l->wishes[i].name; *c; c++)
            if (*c != ':' && *c != ',') str_add_bytes(&l->hashes, c, 1);
        str_addf(&l->hashes, ": %s", l->wishes[i].adapter->hash);
    }
}

/* Trigger words go behind the prompt; with AND in it before it, since its last part may end with a weight. */
static bool add_words(struct lora_stack *l, const struct tinct_txt2img *p, bool fresh, struct tinct_err *err)
{
    struct str plain = { 0 }, words = { 0 }, missing = { 0 };
    bool ok = true, in_front = l->parsed.part_count > 1;

    lora_strip(&plain, p->prompt, &l->parsed, true);
    for (size_t i = 0; ok && i < l->count; i++) {
        if (is_repeated(l, i)) continue;
        ok = lora_missing_words(l->t, &l->wishes[i], plain.bytes ? plain.bytes : "", p->triggers ? &words : &missing);
        if (fresh && missing.length)
            context_log(l->t, TINCT_LOG_INFO, "%s: the prompt lacks its trigger words: %s", l->wishes[i].name, missing.bytes);
        str_free(&missing);
    }
    if (words.length && fresh) context_log(l->t, TINCT_LOG_INFO, "trigger words added: %s", words.bytes);
    if (words.length && in_front) str_addf(&l->prompt, "%s, ", words.bytes);
    str_add(&l->prompt, p->prompt);
    if (words.length && !in_front) str_addf(&l->prompt, "%s%s", plain.length ? ", " : "", words.bytes);
    for (size_t i = 0; i < l->count; i++) {
        if (l->wishes[i].tagged) continue;
        str_add(&l->prompt, " ");
        lora_wish_tag(&l->prompt, &l->wishes[i]);
    }
    ok = (ok && !plain.failed && !words.failed && !l->prompt.failed) || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
    str_free(&plain);
    str_free(&words);
    return ok;
}

/* Tags in the negative prompt are not what people mean by them: a LoRA changes the whole model. */
static bool strip_negative(struct lora_stack *l, const struct tinct_txt2img *p, struct tinct_err *err)
{
    struct prompt parsed;

    if (!strstr(p->negative, "<lora:") && !strstr(p->negative, "<lyco:")) {
        str_add(&l->negative, p->negative);
    } else {
        if (!prompt_parse(&parsed, p->negative, &(struct prompt_options) { .steps = p->steps }, err))
            return tinct_within(err, "negative prompt");
        lora_strip(&l->negative, p->negative, &parsed, false);
        for (size_t i = 0; i < parsed.lora_count; i++)
            context_log(l->t, TINCT_LOG_WARN, "<lora:%s> in the negative prompt does nothing: LoRAs belong into the prompt",
                        parsed.loras[i].name);
        prompt_free(&parsed);
    }
    return !l->negative.failed || tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
}

/* Pictures of one batch say the same only once. */
static bool is_news(struct lora_stack *l, const struct tinct_txt2img *p)
{
    for (size_t i = 0; i < l->count; i++) {
        str_addf(&l->told, "%llu ", (unsigned long long)l->wishes[i].adapter->serial);
        lora_wish_tag(&l->told, &l->wishes[i]);
    }
    str_addf(&l->told, "%s", p->prompt);
    bool news = !l->t->told || !l->told.bytes || strcmp(l->t->told, l->told.bytes);
    free(l->t->told);
    l->t->told = str_take(&l->told, NULL);
    return news;
}

/* ---- a picture's LoRAs ---------------------------------------------------------------- */

struct lora_stack *lora_stack_create(struct tinct *t, const struct tinct_txt2img *p, struct tinct_err *err)
{
    struct lora_stack *l = calloc(1, sizeof *l);

    if (!l) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
        return NULL;
    }
    l->t = t;
    if (t->adapters) adapters_trim(t->adapters);
    if (!prompt_parse(&l->parsed, p->prompt, &(struct prompt_options) { .steps = p->steps }, err)) goto fail;
    if (!(l->wishes = lora_wishes(t, &l->parsed, p, &l->count, err))) goto fail;
    if (!find_all(l, p, err) || !open_all(l, err)) goto fail;
    bool news = is_news(l, p);
    if (news) lora_tell_tags(t, &l->parsed);
    for (size_t i = 0; news && i < l->count; i++) lora_tell(t, &l->wishes[i], p->steps);
    if (!add_words(l, p, news, err) || !strip_negative(l, p, err)) goto fail;
    add_hashes(l);
    if (!l->hashes.failed && !l->not_found.failed) return l;
    tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a prompt");
fail:
    lora_stack_free(l);
    return NULL;
}

void lora_stack_free(struct lora_stack *l)
{
    if (!l) return;
    for (size_t i = 0; i < l->count; i++) free(l->wishes[i].path);
    free(l->wishes);
    prompt_free(&l->parsed);
    str_free(&l->prompt);
    str_free(&l->negative);
    str_free(&l->hashes);
    str_free(&l->not_found);
    str_free(&l->told);
    free(l);
}

static const char *text_of(const struct str *s)
{
    return s->bytes ? s->bytes : "";
}

const char *lora_stack_prompt(const struct lora_stack *l)
{
    return text_of(&l->prompt);
}

const char *lora_stack_negative(const struct lora_stack *l)
{
    return text_of(&l->negative);
}

const char *lora_stack_hashes(const struct lora_stack *l)
{
    return text_of(&l->hashes);
}

const char *lora_stack_not_found(const struct lora_stack *l)
{
    return text_of(&l->not_found);
}

/* ---- weights ---------------------------------------------------------------------- */

static bool is_active(const struct lora_wish *w, int step)
{
    return (!w->start || step >= w->start) && (!w->stop || step <= w->stop);
}

bool lora_stack_apply(struct lora_stack *l, int step, bool *changed, struct tinct_err *err)
{
    struct adapter_use uses[TINCT_LORAS_MAX];
    uint64_t active = 0;
    double begin = context_now_ms();

    *changed = false;
    for (size_t i = 0; i < l->count; i++) {
        const struct lora_wish *w = &l->wishes[i];
        bool on = is_active(w, step);
        active |= (uint64_t)on << i;
        uses[i] = (struct adapter_use) { w->adapter, w->te, on ? w->unet : 0, w->keep, w->blocks_text ? &w->blocks : NULL };
    }
    if ((l->applied && active == l->active) || !l->t->adapters) return true;
    if (!adapters_apply(l->t->adapters, uses, l->count, changed, err)) return false;
    l->applied = true;
    l->active = active;
    if (*changed) context_log(l->t, TINCT_LOG_DEBUG, "weights rebuilt in %.0f ms", context_now_ms() - begin);
    return true;
}

size_t lora_stack_files(const struct lora_stack *l, const struct safetensors *files[TINCT_LORAS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; l && i < l->count; i++) {
        const struct safetensors *st = lora_tensors(l->wishes[i].adapter->file);
        bool known = false;
        for (size_t k = 0; k < count; k++) known |= files[k] == st;
        if (!known && count < TINCT_LORAS_MAX) files[count++] = st;
    }
    return count;
}
