#include "device/vulkan/vk.h"

#include <stdlib.h>

/* Seconds that a piece may take: they are cut to well under one on a GPU and some on a software driver (pass.c), whose
 * processor may be busy with other things. TINCT_VULKAN_WAIT sets another limit. */
static double wait_limit(const struct vulkan *v)
{
    const char *wish = getenv("TINCT_VULKAN_WAIT");
    double seconds = wish ? strtod(wish, NULL) : v->software ? 600 : 60;
    return seconds >= 0 && seconds < 1e6 ? seconds : 1e6;
}

bool vk_submit(struct vulkan *v, VkCommandBuffer commands, VkFence fence, struct tinct_err *err)
{
    VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                          .pCommandBuffers = &commands };

    if (v->lost)
        return tinct_fail(err, TINCT_ERR_DEVICE, "%s was lost earlier; it must be opened again", v->base.info.name);
    return vk_ok(v, v->ResetFences(v->device, 1, &fence), "starting work", err) &&
           vk_ok(v, VK_TRY(v, FAULT_SUBMIT, v->QueueSubmit(v->queue, 1, &info, fence)), "starting work", err);
}

bool vk_wait(struct vulkan *v, VkFence fence, struct tinct_err *err)
{
    double limit = wait_limit(v);
    VkResult r = VK_TRY(v, FAULT_WAIT, v->WaitForFences(v->device, 1, &fence, VK_TRUE, (uint64_t)(limit * 1e9)));

    if (r != VK_TIMEOUT) return vk_ok(v, r, "waiting for the device", err);
    v->lost = true;
    tinct_fail(err, TINCT_ERR_DEVICE, "%s did not answer within %.0f seconds", v->base.info.name, limit);
    return tinct_advise(err, "TINCT_VULKAN_WAIT=SECONDS gives a slow device more time");
}

static bool read_times(struct vulkan *v, struct pass *pass, const struct vk_pass *p, struct tinct_err *err)
{
    uint32_t count = 2 * pass->call_count;
    uint64_t *ticks = malloc(count * sizeof *ticks);

    if (!ticks) return tinct_fail(err, TINCT_ERR_MEMORY, "no memory for %u times", count);
    bool ok = vk_ok(v, v->GetQueryPoolResults(v->device, p->queries, 0, count, count * sizeof *ticks, ticks,
                                              sizeof *ticks, VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                    "reading times", err);
    for (uint32_t i = 0; ok && i < pass->call_count; i++)
        pass->calls[i].ms = (double)(ticks[2 * i + 1] - ticks[2 * i]) * v->limits.timestamp_ns * 1e-6;
    free(ticks);
    return ok;
}

bool vk_pass_run(struct pass *pass, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(pass->device);
    struct vk_pass *p = pass->compiled;
    uint32_t submitted = 0;
    bool ok = true;

    while (ok && submitted < p->piece_count) {
        ok = vk_submit(v, p->pieces[submitted].commands, p->pieces[submitted].fence, err);
        if (ok) submitted++;
    }
    for (uint32_t i = 0; ok && i < submitted; i++) ok = vk_wait(v, p->pieces[i].fence, err);
    if (!ok) v->lost = true;             /* earlier pieces may still be at work: freeing waits for them */
    return ok && (!p->queries || read_times(v, pass, p, err));
}
