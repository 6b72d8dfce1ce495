/* tiny-checkpoint tests/parity/sd15_tensors.tsv OUT.safetensors */
#include "tiny_checkpoint.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: tiny-checkpoint sd15_tensors.tsv OUT.safetensors\n");
        return 2;
    }
    if (tiny_checkpoint_write(argv[1], argv[2])) return 0;
    fprintf(stderr, "tiny-checkpoint: cannot read %s or write %s\n", argv[1], argv[2]);
    return 1;
}
