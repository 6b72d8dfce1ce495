#include "lora/blocks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/names.h"

enum { BASE = 0, IN = 1, MIDDLE = 13, OUT = 14, SIDE_BLOCKS = 12, NUMBER_BYTES = 40 };
static const float most_weight = 16;     /* as any weight of a prompt */

/* Which of the 26 a shorter list speaks of, in its order. */
static const struct shape {
    uint8_t count, block[LORA_BLOCKS];
} shapes[] = {
    { 12, { BASE, IN + 4, IN + 5, IN + 7, IN + 8, MIDDLE, OUT, OUT + 1, OUT + 2, OUT + 3, OUT + 4, OUT + 5 } },
    { 17, { BASE, IN + 1, IN + 2, IN + 4, IN + 5, IN + 7, IN + 8, MIDDLE, OUT + 3, OUT + 4, OUT + 5, OUT + 6, OUT + 7, OUT + 8,
            OUT + 9, OUT + 10, OUT + 11 } },
    { 20, { BASE, IN, IN + 1, IN + 2, IN + 3, IN + 4, IN + 5, IN + 6, IN + 7, IN + 8, MIDDLE, OUT, OUT + 1, OUT + 2, OUT + 3,
            OUT + 4, OUT + 5, OUT + 6, OUT + 7, OUT + 8 } },
    { 26, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25 } },
};

/* The extension's own presets, in its newer form. */
static const struct {
    const char *name, *list;
} presets[] = {
    { "NONE", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0" },   { "ALL", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" },
    { "INS", "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0" },    { "IND", "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0" },
    { "INALL", "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0" },  { "MIDD", "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0" },
    { "OUTD", "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0" },   { "OUTS", "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1" },
    { "OUTALL", "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1" },
    { "ALL0.5", "0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5" },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, PRESETS = sizeof presets / sizeof *presets };

/* ---- reading ------------------------------------------------------------ */

static bool refuse_item(const char *item, size_t size, struct tinct_err *err)
{
    if (size == 1 && (*item == 'R' || *item == 'U'))
        return tinct_fail(err, TINCT_ERR_ARG, "block weight %c is a random one, which no recipe could repeat: write a number",
                          *item);
    return tinct_fail(err, TINCT_ERR_ARG, "block weight \"%.*s\" is no number in -16..16", (int)(size < 40 ? size : 40), item);
}

/* The number that all of item [size] is, blanks around it aside; "+1" and "-.5" are no JSON, but people write them. */
static bool read_item(const char *item, size_t size, float *value, struct tinct_err *err)
{
    char text[NUMBER_BYTES];
    double number;

    while (size && *item == ' ') item++, size--;
    while (size && item[size - 1] == ' ') size--;
    bool sign = size && (*item == '-' || *item == '+'), point = size > (size_t)sign && item[sign] == '.';
    bool ok = size && size < sizeof text - 2;
    if (ok) snprintf(text, sizeof text, "%s%s%.*s", sign && *item == '-' ? "-" : "", point ? "0" : "", (int)size - sign, item + sign);
    if (!ok || !str_to_double(text, &number) || fabs(number) > (double)most_weight) return refuse_item(item, size, err);
    *value = (float)number;
    return true;
}

static bool read_list(struct lora_blocks *blocks, const char *text, struct tinct_err *err)
{
    float values[LORA_BLOCKS];
    uint32_t count = 0;

    for (const char *at = text, *end; at; at = *end ? end + 1 : NULL, count++) {
        end = at + strcspn(at, ",");
        if (count < LORA_BLOCKS && !read_item(at, (size_t)(end - at), &values[count], err)) return false;
    }
    for (int s = 0; s < SHAPES; s++) {
        if (shapes[s].count != count) continue;
        *blocks = (struct lora_blocks) { { 0 } };
        for (uint32_t i = 0; i < count; i++) blocks->weight[shapes[s].block[i]] = values[i];
        return true;
    }
    return tinct_fail(err, TINCT_ERR_ARG, "%u block weights; a list has 12, 17, 20 or 26", (unsigned)count);
}

bool lora_blocks_read(struct lora_blocks *blocks, const char *text, struct tinct_err *err)
{
    struct str names = { 0 };

    if (strchr(text, ',')) return read_list(blocks, text, err);
    for (int i = 0; i < PRESETS; i++)
        if (!strcmp(text, presets[i].name)) return read_list(blocks, presets[i].list, err);
    for (int i = 0; i < PRESETS; i++) str_addf(&names, "%s%s", i ? ", " : "", presets[i].name);
    tinct_fail(err, TINCT_ERR_ARG, "block weights \"%.60s\" are neither a list nor one of %s", text,
               names.bytes ? names.bytes : "the presets");
    str_free(&names);
    return false;
}

/* ---- layers ------------------------------------------------------------- */

/* The block of a UNet layer's path, -1 where it is in none. */
static int block_of(const char *path)
{
    static const struct {
        const char *prefix;
        int first;
    } sides[] = { { "input_blocks.", IN }, { "output_blocks.", OUT } };

    if (!strncmp(path, "middle_block.", 13)) return MIDDLE;
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(sides[i].prefix);
        if (strncmp(path, sides[i].prefix, length)) continue;
        int block = atoi(path + length);
        return block < SIDE_BLOCKS ? sides[i].first + block : -1;
    }
    return -1;
}

float lora_blocks_at(const struct lora_blocks *blocks, const struct lora_target *target)
{
    static const char unet[] = NAMES_UNET;

    if (target->model != LORA_UNET) return blocks->weight[BASE];
    if (strncmp(target->weight, unet, sizeof unet - 1)) return 1;
    int block = block_of(target->weight + sizeof unet - 1);
    return block < 0 ? 1 : blocks->weight[block];
}

void lora_blocks_tell(const struct lora_blocks *blocks, struct str *out)
{
    for (int i = 0; i < LORA_BLOCKS; i++) {
        if (i == BASE) str_add(out, "BASE ");
        else if (i == MIDDLE) str_add(out, ", M00 ");
        else str_addf(out, ", %s%02d ", i < MIDDLE ? "IN" : "OUT", i < MIDDLE ? i - IN : i - OUT);
        str_add_float(out, blocks->weight[i]);
    }
}
