#include "pipeline/latent_rgb.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

enum { ROWS_LEAST = 4, ROWS_MOST = 5 };

static const double value_most = 1000.0;        /* far beyond any VAE; sums stay finite */

static bool read_row(const struct json *row, float out[3])
{
    int column = 0;

    if (json_kind(row) != JSON_ARRAY || json_count(row) != 3) return false;
    for (const struct json *value = json_first(row); value; value = json_next(value)) {
        double v;
        if (!json_to_double(value, &v) || fabs(v) > value_most) return false;
        out[column++] = (float)v;
    }
    return true;
}

bool latent_rgb_parse(const char *text, float matrix[5][3])
{
    struct json *root = text ? json_parse(text, strlen(text), NULL) : NULL;
    bool ok = root && json_kind(root) == JSON_ARRAY && json_count(root) >= ROWS_LEAST && json_count(root) <= ROWS_MOST;
    float read[ROWS_MOST][3] = { { 0 } };
    int count = 0;

    for (const struct json *row = ok ? json_first(root) : NULL; ok && row; row = json_next(row)) ok = read_row(row, read[count++]);
    if (ok) memcpy(matrix, read, sizeof read);
    json_free(root);
    return ok;
}
