/* A model's weights: wishes are collected by name while the model is bound, then everything is allocated and packed
 * at once. The first wish that the files cannot fulfil is remembered and told by weights_load, so that binding
 * code reads as a list of names.
 *
 *     struct weights *ws = weights_create(device, checkpoint);
 *     want_conv(ws, &b->conv1, cout, cin, 3, "%s.in_layers.2", at);
 *     if (!weights_load(ws, threads, &err)) ...
 *
 * Names are canonical ones (tensor/checkpoint.h) without ".weight" and ".bias". */
#ifndef TINCT_MODEL_WEIGHTS_H
#define TINCT_MODEL_WEIGHTS_H

#include "tensor/checkpoint.h"
#include "tensor/pack.h"
#include "tensor/tensor.h"

struct weights;

/* Both outlive it. NULL only without memory. */
struct weights *weights_create(struct device *device, const struct checkpoint *checkpoint);
const struct checkpoint *weights_checkpoint(const struct weights *ws);
void weights_free(struct weights *ws);                             /* NULL is fine; tensors end here */

enum { WANT_NO_BIAS = 1, WANT_GEGLU = 2 };

/* Linear layer [outputs, inputs], also where the file has a 1x1 convolution. */
void want_linear(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, unsigned flags,
                 const char *name, ...) TINCT_PRINTF(6, 7);

/* Up to three linear layers side by side, [outputs, inputs] each: a comma-separated list of what follows the name,
 * as "to_q,to_k,to_v". */
void want_linears(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, unsigned flags,
                  const char *list, const char *name, ...) TINCT_PRINTF(7, 8);

/* Square convolution [outputs, inputs, kernel, kernel]; inputs not a multiple of 4 are padded with zero channels. */
void want_conv(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, uint32_t kernel,
               const char *name, ...) TINCT_PRINTF(6, 7);

/* The same, and a 1x1 convolution [outputs, shortcut_inputs] of another's name whose result is added. */
void want_conv_and_shortcut(struct weights *ws, struct weight *w, uint32_t outputs, uint32_t inputs, uint32_t kernel,
                            uint32_t shortcut_inputs, const char *shortcut, const char *name);

void want_norm(struct weights *ws, struct norm *norm, uint32_t channels, const char *name, ...) TINCT_PRINTF(4, 5);

/* Is there a tensor of this full name, and which shape has it? For finding out sizes. */
bool weights_have(const struct weights *ws, uint32_t shape[4], const char *name, ...) TINCT_PRINTF(3, 4);

/* A binder's own refusal, remembered as the first failure. Gives the condition back. */
bool weights_expect(struct weights *ws, bool condition, const char *fmt, ...) TINCT_PRINTF(3, 4);

/* Another's refusal, remembered likewise. */
void weights_refuse(struct weights *ws, const struct tinct_err *err);

/* Before weights_load: take packed weights out of a file in cache_dir where one was kept, else keep one for the next start if they
 * take least_bytes or more (model/packed.h). cache_dir lives until then; NULL: neither. */
void weights_keep_in(struct weights *ws, const char *cache_dir, uint64_t least_bytes);

/* Weights that are kept are still being written when weights_load is back: wait for that before any of them changes. */
void weights_settle(struct weights *ws);

/* After weights_load, and after weights_settle: why they could not be kept; "" where nothing went wrong. */
const char *weights_note(const struct weights *ws);

/* Allocate, pack, upload; fills every wished-for weight. Refused: the first unfulfilled wish; device memory (how many
 * MiB are missing); NaN, Inf or values beyond fp16 in the file. */
bool weights_load(struct weights *ws, int threads, struct tinct_err *err);
uint64_t weights_bytes(const struct weights *ws);                 /* on the device */

/* What was loaded, for model/merge.h: how each weight or vector comes out of the files, and where it lies. */
struct weights_entry {
    const struct pack_job *job;          /* form and recipe */
    struct tensor place;                 /* [panels, k, 64] f16, or [n] f32 */
    const char *const *names;            /* of its parts: canonical, with ".weight" or ".bias" */
};
uint32_t weights_count(const struct weights *ws);
struct weights_entry weights_entry(const struct weights *ws, uint32_t index);
struct device *weights_device(const struct weights *ws);

/* They are kept in a file as they were packed. */
bool weights_kept(const struct weights *ws);

/* That file's bytes of the buffer that a weight lies in, at the same offsets. Free it; NULL: it cannot be mapped. */
struct buffer *weights_pristine(const struct weights *ws, uint32_t index);

/* `size` bytes of a weight out of the file. Refused: as file_read. */
bool weights_read(const struct weights *ws, void *out, uint32_t index, uint64_t offset, size_t size, struct tinct_err *err);

#endif
