#include "khr_matrix.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_WORDS = 5, MAGIC = 0x07230203, MAX_IDS = 1 << 20 };

enum {                                    /* opcodes */
    OP_EXTENSION = 10, OP_CAPABILITY = 17, OP_CONSTANT_TRUE = 41, OP_CONSTANT_FALSE = 42, OP_CONSTANT = 43,
    OP_SPEC_CONSTANT = 50, OP_DECORATE = 71,
    NV_TYPE = 5358, NV_LOAD = 5359, NV_STORE = 5360, NV_MUL_ADD = 5361, NV_LENGTH = 5362,
    KHR_TYPE = 4456, KHR_LOAD = 4457, KHR_STORE = 4458, KHR_MUL_ADD = 4459, KHR_LENGTH = 4460,
};

enum { NV_CAPABILITY = 5357, KHR_CAPABILITY = 6022, DECORATION_SPEC_ID = 1, SCOPE_SUBGROUP = 3 };

static const char nv_name[] = "SPV_NV_cooperative_matrix", khr_name[] = "SPV_KHR_cooperative_matrix";

struct about {                            /* an id */
    uint32_t spec_id;                     /* its SpecId; 0: it has none */
    uint32_t type;                        /* of an OpSpecConstant */
    signed char truth;                    /* OpConstantTrue 1, OpConstantFalse -1 */
};

struct rewriter {
    struct about *ids;
    uint32_t id_count;                    /* the old module's bound; new ids follow */
    uint32_t first_new;                   /* ids of the uint constants 0, 1, 2, 3; 0: not written yet */
    uint32_t *out;
    size_t count, room;
    const char *why;
};

static bool refuse(struct rewriter *r, const char *why)
{
    r->why = why;
    return false;
}

static bool put(struct rewriter *r, const uint32_t *words, size_t count)
{
    if (r->count + count > r->room) {
        size_t room = 2 * (r->count + count);
        uint32_t *out = realloc(r->out, room * sizeof *out);
        if (!out) return refuse(r, "no memory");
        r->out = out;
        r->room = room;
    }
    memcpy(r->out + r->count, words, count * sizeof *words);
    r->count += count;
    return true;
}

static bool put_op(struct rewriter *r, uint32_t opcode, const uint32_t *operands, size_t count)
{
    const uint32_t head = (uint32_t)(count + 1) << 16 | opcode;
    return put(r, &head, 1) && put(r, operands, count);
}

static const struct about *about(const struct rewriter *r, uint32_t id)
{
    static const struct about nothing;
    return id < r->id_count ? &r->ids[id] : &nothing;
}

/* What the rewriting has to know of an id, taken before it begins: decorations stand before what they decorate. */
static void learn(struct rewriter *r, uint32_t opcode, const uint32_t *at, uint32_t length)
{
    if (opcode == OP_DECORATE && length == 4 && at[2] == DECORATION_SPEC_ID && at[1] < r->id_count)
        r->ids[at[1]].spec_id = at[3];
    if (opcode == OP_SPEC_CONSTANT && length == 4 && at[2] < r->id_count) r->ids[at[2]].type = at[1];
    if (opcode == OP_CONSTANT_TRUE && length == 3 && at[2] < r->id_count) r->ids[at[2]].truth = 1;
    if (opcode == OP_CONSTANT_FALSE && length == 3 && at[2] < r->id_count) r->ids[at[2]].truth = -1;
}

/* Types name constants, which must stand before them: those that KHR needs go before the first type. */
static bool put_constants(struct rewriter *r, uint32_t uint_type)
{
    if (r->first_new) return true;
    r->first_new = r->id_count;
    for (uint32_t value = 0; value <= 3; value++)
        if (!put_op(r, OP_CONSTANT, (uint32_t[]) { uint_type, r->first_new + value, value }, 3)) return false;
    return true;
}

static bool put_type(struct rewriter *r, const uint32_t *at)
{
    const struct about *scope = about(r, at[3]);

    if (!scope->type || scope->spec_id < KHR_MATRIX_A || scope->spec_id > KHR_MATRIX_SUM)
        return refuse(r, "a matrix type's scope is not a specialisation constant of id 100, 101 or 102, which tell its use");
    return put_constants(r, scope->type) &&
           put_op(r, KHR_TYPE, (uint32_t[]) { at[1], at[2], r->first_new + SCOPE_SUBGROUP, at[4], at[5],
                                              r->first_new + scope->spec_id - KHR_MATRIX_A }, 6);
}

