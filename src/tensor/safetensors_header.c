#include "tensor/safetensors_header.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct reader {
    char *start, *at, *end;
    struct safetensors_header *header;
    size_t tensor_room, metadata_room, shape_count, shape_room;
    bool has_metadata;
    struct tinct_err *err;
};

static bool refuse_at(const struct reader *r, const char *rule)
{
    return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: %s (at byte %zu of it)", rule,
                      (size_t)(r->at - r->start));
}

static bool refuse_tensor(const struct reader *r, const char *name, const char *rule)
{
    return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: tensor '%.200s': %s", name, rule);
}

/* The array with room for one more element, doubled where it is full; NULL when there is no memory. */
static void *grown(const struct reader *r, void *array, size_t element, size_t count, size_t *room)
{
    if (count < *room) return array;
    *room = *room ? 2 * *room : 64;
    void *more = realloc(array, *room * element);
    if (!more) tinct_fail(r->err, TINCT_ERR_MEMORY, "no memory for the list of tensors");
    return more;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')) r->at++;
}

static bool expect(struct reader *r, char c, const char *rule)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c) return refuse_at(r, rule);
    r->at++;
    return true;
}

enum member { MEMBER_REFUSED, MEMBER_NONE, MEMBER_THERE };

/* At the next member of an object or array, or past its end. */
static enum member next_member(struct reader *r, char close, bool first)
{
    skip_space(r);
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return MEMBER_NONE;
    }
    if (first) return MEMBER_THERE;
    return expect(r, ',', "a comma or the end of a list is missing") ? MEMBER_THERE : MEMBER_REFUSED;
}

/* ---- strings ------------------------------------------------------------ */

static bool read_hex4(struct reader *r, int32_t *value)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";

    *value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : '\0';
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit) return refuse_at(r, "\\u takes four hexadecimal digits");
        *value = *value * 16 + (int32_t)(digit - digits) % 16;
    }
    return true;
}

/* Past "\u": one code point, out of two escapes where it is a surrogate pair. */
static bool read_unicode_escape(struct reader *r, char **to)
{
    int32_t high, low;

    if (!read_hex4(r, &high)) return false;
    if (high >= 0xd800 && high < 0xdc00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return refuse_at(r, "half of a surrogate pair stands alone");
        r->at += 2;
        if (!read_hex4(r, &low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return refuse_at(r, "half of a surrogate pair stands alone");
        high = 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
    } else if (high >= 0xdc00 && high < 0xe000) {
        return refuse_at(r, "half of a surrogate pair stands alone");
    }
    if (high == 0) high = 0xfffd; /* strings here end at a zero */
    *to += utf8proc_encode_char(high, (utf8proc_uint8_t *)*to);
    return true;
}

static bool read_escape(struct reader *r, char **to)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = ++r->at < r->end ? *r->at : '\0';
    const char *known = c ? strchr(escapes, c) : NULL;

    if (c != 'u' && !known) return refuse_at(r, "an unknown escape in a string");
    r->at++;
    if (!known) return read_unicode_escape(r, to);
    *(*to)++ = meanings[known - escapes];
    return true;
}

/* One character of more than one byte, checked. */
static bool read_wide(struct reader *r, char **to)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)r->at, r->end - r->at, &code);

    if (bytes < 1) return refuse_at(r, "not valid UTF-8");
    memmove(*to, r->at, (size_t)bytes);
    *to += bytes;
    r->at += bytes;
    return true;
}

/* A JSON string, unescaped where it lies; its end takes the place of the closing quote or lies before it. */
static bool read_string(struct reader *r, char **text)
{
    char *to;

    if (!expect(r, '"', "a string is missing")) return false;
    for (*text = to = r->at; r->at < r->end;) {
        unsigned char c = (unsigned char)*r->at;
        if (c == '"') {
            *to = '\0';
            r->at++;
            return true;
        }
        if (c < 0x20) return refuse_at(r, "a control character in a string");
        if (c == '\\') {
            if (!read_escape(r, &to)) return false;
        } else if (c < 0x80) {
            *to++ = *r->at++;
        } else if (!read_wide(r, &to)) {
            return false;
        }
    }
    return refuse_at(r, "a string has no end");
}

/* ---- numbers ------------------------------------------------------------ */

static bool read_number(struct reader *r, uint64_t *value)
{
    static const char *const rule = "wanted a whole number from 0 to 18446744073709551615";
    char *first;

    skip_space(r);
    *value = 0;
    for (first = r->at; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        unsigned digit = (unsigned)(*r->at - '0');
        if (*value > (UINT64_MAX - digit) / 10) return refuse_at(r, rule);
        *value = *value * 10 + digit;
    }
    if (r->at == first || (*first == '0' && r->at - first > 1)) return refuse_at(r, rule);
    if (r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E')) return refuse_at(r, rule);
    return true;
}

static bool append_shape(struct reader *r, uint64_t size)
{
    uint64_t *shapes = grown(r, r->header->shapes, sizeof size, r->shape_count, &r->shape_room);

    if (!shapes) return false;
    r->header->shapes = shapes;
    shapes[r->shape_count++] = size;
    return true;
}

/* ---- tensors ------------------------------------------------------------ */

static bool read_dtype(struct reader *r, struct safetensors_tensor *t)
{
    char *text;

    if (!read_string(r, &text)) return false;
    if (dtype_from_file_name(&t->dtype, text, strlen(text))) return true;
    return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: tensor '%.200s': unknown dtype '%.40s'",
                      t->name, text);
}

