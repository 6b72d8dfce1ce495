/* tinct loras: what there is, and what it is. */
#include "app.h"
#include "models.h"
#include "options.h"

enum exit_code loras_run(const struct verb *verb, int argc, char **argv)
{
    const char *model = NULL, *models = NULL, *folder = NULL;
    bool json = false;
    const struct option_spec specs[] = {
        { OPTION_TEXT, "lora-model-dir", 0, "DIR", "the folder of LoRAs; loras", .target = &folder },
        { OPTION_TEXT, "models", 0, "DIR", "the models folder, A1111's and ComfyUI's too;\n$TINCT_MODELS, else models",
          .target = &models },
        { OPTION_TEXT, "model", 'm', "FILE", "a checkpoint, or a name in the models folder:\nalso say what of a LoRA fits it",
          .target = &model },
        { OPTION_FLAG, "json", 0, NULL, "as JSON, for programs", .target = &json },
        { 0 },
    };
    char checkpoint[MODEL_PATH_BYTES], loras[MODEL_PATH_BYTES], cache[4096];
    struct tinct_err err;
    enum exit_code code;
    int words;

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if (words > 1) return app_fail(EXIT_USAGE, "", "tinct loras takes one name, here are %d", words);
    if ((code = lora_folder_choose(folder, loras)) != EXIT_DONE) return code;
    if (model && (code = model_find(MODEL_CHECKPOINT, model, models, checkpoint)) != EXIT_DONE) return code;
    return app_print(tinct_describe_loras(&(struct tinct_lora_list_options) {
        .lora_dir = loras, .models_dir = models_folder(models), .cache_dir = app_cache_dir(cache, sizeof cache),
        .model = model ? checkpoint : NULL }, words ? argv[1] : NULL, json, &err), &err);
}