/* NV: ..., stride, is it by columns, memory operands. KHR: ..., layout (0 by rows, 1 by columns), stride, memory operands. */
static bool put_access(struct rewriter *r, uint32_t opcode, const uint32_t *at, uint32_t length, uint32_t before)
{
    signed char by_columns = about(r, at[before + 2])->truth;

    if (!by_columns || !r->first_new) return refuse(r, "a matrix is loaded or stored with a layout that is no plain true or false");
    uint32_t layout = r->first_new + (by_columns > 0);
    const uint32_t head = length << 16 | opcode;
    return put(r, &head, 1) && put(r, at + 1, before) && put(r, &layout, 1) && put(r, &at[before + 1], 1) &&
           put(r, at + before + 3, length - before - 3);
}

/* One instruction with its operands in at[1 .. length - 1]. */
static bool translate(struct rewriter *r, uint32_t opcode, const uint32_t *at, uint32_t length)
{
    static const struct { uint32_t opcode, least; } shortest[] = {
        { NV_TYPE, 6 }, { NV_LOAD, 6 }, { NV_STORE, 5 }, { NV_MUL_ADD, 6 }, { NV_LENGTH, 4 }, { OP_CAPABILITY, 2 },
    };
    for (size_t i = 0; i < sizeof shortest / sizeof *shortest; i++)
        if (opcode == shortest[i].opcode && length < shortest[i].least) return refuse(r, "an instruction is too short");

    switch (opcode) {
    case OP_CAPABILITY:
        return put_op(r, opcode, (uint32_t[]) { at[1] == NV_CAPABILITY ? KHR_CAPABILITY : at[1] }, 1);
    case OP_EXTENSION:
        if (length == 1 + (sizeof nv_name + 3) / 4 && !memcmp(at + 1, nv_name, sizeof nv_name)) {
            uint32_t name[(sizeof khr_name + 3) / 4] = { 0 };
            memcpy(name, khr_name, sizeof khr_name);
            return put_op(r, opcode, name, sizeof name / sizeof *name);
        }
        return put(r, at, length);
    case NV_TYPE: return put_type(r, at);
    case NV_LOAD: return put_access(r, KHR_LOAD, at, length, 3);
    case NV_STORE: return put_access(r, KHR_STORE, at, length, 2);
    case NV_MUL_ADD: return put_op(r, KHR_MUL_ADD, at + 1, length - 1);
    case NV_LENGTH: return put_op(r, KHR_LENGTH, at + 1, length - 1);
    default: return put(r, at, length);
    }
}

/* Every instruction in turn: learnt from, or put out. */
static bool walk(struct rewriter *r, const uint32_t *words, size_t count, bool learning)
{
    for (size_t i = HEADER_WORDS; i < count;) {
        uint32_t length = words[i] >> 16, opcode = words[i] & 0xffff;
        if (!length || length > count - i) return refuse(r, "an instruction ends beyond the module");
        if (learning) learn(r, opcode, words + i, length);
        else if (!translate(r, opcode, words + i, length)) return false;
        i += length;
    }
    return true;
}

static bool rewrite(struct rewriter *r, const uint32_t *words, size_t count)
{
    if (count < HEADER_WORDS || words[0] != MAGIC) return refuse(r, "this is no SPIR-V module of the machine's byte order");
    if (!words[3] || words[3] > MAX_IDS) return refuse(r, "the module's bound of ids is out of reason");
    r->id_count = words[3];
    r->ids = calloc(r->id_count, sizeof *r->ids);
    if (!r->ids) return refuse(r, "no memory");
    if (!walk(r, words, count, true) || !put(r, words, HEADER_WORDS) || !walk(r, words, count, false)) return false;
    r->out[3] = r->id_count + (r->first_new ? 4 : 0);
    return true;
}

uint32_t *khr_matrix_rewrite(const uint32_t *words, size_t count, size_t *out_count, const char **why)
{
    struct rewriter r = { 0 };
    bool ok = rewrite(&r, words, count);

    free(r.ids);
    *why = r.why;
    *out_count = ok ? r.count : 0;
    if (ok) return r.out;
    free(r.out);
    return NULL;
}
