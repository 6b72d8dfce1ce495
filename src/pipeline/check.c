/* What can be refused before a model is loaded. */
#include "base/save.h"
#include "sampler/sampler.h"

bool tinct_check(const struct tinct_txt2img *p, struct tinct_err *err)
{
    enum schedule_kind kind;

    return (!p->sampler || sampler_find(p->sampler, &kind, err)) &&
           (!p->scheduler || schedule_find(&kind, p->scheduler, err));
}

bool tinct_image_check(const char *path, bool overwrite, struct tinct_err *err)
{
    return save_check(path, overwrite, err);
}
