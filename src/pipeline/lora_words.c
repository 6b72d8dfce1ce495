/* What is said about LoRAs, and the words that call them. */
#include <string.h>

#include "lora/sidecar.h"
#include "lora/triggers.h"
#include "pipeline/lora_stack.h"

/* ---- one line a LoRA ------------------------------------------------------------ */

static void add_rank(struct str *s, const struct adapter *a)
{
    const char *type = lora_about(a->file).type;

    if (strcmp(type, "LoRA")) str_addf(s, ", %s", type);
    if (!a->match->rank_max) return;
    str_addf(s, ", rank %u", (unsigned)a->match->rank_min);
    if (a->match->rank_max != a->match->rank_min) str_addf(s, " to %u", (unsigned)a->match->rank_max);
}

static void add_weight(struct str *s, const struct lora_wish *w)
{
    if (w->te < w->unet || w->te > w->unet)
        str_addf(s, ", weight %.2f for the text encoder, %.2f for the UNet", (double)w->te, (double)w->unet);
    else str_addf(s, ", weight %.2f", (double)w->te);
    if (w->keep) str_addf(s, ", first %u ranks", (unsigned)w->keep);
    if (w->blocks_text) str_addf(s, ", blocks %.60s", w->blocks_text);
    if (w->start) str_addf(s, ", from step %d", w->start);
    if (w->stop) str_addf(s, ", to step %d", w->stop);
}

static void tell_details(const struct tinct *t, const struct lora_wish *w)
{
    const struct lora_match *match = w->adapter->match;
    struct str s = { 0 };

    for (uint32_t i = 0; i < match->unmatched_count; i++)
        context_log(t, TINCT_LOG_DEBUG, "%s: %s: %s", w->name, match->unmatched[i].name, match->unmatched[i].reason);
    if (w->blocks_text) lora_blocks_tell(&w->blocks, &s);
    if (s.bytes) context_log(t, TINCT_LOG_DEBUG, "%s: %s", w->name, s.bytes);
    str_free(&s);
}

static void warn(const struct tinct *t, const struct lora_wish *w, int steps)
{
    const struct lora_match *match = w->adapter->match;

    if (match->silent == match->count)
        context_log(t, TINCT_LOG_WARN, "%s: it changes nothing: every alpha in the file is 0", w->name);
    if (!(w->te < 0 || w->te > 0 || w->unet < 0 || w->unet > 0))
        context_log(t, TINCT_LOG_WARN, "%s: it changes nothing at weight 0", w->name);
    if (w->start > steps)
        context_log(t, TINCT_LOG_WARN, "%s: it begins with step %d, and there are %d", w->name, w->start, steps);
    if (w->adapter->unused)
        context_log(t, TINCT_LOG_WARN, "%s: %u of its tensors are for biases that this model has not", w->name,
                    (unsigned)w->adapter->unused);
}

void lora_tell(const struct tinct *t, const struct lora_wish *w, int steps)
{
    const struct lora_match *match = w->adapter->match;
    struct str s = { 0 };

    str_addf(&s, "%s: %u of %u tensors", w->name, (unsigned)match->count, (unsigned)match->total);
    add_rank(&s, w->adapter);
    add_weight(&s, w);
    str_addf(&s, ", %.0f ms", w->ms);
    if (match->unmatched_count) str_addf(&s, "; %u match nothing in this model", (unsigned)match->unmatched_count);
    if (s.bytes) context_log(t, TINCT_LOG_INFO, "%s", s.bytes);
    str_free(&s);
    warn(t, w, steps);
    tell_details(t, w);
}

static bool is_known_argument(const struct prompt_arg *arg)
{
    static const char *const known[] = { "te", "unet", "dyn", "lbw", "w", "start", "stop", "step" };

    for (size_t i = 0; arg->key && i < sizeof known / sizeof *known; i++)
        if (!strcmp(arg->key, known[i])) return true;
    return !arg->key;
}

static bool is_lora(const struct prompt_tag *tag)
{
    return !strcmp(tag->word, "lora") || !strcmp(tag->word, "lyco");
}

void lora_tell_tags(const struct tinct *t, const struct prompt *parsed)
{
    for (size_t i = 0; i < parsed->tag_count; i++) {
        const struct prompt_tag *tag = &parsed->tags[i];
        if (!is_lora(tag)) context_log(t, TINCT_LOG_WARN, "<%s:...> in the prompt does nothing: only <lora:...> is known", tag->word);
        for (size_t k = 0; is_lora(tag) && k < tag->arg_count; k++)
            if (!is_known_argument(&tag->args[k]))
                context_log(t, TINCT_LOG_WARN, "<lora:%s>: %s= is unknown and does nothing", tag->args[0].value, tag->args[k].key);
    }
}

/* ---- trigger words ---------------------------------------------------------------- */

static bool is_choice(enum lora_trigger_source source)
{
    return source == LORA_TRIGGERS_CIVITAI || source == LORA_TRIGGERS_TAGS;
}

static bool find_triggers(const struct tinct *t, const struct lora_wish *w, struct lora_triggers *triggers)
{
    struct str warnings = { 0 };
    struct json *user = sidecar_json(w->path, ".json", &warnings);
    struct json *civitai = sidecar_json(w->path, ".civitai.info", &warnings);
    bool ok = lora_triggers_find(triggers, user, civitai, lora_tensors(w->adapter->file));

    json_free(user);
    json_free(civitai);
    for (char *line = warnings.bytes ? strtok(warnings.bytes, "\n") : NULL; line; line = strtok(NULL, "\n"))
        context_log(t, TINCT_LOG_WARN, "%s", line);
    str_free(&warnings);
    return ok;
}

bool lora_missing_words(const struct tinct *t, const struct lora_wish *w, const char *text, struct str *out)
{
    struct lora_triggers triggers;
    bool some = false;
    size_t count;

    if (!find_triggers(t, w, &triggers)) return false;
    count = is_choice(triggers.source) && triggers.count ? 1 : triggers.count;
    for (size_t i = 0; i < triggers.count; i++) some |= lora_trigger_in(text, triggers.words[i]);
    for (size_t i = 0; i < count && !(some && is_choice(triggers.source)); i++)
        if (!lora_trigger_in(text, triggers.words[i]) && !(out->bytes && lora_trigger_in(out->bytes, triggers.words[i])))
            str_addf(out, "%s%s", out->length ? ", " : "", triggers.words[i]);
    lora_triggers_free(&triggers);
    return !out->failed;
}

/* ---- prompts without tags ------------------------------------------------------------ */

void lora_strip(struct str *out, const char *text, const struct prompt *parsed, bool any_tag)
{
    size_t kept = 0;

    for (size_t i = 0; i < parsed->tag_count; i++) {
        const struct prompt_tag *tag = &parsed->tags[i];
        if (!any_tag && !is_lora(tag)) continue;
        str_add_bytes(out, text + kept, tag->begin - kept);
        kept = tag->end;
    }
    str_add(out, text + kept);
}
