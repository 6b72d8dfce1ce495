#include "pipeline/unet_run.h"

#include <stdlib.h>
#include <string.h>

#include "pipeline/transfer.h"

enum {
    GROUPS = 2,
    TIMES = 32,                             /* embedded together: a GEMM of one row reads the weights of one of 32 */
};

struct group {                              /* images whose texts have the same length */
    uint32_t images;                        /* 0: there is none */
    struct tensor context, kv;
};

struct unet_run {
    const struct model *model;
    struct transfer transfer;
    struct group groups[GROUPS];
    bool alike;                             /* all images of x */
    struct tensor x, eps;                   /* [all images, h, w, 4] */
    struct tensor sinus, table;             /* [TIMES, C], [TIMES, all shifts] */
    struct tensor choice, shifts;           /* [TIMES, OP_MIX_RESULTS]: 1 for the step's row of the table; that row */
    struct pass *context_pass, *time_pass, *step_pass;     /* the last for host arrays only */
    double *times;                          /* [time_count]: what will be asked for */
    uint32_t time_count;
    float *sinuses;                         /* on the host: [TIMES, C] */
    double row_time[TIMES];                 /* of the table's rows */
    uint32_t row_count;
};

static void add_group(struct unet_run *r, struct group *g, uint32_t images, uint32_t tokens)
{
    const struct unet *u = &r->model->unet;
    enum dtype dtype = device_dtype(r->model->device);

    g->images = images;
    transfer_add(&r->transfer, &g->context, dtype, 3, (uint32_t[]) { images, tokens, u->context });
    transfer_add(&r->transfer, &g->kv, dtype, 3, (uint32_t[]) { images, tokens, u->kv_channels });
}

void unet_run_record(struct pass *pass, const struct unet_run *r)
{
    op_mix(pass, r->shifts, r->table, (struct tensor) { 0 }, r->choice);
    uint32_t first = 0;
    for (const struct group *g = r->groups; g < r->groups + GROUPS && g->images; first += g++->images)
        unet_record(pass, &r->model->unet, tensor_image(r->eps, first, g->images), tensor_image(r->x, first, g->images),
                    r->shifts, g->kv, r->alike);
}

struct tensor unet_run_x(const struct unet_run *r)
{
    return r->x;
}

struct tensor unet_run_eps(const struct unet_run *r)
{
    return r->eps;
}

/* ---- making one ---- */

static void lay_out(struct unet_run *r, const struct unet_run_size *size)
{
    const struct unet *u = &r->model->unet;
    const uint32_t shape[] = { size->images + size->more_images, size->h, size->w, UNET_LATENT };

    r->alike = size->alike;
    transfer_add(&r->transfer, &r->x, device_dtype(r->model->device), 4, shape);
    transfer_add(&r->transfer, &r->eps, device_dtype(r->model->device), 4, shape);
    add_group(r, &r->groups[0], size->images, size->tokens);
    if (size->more_images) add_group(r, &r->groups[1], size->more_images, size->more_tokens);
    transfer_add(&r->transfer, &r->sinus, DTYPE_F32, 2, (uint32_t[]) { TIMES, u->model_channels });
    transfer_add(&r->transfer, &r->table, DTYPE_F32, 2, (uint32_t[]) { TIMES, u->shift_channels });
    transfer_add(&r->transfer, &r->choice, DTYPE_F32, 2, (uint32_t[]) { TIMES, OP_MIX_RESULTS });
    transfer_add(&r->transfer, &r->shifts, DTYPE_F32, 2, (uint32_t[]) { 1, u->shift_channels });
}

static bool allocate(struct unet_run *r, struct tinct_err *err)
{
    struct group *g = r->groups;
    struct tensor *all[] = { &r->sinus, &r->table, &r->choice, &r->shifts, &r->x, &r->eps, &g[0].context, &g[0].kv,
                             &g[1].context, &g[1].kv };

    return transfer_allocate(&r->transfer, r->model->device, all, sizeof all / sizeof *all, err);
}

static struct pass *context_pass(const struct unet_run *r)
{
    struct pass *pass = pass_begin(r->model->device);

    for (const struct group *g = r->groups; g < r->groups + GROUPS && g->images; g++)
        unet_context_record(pass, &r->model->unet, g->kv, g->context);
    return pass;
}

static struct pass *time_pass(const struct unet_run *r)
{
    struct pass *pass = pass_begin(r->model->device);

    unet_time_record(pass, &r->model->unet, r->table, r->sinus);
    return pass;
}

static struct pass *step_pass(const struct unet_run *r)
{
    struct pass *pass = pass_begin(r->model->device);

    unet_run_record(pass, r);
    return pass;
}