static bool read_shape(struct reader *r, struct safetensors_tensor *t)
{
    enum member m;

    if (!expect(r, '[', "a shape is a list: '[' is missing")) return false;
    for (t->dims = 0; (m = next_member(r, ']', t->dims == 0)) == MEMBER_THERE; t->dims++) {
        uint64_t size;
        if (t->dims == SAFETENSORS_MAX_DIMS) return refuse_tensor(r, t->name, "has more than 8 dimensions");
        if (!read_number(r, &size) || !append_shape(r, size)) return false;
    }
    return m == MEMBER_NONE;
}

/* [begin, end), still counted from the data's start. */
static bool read_offsets(struct reader *r, struct safetensors_tensor *t)
{
    uint64_t end;

    if (!expect(r, '[', "data_offsets is a list of two: '[' is missing") || !read_number(r, &t->offset) ||
        !expect(r, ',', "data_offsets is a list of two: ',' is missing") || !read_number(r, &end) ||
        !expect(r, ']', "data_offsets is a list of two: ']' is missing"))
        return false;
    if (end < t->offset) return refuse_tensor(r, t->name, "its data ends before it begins");
    t->bytes = end - t->offset;
    return true;
}

/* Shape times bits must be the bytes that the offsets span. shape is where this tensor's sizes were appended. */
static bool check_size(const struct reader *r, const struct safetensors_tensor *t, const uint64_t *shape)
{
    uint64_t bits = dtype_bits(t->dtype);

    for (uint32_t i = 0; i < t->dims; i++) {
        if (shape[i] && bits > UINT64_MAX / shape[i])
            return refuse_tensor(r, t->name, "its shape overflows 64 bits");
        bits *= shape[i];
    }
    if (bits % 8) return refuse_tensor(r, t->name, "does not fill whole bytes");
    if (bits / 8 != t->bytes)
        return tinct_fail(r->err, TINCT_ERR_FORMAT,
                          "safetensors header: tensor '%.200s': its shape takes %llu bytes, its offsets span %llu",
                          t->name, (unsigned long long)(bits / 8), (unsigned long long)t->bytes);
    return true;
}

static bool read_field(struct reader *r, struct safetensors_tensor *t, unsigned *seen)
{
    static const struct {
        const char *name;
        bool (*read)(struct reader *, struct safetensors_tensor *);
    } fields[] = { { "dtype", read_dtype }, { "shape", read_shape }, { "data_offsets", read_offsets } };
    char *name;

    if (!read_string(r, &name) || !expect(r, ':', "a colon is missing")) return false;
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(fields[i].name, name)) continue;
        if (*seen >> i & 1)
            return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: tensor '%.200s': %s is given twice",
                              t->name, name);
        *seen |= 1u << i;
        return fields[i].read(r, t);
    }
    return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: tensor '%.200s': unknown field '%.40s'", t->name,
                      name);
}

static bool read_tensor(struct reader *r, const char *name)
{
    struct safetensors_header *h = r->header;
    struct safetensors_tensor t = { .name = name };
    size_t shape = r->shape_count;
    unsigned seen = 0;
    enum member m;

    if (h->count == SAFETENSORS_MAX_TENSORS) return refuse_at(r, "more than 262144 tensors");
    if (!expect(r, '{', "a tensor is described by an object: '{' is missing")) return false;
    while ((m = next_member(r, '}', seen == 0)) == MEMBER_THERE)
        if (!read_field(r, &t, &seen)) return false;
    if (m == MEMBER_REFUSED) return false;
    if (seen != 7) return refuse_tensor(r, name, "dtype, shape or data_offsets is missing");
    if (!check_size(r, &t, h->shapes ? h->shapes + shape : NULL)) return false;

    struct safetensors_tensor *tensors = grown(r, h->tensors, sizeof t, h->count, &r->tensor_room);
    if (!tensors) return false;
    h->tensors = tensors;
    tensors[h->count++] = t;
    return true;
}

