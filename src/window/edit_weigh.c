/* Ctrl+Up and Ctrl+Down: weights in a prompt, changed where the caret is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window/edit.h"

enum { NAME_MOST = 400 };

static void write_number(char *out, size_t size, double value)
{
    value = round(value * 100.0) / 100.0;
    snprintf(out, size, "%g", value == 0.0 ? 0.0 : value);
    for (char *c = out; *c; c++)
        if (*c == ',') *c = '.';
}

static void swap(struct edit *e, size_t begin, size_t end, const char *text, size_t select_from, size_t select_to)
{
    e->anchor = begin;
    e->caret = end;
    edit_insert(e, text, false);
    e->anchor = begin + select_from;
    e->caret = begin + select_to;
}

/* The tag <...:0.8> around the caret: its last part is the weight. */
static bool weigh_tag(struct edit *e, double step)
{
    const char *text = e->text;
    size_t begin = e->caret, end;
    char number[32], *stop;

    while (begin > 0 && text[begin - 1] != '<' && text[begin - 1] != '>' && text[begin - 1] != '\n') begin--;
    if (begin == 0 || text[begin - 1] != '<') return false;
    end = begin + strcspn(text + begin, "<>\n");
    if (text[end] != '>') return false;
    const char *first = memchr(text + begin, ':', end - begin);
    const char *second = first ? memchr(first + 1, ':', (size_t)(text + end - first) - 1) : NULL;
    double weight = second ? strtod(second + 1, &stop) : 1.0;
    if (!first || (second && stop == second + 1)) return false;
    char written[40];
    write_number(number, sizeof number, weight + step);
    snprintf(written, sizeof written, "%s%s", second ? "" : ":", number);
    size_t from = second ? (size_t)(second + 1 - text) : end, to = second ? (size_t)(stop - text) : end;
    size_t caret = from + strlen(written);
    swap(e, from, to, written, 0, 0);
    e->caret = e->anchor = caret;
    return true;
}

/* Is begin..end what a "(...:1.2)" weighs? Its bytes, brackets included, and the weight. */
static bool find_weight(const char *text, size_t begin, size_t end, size_t *outer_end, double *weight)
{
    char *stop;

    if (begin == 0 || text[begin - 1] != '(' || text[end] != ':') return false;
    *weight = strtod(text + end + 1, &stop);
    if (stop == text + end + 1 || *stop != ')') return false;
    *outer_end = (size_t)(stop + 1 - text);
    return true;
}

void edit_weigh(struct edit *e, double step)
{
    char number[32], buffer[NAME_MOST + 40];
    size_t begin, end, outer_end;
    double weight = 1.0;

    edit_selection(e, &begin, &end);
    if (begin == end) {
        if (weigh_tag(e, step)) return;
        edit_select_word(e, begin);
        edit_selection(e, &begin, &end);
    }
    while (end > begin && e->text[end - 1] == ' ') end--;
    if (begin == end || end - begin > NAME_MOST || e->text[begin] == '\n') return;
    bool weighed = find_weight(e->text, begin, end, &outer_end, &weight);
    write_number(number, sizeof number, weight + step);
    int length = (int)(end - begin);
    if (fabs(weight + step - 1.0) < 0.005) {
        snprintf(buffer, sizeof buffer, "%.*s", length, e->text + begin);
        if (weighed) swap(e, begin - 1, outer_end, buffer, 0, (size_t)length);
    } else {
        snprintf(buffer, sizeof buffer, "(%.*s:%s)", length, e->text + begin, number);
        swap(e, weighed ? begin - 1 : begin, weighed ? outer_end : end, buffer, 1, (size_t)length + 1);
    }
}