struct stage_needs unet_run_needs(const struct model *m, const struct unet_run_size *size)
{
    struct unet_run r = { .model = m };

    lay_out(&r, size);
    struct stage_needs step = stage_needs_of(step_pass(&r), r.transfer.used);
    struct stage_needs context = stage_needs_of(context_pass(&r), 0), time = stage_needs_of(time_pass(&r), 0);
    uint64_t scratch = step.scratch > context.scratch ? step.scratch : context.scratch;
    return (struct stage_needs) { scratch > time.scratch ? scratch : time.scratch, step.own + context.own + time.own };
}

struct unet_run *unet_run_create(const struct model *m, const struct unet_run_size *size, struct tinct_err *err)
{
    struct unet_run *r = calloc(1, sizeof *r);

    if (r) r->sinuses = calloc((size_t)TIMES * m->unet.model_channels, sizeof(float));
    if (!r || !r->sinuses) {
        tinct_fail(err, TINCT_ERR_MEMORY, "no memory for a UNet run");
        unet_run_free(r);
        return NULL;
    }
    r->model = m;
    lay_out(r, size);
    bool ok = allocate(r, err);
    if (ok) {
        r->context_pass = context_pass(r);
        r->time_pass = time_pass(r);
        ok = pass_end(r->context_pass, err) && pass_end(r->time_pass, err);
    }
    if (ok) return r;
    tinct_within(err, "unet");
    unet_run_free(r);
    return NULL;
}

void unet_run_free(struct unet_run *r)
{
    if (!r) return;
    pass_free(r->context_pass);
    pass_free(r->time_pass);
    pass_free(r->step_pass);
    transfer_free(&r->transfer);
    free(r->times);
    free(r->sinuses);
    free(r);
}

/* ---- texts and times ---- */

bool unet_run_context(struct unet_run *r, const float *context, struct tinct_err *err)
{
    uint32_t channels = r->model->unet.context;
    bool ok = true;

    r->row_count = r->time_count = 0;        /* weights may be others than at the last text */
    for (const struct group *g = r->groups; ok && g < r->groups + GROUPS && g->images; g++) {
        ok = tensor_upload(g->context, context, channels, err);
        context += (size_t)tensor_rows(g->context) * channels;
    }
    return (ok && pass_start(r->context_pass, err)) || tinct_within(err, "unet");
}

bool unet_run_times(struct unet_run *r, const double *t, uint32_t count, struct tinct_err *err)
{
    double *times = malloc((count + 1) * sizeof *times);

    if (!times) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for %u timesteps", count);
    memcpy(times, t, count * sizeof *times);
    free(r->times);
    r->times = times;
    r->time_count = count;
    return true;
}

/* The rows of t and of those that will follow it. */
static bool make_rows(struct unet_run *r, double t, struct tinct_err *err)
{
    const struct unet *u = &r->model->unet;
    uint32_t first = 0;

    while (first < r->time_count && r->times[first] != t) first++;
    r->row_count = 0;
    r->row_time[r->row_count++] = t;
    for (uint32_t i = first + 1; i < r->time_count && r->row_count < TIMES; i++)
        r->row_time[r->row_count++] = r->times[i];
    for (uint32_t i = 0; i < r->row_count; i++)
        unet_timestep(u, r->sinuses + (size_t)i * u->model_channels, r->row_time[i]);
    bool ok = tensor_upload(r->sinus, r->sinuses, u->model_channels, err) && pass_start(r->time_pass, err);
    if (!ok) r->row_count = 0;
    return ok;
}

bool unet_run_at(struct unet_run *r, double t, struct tinct_err *err)
{
    float choice[TIMES * OP_MIX_RESULTS] = { 0 };
    uint32_t row = 0;

    while (row < r->row_count && r->row_time[row] != t) row++;
    if (row == r->row_count) {
        if (!make_rows(r, t, err)) return tinct_within(err, "unet");
        row = 0;
    }
    choice[row * OP_MIX_RESULTS] = 1;
    return tensor_upload(r->choice, choice, OP_MIX_RESULTS, err) || tinct_within(err, "unet");
}

/* ---- a step on host arrays ---- */

bool unet_run_step(struct unet_run *r, float *eps, const float *x, double t, struct tinct_err *err)
{
    if (!r->step_pass) r->step_pass = step_pass(r);
    return (pass_end(r->step_pass, err) && unet_run_at(r, t, err) && tensor_upload(r->x, x, UNET_LATENT, err) &&
            pass_run(r->step_pass, err) && tensor_download(r->eps, eps, UNET_LATENT, err)) ||
           tinct_within(err, "unet");
}

const struct pass *unet_run_pass(const struct unet_run *r)
{
    return r->step_pass;
}
