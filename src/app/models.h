/* From what -m says to a file: a path, or a name in the models folder; and where LoRAs are. */
#ifndef TINCT_APP_MODELS_H
#define TINCT_APP_MODELS_H

#include "app.h"

enum { MODEL_PATH_BYTES = 4096 };

/* What a name stands for: these folders are looked into besides the models folder itself, as A1111
 * and ComfyUI have them. */
enum model_sort { MODEL_CHECKPOINT, MODEL_VAE };

/* name NULL: the demo model that comes with the program. A name with a '/' or of an existing file is
 * a path. All else is never joined to a path: the folder is listed, and name looked up in the list, with or
 * without ".safetensors". folder NULL: $TINCT_MODELS, else "models". On EXIT_DONE the file is in path. */
enum exit_code model_find(enum model_sort sort, const char *name, const char *folder, char path[MODEL_PATH_BYTES]);

/* The models folder that is meant: folder, else $TINCT_MODELS, else "models". */
const char *models_folder(const char *folder);

/* The folder of LoRAs: folder, refused where it is none; NULL: "loras", else the one beside the program. */
enum exit_code lora_folder_choose(const char *folder, char path[MODEL_PATH_BYTES]);

/* The same for embeddings: folder, else "embeddings". */
enum exit_code embedding_folder_choose(const char *folder, char path[MODEL_PATH_BYTES]);

/* The paths of all models of a sort in the folder (NULL: as above) and of the demo model; *paths and each are
 * allocated, the count is given back. */
size_t model_list(enum model_sort sort, const char *folder, char ***paths);

#endif
