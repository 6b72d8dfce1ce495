/* Writing LoRA tags into a prompt, where text/prompt.h reads them. */
#ifndef TINCT_TEXT_TAG_EDIT_H
#define TINCT_TEXT_TAG_EDIT_H

#include "base/err.h"

/* text with the first tag of this LoRA at *weight (both of its weights; dyn, block weights and other arguments stay),
 * further tags of it taken out; a tag at the end where there is none. weight NULL: all of them taken out,
 * with the blank before each. The caller frees it. NULL when prompt_parse refuses text, and with
 * TINCT_ERR_ARG for a name that is empty or holds ':' '<' '>' '=' or a control character. */
char *tag_edit_lora(const char *text, const char *name, const double *weight, struct tinct_err *err);

#endif
