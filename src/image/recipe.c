#include "image/recipe.h"

#include <string.h>

#include "base/json.h"
#include "image/infotext.h"

/* A text of that key that begins like a JSON object. */
static const char *object_text(const struct png *png, const char *key)
{
    const char *text = png_text(png, key);
    return text && text[strspn(text, " \t\r\n")] == '{' ? text : NULL;
}

static struct recipe foreign(const char *program, const char *holds)
{
    return (struct recipe) { RECIPE_FOREIGN, program, holds, NULL };
}

/* "parameters" that is an object: Fooocus and SwarmUI write so. A prompt may begin with
 * a brace too, so the whole must be JSON. */
static bool is_object(const char *text, struct recipe *found)
{
    struct json *root = json_parse(text, strlen(text), NULL);
    bool object = root && json_kind(root) == JSON_OBJECT;

    *found = foreign("an unknown program", "settings");
    if (json_member(root, "sui_image_params")) *found = foreign("SwarmUI", "settings");
    if (json_member(root, "metadata_scheme") || json_member(root, "base_model"))
        *found = foreign("Fooocus", "settings");
    json_free(root);
    return object;
}

/* Who writes A1111's words, told by the Version among them. */
static const char *writer_of(const char *text)
{
    static const struct {
        const char *begins, *program;
    } writers[] = {
        { "tinct", "tinct" },     { "stable-diffusion.cpp", "sd.cpp" }, { "Fooocus", "Fooocus" },
        { "ComfyUI", "ComfyUI" }, { "v", "A1111's web UI" },            { "1.", "A1111's web UI" },
        { "f", "Forge" },
    };
    struct infotext info;
    const char *program = "A1111's web UI or one that writes like it";

    if (!infotext_read(text, strlen(text), &info, NULL)) return program;
    for (size_t i = 0; i < sizeof writers / sizeof *writers && info.version; i++)
        if (strncmp(info.version, writers[i].begins, strlen(writers[i].begins)) == 0) {
            program = writers[i].program;
            break;
        }
    infotext_free(&info);
    return program;
}

struct recipe recipe_find(const struct png *png)
{
    const char *parameters = png_text(png, "parameters"), *software = png_text(png, "Software");

    struct recipe found;

    if (parameters && is_object(parameters, &found)) return found;
    if (parameters) return (struct recipe) { RECIPE_INFOTEXT, writer_of(parameters), NULL, parameters };
    if (object_text(png, "workflow") || object_text(png, "prompt")) return foreign("ComfyUI", "workflow");
    if (png_text(png, "invokeai_metadata") || png_text(png, "invokeai_graph") || png_text(png, "sd-metadata") ||
        png_text(png, "Dream"))
        return foreign("InvokeAI", "settings");
    if (software && strcmp(software, "NovelAI") == 0) return foreign("NovelAI", "settings");
    if (png_text(png, "negative_prompt") && png_text(png, "prompt")) return foreign("Easy Diffusion", "settings");
    return (struct recipe) { 0 };
}
