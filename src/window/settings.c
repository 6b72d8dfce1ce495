#include "window/settings.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 130 * 1024, PATH_BYTES = 4200 };

static bool file_name(char *path, const char *folder, const char *name)
{
    int bytes = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return bytes > 0 && bytes < PATH_BYTES;
}

/* ---- texts on one line: \n for a line break, \\ for a backslash ---- */

static void put_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, "%s = ", name);
    for (; *text; text++) {
        if (*text == '\n') fputs("\\n", out);
        else if (*text == '\\') fputs("\\\\", out);
        else putc(*text, out);
    }
    putc('\n', out);
}

static void unfold(char *text)
{
    char *out = text;

    for (; *text; text++) {
        bool folded = *text == '\\' && (text[1] == 'n' || text[1] == '\\');
        *out++ = folded ? text[1] == 'n' ? '\n' : '\\' : *text;
        text += folded;
    }
    *out = '\0';
}

/* ---- the fields ---- */

enum kind { INTEGER, TRUTH, FRACTION, NAME };

struct field {
    const char *name;
    enum kind kind;
    void *at;
    double least, most;             /* of numbers; of a NAME: its bytes */
};

enum { FIELDS = 17 };

static void list_fields(struct settings *s, struct field fields[FIELDS + 1])
{
    struct form *f = &s->form;
    const struct field all[FIELDS + 1] = {
        { "model", NAME, f->model, 0, sizeof f->model },
        { "sampler", NAME, f->sampler, 0, sizeof f->sampler },
        { "schedule", NAME, f->scheduler, 0, sizeof f->scheduler },
        { "width", INTEGER, &f->width, 0, 4096 },
        { "height", INTEGER, &f->height, 0, 4096 },
        { "steps", INTEGER, &f->steps, 1, 1000 },
        { "clip skip", INTEGER, &f->clip_skip, 1, 12 },
        { "batch", INTEGER, &f->count, 1, 1000 },
        { "cfg", FRACTION, &f->guidance, 1, 100 },
        { "keep seed", TRUTH, &f->keep_seed, 0, 1 },
        { "auto", TRUTH, &s->automatic, 0, 1 },
        { "tab", INTEGER, &s->tab, 0, 1 },
        { "window width", INTEGER, &s->place.w, 320, 16384 },
        { "window height", INTEGER, &s->place.h, 240, 16384 },
        { "window x", INTEGER, &s->place.x, -16384, 16384 },
        { "window y", INTEGER, &s->place.y, -16384, 16384 },
        { "maximised", TRUTH, &s->place.maximised, 0, 1 },
    };
    memcpy(fields, all, sizeof all);
}

static void set_field(const struct field *f, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    bool good = end != value && !*end && number >= f->least && number <= f->most;

    if (f->kind == NAME && strlen(value) < (size_t)f->most) strcpy(f->at, value);
    if (f->kind == INTEGER && good) *(int *)f->at = (int)number;
    if (f->kind == TRUTH && good) *(bool *)f->at = number != 0;
    if (f->kind == FRACTION && good) *(float *)f->at = (float)number;
}

static void put_field(FILE *out, const struct field *f)
{
    switch (f->kind) {
    case INTEGER: fprintf(out, "%s = %d\n", f->name, *(int *)f->at); break;
    case TRUTH: fprintf(out, "%s = %d\n", f->name, *(bool *)f->at); break;
    case FRACTION: fprintf(out, "%s = %g\n", f->name, (double)*(float *)f->at); break;
    case NAME: put_text(out, f->name, f->at); break;
    }
}

/* ---- the file ---- */

static void take_line(struct settings *s, char *line)
{
    struct field fields[FIELDS + 1];
    char *equals = strstr(line, " = "), *value = equals ? equals + 3 : NULL;

    if (!value) return;
    *equals = '\0';
    value[strcspn(value, "\n")] = '\0';
    unfold(value);
    list_fields(s, fields);
    if (strcmp(line, "prompt") == 0) form_set_text(&s->form.prompt, value);
    if (strcmp(line, "negative prompt") == 0) form_set_text(&s->form.negative, value);
    if (strcmp(line, "seed") == 0 && value[strspn(value, "0123456789")] == '\0' && strlen(value) < 19 && *value)
        s->form.seed = strtoll(value, NULL, 10);
    for (const struct field *f = fields; f->name; f++)
        if (strcmp(line, f->name) == 0) set_field(f, value);
}

void settings_read(struct settings *s, const char *folder)
{
    char path[PATH_BYTES], *line = malloc(LINE_BYTES);
    FILE *in = folder && line && file_name(path, folder, "window.conf") ? fopen(path, "rb") : NULL;

    while (in && fgets(line, LINE_BYTES, in)) take_line(s, line);
    if (in) fclose(in);
    free(line);
    s->place.placed = s->place.w > 0;
    if (s->place.h <= 0) s->place.w = 0;
}

static bool write_all(const struct settings *s, FILE *out)
{
    struct settings copy = *s;      /* of the addresses alone: the table is for reading, too */
    struct field fields[FIELDS + 1];

    list_fields(&copy, fields);
    fputs("# tinct window writes this when it is closed.\n", out);
    put_text(out, "prompt", s->form.prompt);
    put_text(out, "negative prompt", s->form.negative);
    fprintf(out, "seed = %" PRId64 "\n", s->form.seed);
    for (const struct field *f = fields; f->name; f++) put_field(out, f);
    return fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
}

bool settings_write(const struct settings *s, const char *folder)
{
    char path[PATH_BYTES], half[PATH_BYTES], name[64];

    snprintf(name, sizeof name, ".window.conf.%ld", (long)getpid());
    if (!folder || !file_name(path, folder, "window.conf") || !file_name(half, folder, name)) return false;
    FILE *out = fopen(half, "wb");
    bool ok = out && write_all(s, out);
    if (out) ok = fclose(out) == 0 && ok;
    ok = ok && rename(half, path) == 0;
    if (out && !ok) remove(half);
    return ok;
}