static bool read_metadata(struct reader *r)
{
    struct safetensors_header *h = r->header;
    enum member m;

    if (r->has_metadata) return refuse_at(r, "__metadata__ is given twice");
    r->has_metadata = true;
    if (!expect(r, '{', "__metadata__ is an object: '{' is missing")) return false;
    while ((m = next_member(r, '}', h->metadata_count == 0)) == MEMBER_THERE) {
        struct safetensors_metadata *list;
        char *key, *value;
        if (h->metadata_count == SAFETENSORS_MAX_METADATA) return refuse_at(r, "more than 65536 metadata entries");
        if (!read_string(r, &key) || !expect(r, ':', "a colon is missing") || !read_string(r, &value)) return false;
        if (!(list = grown(r, h->metadata, sizeof *list, h->metadata_count, &r->metadata_room))) return false;
        h->metadata = list;
        list[h->metadata_count++] = (struct safetensors_metadata) { key, value };
    }
    return m == MEMBER_NONE;
}

static bool read_members(struct reader *r)
{
    enum member m;

    if (r->at == r->end || *r->at != '{') return refuse_at(r, "does not begin with '{'");
    r->at++;
    for (bool first = true; (m = next_member(r, '}', first)) == MEMBER_THERE; first = false) {
        char *name;
        if (!read_string(r, &name) || !expect(r, ':', "a colon is missing")) return false;
        if (!(strcmp(name, "__metadata__") ? read_tensor(r, name) : read_metadata(r))) return false;
    }
    if (m == MEMBER_REFUSED) return false;
    while (r->at < r->end && *r->at == ' ') r->at++;
    return r->at == r->end || refuse_at(r, "something other than spaces follows its end");
}

/* ---- the whole ---------------------------------------------------------- */

/* Shapes were appended in the order of the tensors; now that they stay in place. */
static void link_shapes(struct safetensors_header *h)
{
    const uint64_t *shape = h->shapes;

    for (uint32_t i = 0; i < h->count; i++) {
        h->tensors[i].shape = shape;
        if (h->tensors[i].dims) shape += h->tensors[i].dims;
    }
}

static int by_place(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_key(const void *a, const void *b)
{
    const struct safetensors_metadata *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* Each tensor begins where the one before ends; the last ends with the file. */
static bool check_places(const struct reader *r, uint64_t data_bytes)
{
    struct safetensors_header *h = r->header;
    uint64_t end = 0;

    if (h->count) qsort(h->tensors, h->count, sizeof *h->tensors, by_place);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct safetensors_tensor *t = &h->tensors[i];
        if (t->offset != end)
            return refuse_tensor(r, t->name, t->offset > end ? "a hole lies before its data"
                                                             : "its data overlaps another tensor's");
        end += t->bytes; /* cannot overflow: offset + bytes was read as one number */
    }
    if (end > data_bytes)
        return tinct_fail(r->err, TINCT_ERR_FORMAT,
                          "the file is cut short: its tensors take %llu bytes, %llu are there", (unsigned long long)end, (unsigned long long)data_bytes);
    if (end < data_bytes)
        return tinct_fail(r->err, TINCT_ERR_FORMAT, "%llu bytes follow the last tensor; a safetensors file ends there",
                          (unsigned long long)(data_bytes - end));
    return true;
}

static bool index_names(const struct reader *r)
{
    struct safetensors_header *h = r->header;

    h->by_name = malloc((h->count ? h->count : 1) * sizeof *h->by_name);
    if (!h->by_name) return tinct_fail(r->err, TINCT_ERR_MEMORY, "no memory for the list of tensors");
    for (uint32_t i = 0; i < h->count; i++) h->by_name[i] = &h->tensors[i];
    qsort(h->by_name, h->count, sizeof *h->by_name, by_name);
    for (uint32_t i = 1; i < h->count; i++)
        if (!strcmp(h->by_name[i - 1]->name, h->by_name[i]->name))
            return refuse_tensor(r, h->by_name[i]->name, "is described twice");

    if (h->metadata_count) qsort(h->metadata, h->metadata_count, sizeof *h->metadata, by_key);
    for (uint32_t i = 1; i < h->metadata_count; i++)
        if (!strcmp(h->metadata[i - 1].key, h->metadata[i].key))
            return tinct_fail(r->err, TINCT_ERR_FORMAT, "safetensors header: metadata '%.200s' is given twice",
                              h->metadata[i].key);
    return true;
}

bool safetensors_header_read(struct safetensors_header *header, char *text, size_t length, uint64_t data_bytes,
                             struct tinct_err *err)
{
    struct reader r = { .start = text, .at = text, .end = text + length, .header = header, .err = err };

    *header = (struct safetensors_header) { 0 };
    if (!read_members(&r)) goto fail;
    link_shapes(header);
    if (!check_places(&r, data_bytes) || !index_names(&r)) goto fail;
    for (uint32_t i = 0; i < header->count; i++) header->tensors[i].offset += 8 + length;
    return true;
fail:
    safetensors_header_free(header);
    return false;
}

void safetensors_header_free(struct safetensors_header *header)
{
    free(header->tensors);
    free(header->by_name);
    free(header->metadata);
    free(header->shapes);
    *header = (struct safetensors_header) { 0 };
}
