/* tinct bench: how fast this machine is, and how much of what it could be. */
#include <stdio.h>

#include "app.h"
#include "models.h"
#include "options.h"

enum exit_code bench_run(const struct verb *verb, int argc, char **argv)
{
    char path[MODEL_PATH_BYTES], cache[4096];
    struct tinct_bench bench = { 0 };
    struct tinct_options options = { 0 };
    const char *model = NULL, *models = NULL;
    bool json = false;
    int precision = 0, winograd = 0, words;
    const struct option_spec specs[] = {
        { OPTION_TEXT, "model", 'm', "FILE", "a checkpoint, or a name in the models folder", .target = &model },
        { OPTION_TEXT, "models", 0, "DIR", "the models folder", .target = &models },
        { OPTION_INT, "width", 'W', "PIXELS", "512", .target = &bench.width, .least = 64, .most = 4096, .step = 8 },
        { OPTION_INT, "height", 'H', "PIXELS", "512", .target = &bench.height, .least = 64, .most = 4096, .step = 8 },
        { OPTION_INT, "steps", 0, "N", "3", .target = &bench.steps, .least = 1, .most = 1000 },
        { OPTION_FLAG, "kernels", 0, NULL, "only matrix products and convolutions; no model needed", .target = &bench.kernels_only },
        { OPTION_TEXT, "device", 0, "NAME", "as tinct devices lists them", .target = &options.device },
        { OPTION_INT, "threads", 0, "N", "of the processor; its cores", .target = &options.threads, .least = 1, .most = 1024 },
        { OPTION_CHOICE, "precision", 0, "fp32|fast", "fast on GPUs, fp32 elsewhere", .target = &precision, .choices = app_precisions },
        { OPTION_CHOICE, "winograd", 0, "auto|off", "faster 3x3 convolutions on the processor; auto", .target = &winograd, .choices = app_winograds },
        { OPTION_FLAG, "no-cache", 0, NULL, "pack the weights anew", .target = &options.no_weights_cache },
        { OPTION_FLAG, "json", 0, NULL, "as JSON, for programs", .target = &json },
        { 0 },
    };
    enum tinct_log_level most = TINCT_LOG_WARN;
    struct tinct_err err;
    enum exit_code code;

    if (!options_parse(verb, specs, argc, argv, &words, &code)) return code;
    if (words) return app_fail(EXIT_USAGE, "", "tinct bench takes no \"%.60s\"; see tinct bench --help", argv[1]);
    if (!bench.kernels_only && (code = model_find(MODEL_CHECKPOINT, model, models, path)) != EXIT_DONE) return code;
    options.model = bench.kernels_only ? NULL : path;
    options.precision = (enum tinct_precision)precision;
    options.no_winograd = winograd;
    options.cache_dir = app_cache_dir(cache, sizeof cache);
    options.log = app_on_log;
    options.log_user = &most;
    return app_print(tinct_benchmark(&options, &bench, json, &err), &err);
}
