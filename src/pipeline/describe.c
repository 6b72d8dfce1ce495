/* The telling half of tinct.h: thin doors to the rooms that know. */
#include <stdlib.h>

#include "base/json.h"
#include "device/device.h"
#include "text/describe.h"

enum { MAX_DEVICES = 32 };

static const char *kind_word(enum device_kind kind)
{
    static const char *const words[] = { [DEVICE_CPU] = "processor", [DEVICE_GPU] = "GPU", [DEVICE_SOFTWARE] = "software driver" };
    return words[kind];
}

/* The one that is used when none is named. */
static int automatic(const struct device_info *infos, int count)
{
    for (int i = 0; i < count; i++)
        if (infos[i].kind == DEVICE_GPU) return i;
    return 0;
}

static char *devices_json(const struct device_info *infos, int count, struct tinct_err *err)
{
    struct json_writer w = { 0 };

    json_begin(&w, NULL, JSON_ARRAY);
    for (int i = 0; i < count; i++) {
        json_begin(&w, NULL, JSON_OBJECT);
        json_put_integer(&w, "index", i);
        json_put_string(&w, "backend", infos[i].backend);
        json_put_string(&w, "name", infos[i].name);
        json_put_string(&w, "detail", infos[i].detail);
        json_put_string(&w, "kind", kind_word(infos[i].kind));
        json_put_integer(&w, "memory_bytes", (int64_t)infos[i].memory_bytes);
        json_put_bool(&w, "automatic", i == automatic(infos, count));
        json_end(&w);
    }
    json_end(&w);
    return json_finish(&w, err);
}

char *tinct_describe_devices(bool json, struct tinct_err *err)
{
    struct device_info infos[MAX_DEVICES];
    int count = device_list(infos, MAX_DEVICES);
    struct str s = { 0 };

    if (json) return devices_json(infos, count, err);
    for (int i = 0; i < count; i++)
        str_addf(&s, "%c %d  %-7s %s (%s, %s, %.1f GiB)\n", i == automatic(infos, count) ? '*' : ' ', i,
                 infos[i].backend, infos[i].name, kind_word(infos[i].kind), infos[i].detail,
                 (double)infos[i].memory_bytes / (1024.0 * 1024.0 * 1024.0));
    str_add(&s, "* is used when --device names none; a software driver only by name.\n");
    return str_take(&s, err);
}

char *tinct_describe_prompt(const char *prompt, int steps, bool json, struct tinct_err *err)
{
    struct prompt_options options = { .steps = steps ? steps : 20 };
    return prompt_describe(prompt, &options, TINCT_EMPHASIS_ORIGINAL, json, err);
}

void tinct_text_free(char *text)
{
    free(text);
}
