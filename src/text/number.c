#include <math.h>
#include <string.h>

#include "text/grammar.h"
#include "text/unicode.h"

enum { LONGEST = 60 };

static void trim(const char **text, size_t *size)
{
    size_t first = *size, last = 0;

    for (size_t at = 0; at < *size;) {
        size_t begin = at;
        if (unicode_is_python_space(unicode_next(*text, &at))) continue;
        if (first == *size) first = begin;
        last = at;
    }
    *text += first;
    *size = last > first ? last - first : 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool number_read(const char *text, size_t size, double *value)
{
    char json[LONGEST + 4], *out = json;      /* as JSON spells it: "+.5" is 0.5, "1." is 1.0, "007" is 7 */

    trim(&text, &size);
    if (!size || size > LONGEST) return false;
    const char *c = text, *end = text + size;
    if (*c == '-') *out++ = '-';
    if (*c == '-' || *c == '+') c++;
    const char *digits = c;
    while (c < end && *c == '0') c++;
    if (c == end || !is_digit(*c)) *out++ = '0';
    while (c < end && is_digit(*c)) *out++ = *c++;
    bool any = c > digits;
    if (c < end && *c == '.') {
        *out++ = *c++;
        if (c == end || !is_digit(*c)) *out++ = '0';
        for (; c < end && is_digit(*c); any = true) *out++ = *c++;
    }
    memcpy(out, c, (size_t)(end - c));        /* an exponent, or what makes it none */
    out[end - c] = '\0';
    return any && (c == end || *c == 'e' || *c == 'E') && strlen(json) == (size_t)(out + (end - c) - json) &&
           str_to_double(json, value);
}

bool number_check_weight(double value, const char *what, struct tinct_err *err)
{
    if (fabs(value) <= PROMPT_MAX_WEIGHT) return true;
    return tinct_fail(err, TINCT_ERR_ARG, "%s is %.6g; at most %d, plus or minus, can be used", what, value,
                      PROMPT_MAX_WEIGHT);
}

bool number_read_weight(const char *text, size_t size, const char *what, double *value, struct tinct_err *err)
{
    if (!number_read(text, size, value))
        return tinct_fail(err, TINCT_ERR_ARG, "%s is \"%.*s\", which is no number such as 0.8", what,
                          (int)(size < LONGEST ? size : LONGEST), text);
    return number_check_weight(*value, what, err);
}
