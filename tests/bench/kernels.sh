#!/bin/sh
# One instruction set's kernels of a build as a library, for bench_kernels to compare builds:
#
#     kernels.sh BUILD ISA OUT.so          e.g. kernels.sh build avx2 before.so
set -e
test $# -eq 3 || { echo "kernels.sh BUILD ISA OUT.so" >&2; exit 2; }
objects=$1/CMakeFiles/tinct_kernels_$2.dir
test -d "$objects" || { echo "$1 has no kernels of $2" >&2; exit 1; }
printf 'extern const char cpu_%s_table; const void *kernels(void) { return &cpu_%s_table; }\n' "$2" "$2" |
    cc -shared -fPIC -o "$3" -x c - -x none $(find "$objects" -name '*.o')
