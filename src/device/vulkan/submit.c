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

bool vk_fences_open(struct vulkan *v, struct tinct_err *err)
{
    VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    bool ok = true;

    for (int i = 0; ok && i < VK_IN_FLIGHT; i++)
        ok = vk_ok(v, VK_TRY(v, FAULT_RECORD, v->CreateFence(v->device, &fence, NULL, &v->fences[i])), "making a fence", err);
    return ok;
}

void vk_fences_close(struct vulkan *v)
{
    for (int i = 0; i < VK_IN_FLIGHT; i++)
        if (v->fences[i]) v->DestroyFence(v->device, v->fences[i], NULL);
}

static bool lost_earlier(const struct vulkan *v, struct tinct_err *err)
{
    return v->lost && !tinct_fail(err, TINCT_ERR_DEVICE, "%s was lost earlier; it must be opened again", v->base.info.name);
}

bool vk_submit(struct vulkan *v, VkCommandBuffer commands, struct tinct_err *err)
{
    VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1,
                          .pCommandBuffers = &commands };
    uint64_t serial = v->base.started + 1;
    VkFence fence = v->fences[serial % VK_IN_FLIGHT];

    if (lost_earlier(v, err) || (serial > VK_IN_FLIGHT && !vk_wait(&v->base, serial - VK_IN_FLIGHT, err)) ||
        !vk_ok(v, v->ResetFences(v->device, 1, &fence), "starting work", err) ||
        !vk_ok(v, VK_TRY(v, FAULT_SUBMIT, v->QueueSubmit(v->queue, 1, &info, fence)), "starting work", err))
        return false;
    v->base.started = serial;
    return true;
}

static bool wait_for(struct vulkan *v, VkFence fence, struct tinct_err *err)
{
    double limit = wait_limit(v);
    VkResult r = VK_TRY(v, FAULT_WAIT, v->WaitForFences(v->device, 1, &fence, VK_TRUE, (uint64_t)(limit * 1e9)));

    if (r == VK_TIMEOUT) {
        tinct_fail(err, TINCT_ERR_DEVICE, "%s did not answer within %.0f seconds", v->base.info.name, limit);
        tinct_advise(err, "TINCT_VULKAN_WAIT=SECONDS gives a slow device more time");
    }
    if (r == VK_TIMEOUT || !vk_ok(v, r, "waiting for the device", err)) v->lost = true;
    return !v->lost;
}

bool vk_wait(struct device *device, uint64_t started, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(device);

    if (device_is_done(device, started)) return true;
    if (lost_earlier(v, err)) return false;
    device->counts.waits++;
    while (device->done < started) {
        if (!wait_for(v, v->fences[(device->done + 1) % VK_IN_FLIGHT], err)) return false;
        device->done++;
    }
    return true;
}

void vk_poll(struct device *device)
{
    struct vulkan *v = vulkan_of(device);

    while (!v->lost && device->done < device->started &&
           v->GetFenceStatus(v->device, v->fences[(device->done + 1) % VK_IN_FLIGHT]) == VK_SUCCESS)
        device->done++;
}

void vk_settle(struct vulkan *v)
{
    if (!vk_wait(&v->base, v->base.started, NULL)) v->DeviceWaitIdle(v->device);      /* what was not waited for may be at work */
}

bool vk_pass_times(struct pass *pass, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(pass->device);
    const struct vk_pass *p = pass->compiled;
    uint32_t count = 2 * pass->call_count;

    if (!p->queries) return true;
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

bool vk_pass_start(struct pass *pass, struct tinct_err *err)
{
    struct vulkan *v = vulkan_of(pass->device);
    const struct vk_pass *p = pass->compiled;
    bool ok = true;

    for (uint32_t i = 0; ok && i < p->piece_count; i++) ok = vk_submit(v, p->pieces[i], err);
    if (!ok) v->lost = true;             /* half of it is worth nothing */
    return ok;
}
