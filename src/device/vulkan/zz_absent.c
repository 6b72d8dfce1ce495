/* Stands in until the Vulkan device lands, which deletes this file; weak, so that both can be there for a day. */
#include "device/backend.h"

__attribute__((weak)) struct device *vulkan_device_open(const struct device_options *options, int index,
                                                        struct tinct_err *err)
{
    (void)options, (void)index;
    tinct_fail(err, TINCT_ERR_DEVICE, "this build has no Vulkan device");
    return NULL;
}

__attribute__((weak)) int vulkan_device_list(struct device_info *infos, int room)
{
    (void)infos, (void)room;
    return 0;
}
