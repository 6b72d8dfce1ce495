#include "tiny_checkpoint.h"

#include "tensor/convert.h"
#include "tensor_file.h"

#include <math.h>

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Near N(0, 1): the sum of four uniform numbers, exact arithmetic, so alike everywhere. */
static float next_normal(uint64_t *state)
{
    uint64_t r = next_random(state);
    int sum = (int)(r & 0xffff) + (int)(r >> 16 & 0xffff) + (int)(r >> 32 & 0xffff) + (int)(r >> 48);
    return (float)(sum - 131070) * (1.7320508f / 65536);
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *name, const char *suffix)
{
    size_t length = strlen(name), wanted = strlen(suffix);
    return length >= wanted && !strcmp(name + length - wanted, suffix);
}

static bool is_schedule(const char *name)
{
    return begins(name, "alphas_") || begins(name, "betas");
}

/* The tiny model's size for one of the full-size model's. */
static uint32_t scaled(const char *name, uint32_t size)
{
    if (begins(name, "model.")) return size == 768 ? 64 : size >= 320 ? size / 10 : size;
    if (begins(name, "first_stage_model.")) return size >= 128 ? size / 4 : size;
    return size == 768 ? 64 : size == 3072 ? 256 : size;
}

static bool is_kept(const char *name)
{
    const char *layer = strstr(name, "text_model.encoder.layers.");
    return !layer || atoi(layer + strlen("text_model.encoder.layers.")) < 2;
}

static void write_schedule(const char *name, float *out)
{
    double alpha = 1, low = sqrt(0.00085), high = sqrt(0.012);
    for (int i = 0; i < 1000; i++) {
        double root = low + (high - low) * i / 999, before = alpha;
        alpha *= 1 - root * root;
        out[i] = (float)(begins(name, "betas") ? root * root : ends(name, "_prev") ? before : alpha);
    }
}

static bool is_scale(const char *name)
{
    static const char *const norms[] = { "norm", "in_layers.0.", "out_layers.0.", ".out.0." };
    bool found = false;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) found |= strstr(name, norms[i]) != NULL;
    return found && ends(name, "weight");
}

static void write_values(const char *name, uint16_t *out, uint32_t dims, const uint32_t *shape, uint64_t *state)
{
    size_t count = 1, fan_in = 1;
    for (uint32_t i = 0; i < dims; i++) {
        count *= shape[i];
        if (i) fan_in *= shape[i];
    }
    float mean = dims == 1 && is_scale(name) ? 1.0f : 0.0f;
    float deviation = dims == 1 ? 0.1f : strstr(name, "token_embedding") ? 0.02f
                    : strstr(name, "position_embedding") ? 0.01f : 1 / sqrtf((float)fan_in);
    for (size_t i = 0; i < count; i++) out[i] = convert_f32_to_f16(mean + deviation * next_normal(state));
}

/* One line of the list: "name<tab>AxBxC". */
static bool add_line(struct tensor_file *file, char *line, uint64_t *state)
{
    char *name = line, *at = strchr(line, '\t');
    uint32_t dims = 0, shape[4];

    if (!at) return false;
    *at++ = '\0';
    for (; dims < 4 && *at >= '0' && *at <= '9'; at += *at == 'x')
        shape[dims++] = scaled(name, (uint32_t)strtoul(at, &at, 10));
    if (!is_kept(name)) return true;
    if (is_schedule(name)) {
        write_schedule(name, tensor_file_add(file, name, DTYPE_F32, dims, shape));
    } else if (ends(name, "position_ids")) {
        int64_t ids[77];
        for (int i = 0; i < 77; i++) ids[i] = i;
        memcpy(tensor_file_add(file, name, DTYPE_I64, dims, shape), ids, sizeof ids);
    } else {
        write_values(name, tensor_file_add(file, name, DTYPE_F16, dims, shape), dims, shape, state);
    }
    return true;
}

bool tiny_checkpoint_write(const char *tensors, const char *path)
{
    struct tensor_file file;
    uint64_t state = 1234;
    char line[256];
    FILE *list = fopen(tensors, "r");
    bool ok = list != NULL;

    tensor_file_begin(&file);
    while (ok && fgets(line, sizeof line, list)) ok = add_line(&file, line, &state);
    ok = ok && tensor_file_save(&file, path);
    tensor_file_free(&file);
    if (list) fclose(list);
    return ok;
}
