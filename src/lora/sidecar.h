/* The files that lie beside a LoRA: A1111's NAME.json, NAME.civitai.info, a description,
 * a preview picture (spec/lora.md 4.4). They are extras: what is wrong with one is a
 * warning, never a failure. Only plain files are looked at, no symbolic links. */
#ifndef TINCT_LORA_SIDECAR_H
#define TINCT_LORA_SIDECAR_H

#include "base/json.h"
#include "base/str.h"

/* The object in the file that has end ( ".json") where lora_path has ".safetensors".
 * NULL where there is none; where it is no JSON object of at most 1 MiB also a line in
 * warnings that begins with the file's path. A UTF-8 byte order mark is passed over. Free with json_free. */
struct json *sidecar_json(const char *lora_path, const char *end, struct str *warnings);

/* The text of such a file, at most 16 KiB, valid UTF-8; NULL where there is none. The caller frees it. */
char *sidecar_text(const char *lora_path, const char *end);

/* The path of the preview picture: NAME.png, NAME.preview.png and the same with jpg, jpeg,
 * webp, gif; NULL where there is none. The caller frees it. */
char *sidecar_preview(const char *lora_path);

#endif
