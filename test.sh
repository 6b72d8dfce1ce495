#!/bin/sh
# Sets up, builds and runs every test; the last line is "N passed, N failed" (and ", N skipped"). Safe to repeat.
#
#     sh test.sh             everything
#     sh test.sh NAME...     only the tests whose names contain one of these, as in `sh test.sh ops- fuzz`
set -eu
cd "$(dirname "$0")"

sh ./setup.sh -DTINCT_WERROR=ON
vocabulary=${XDG_CACHE_HOME:-$HOME/.cache}/tinct/bpe_simple_vocab_16e6.txt.gz

# Tests of the parsers and of the window again with clang, ASan and UBSan, and each fuzz entry for some seconds. clang
# needs minutes for a set of kernels, so there are only those that run here.
fuzz_seconds=5
sanitized=build/sanitized
kernels=$(build/tinct devices --json | sed -n 's/.*"detail": "\([a-z0-9]*\), .*/\1/p' | head -n 1)
mkdir -p $sanitized
cmake -S . -B $sanitized -G Ninja -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_FLAGS_DEBUG="-O1 -g" -DCMAKE_CXX_FLAGS_DEBUG="-O1 -g" -DTINCT_WERROR=ON \
    -DTINCT_FUZZ=ON -DTINCT_ISAS="$kernels" -DTINCT_VOCAB="$vocabulary" >$sanitized/configure.log 2>&1 ||
    { cat $sanitized/configure.log; echo "test.sh: clang-14 could not configure $sanitized; remove that folder and run this again" >&2; exit 1; }
sanitized_list() {
    sed -n -E -e "s,^(base|tensor|text|image|lora|malformed)-,sanitized-&,p" -e "s,^window-window .*,sanitized-& ten_pictures,p" $sanitized/tests/list.txt
}
targets=$(sanitized_list | sed 's/^sanitized-//; s/ .*//'; for file in tests/fuzz/fuzz_*.c; do basename "$file" .c; done)
cmake --build $sanitized --target $targets -- --quiet ||
    { echo "test.sh: the build with clang-14 failed; its message is above" >&2; exit 1; }

# What a fuzz entry begins with, where bytes at random would never get far; what it finds goes to the first folder.
seeds() {
    [ "$1" = photo ] || return 0
    mkdir -p build/tests/logs/corpus
    echo build/tests/logs/corpus tests/golden/photo
}

list() {
    cat build/tests/list.txt
    sanitized_list
    for fuzz in $sanitized/fuzz/*; do
        [ -x "$fuzz" ] && [ -f "$fuzz" ] || continue
        name=$(basename "$fuzz") dictionary=
        [ ! -f "tests/fuzz/$name.dict" ] || dictionary=-dict=tests/fuzz/$name.dict
        echo "fuzz-$name 120 $fuzz $dictionary $(seeds "$name") -max_total_time=$fuzz_seconds -timeout=10 -rss_limit_mb=1024 -artifact_prefix=build/tests/logs/$name-"
    done
    parity_list
}

# Against the reference implementations, on a tiny checkpoint; TINCT_PARITY=full adds the full-size one (an hour).
parity_list() {
    parity="sh tests/parity/run.sh" stage=build/tests/parity/stage tiny=build/tests/parity/tiny.safetensors
    build/tests/tiny-checkpoint tests/parity/sd15_tensors.tsv $tiny
    echo "parity-tokens 900 $parity tokens.py build/tests/parity/tokens $vocabulary"
    echo "parity-layouts 900 $parity layouts.py build/tinct"
    echo "parity-stages-cpu 900 $parity stages.py $stage $tiny --vae 32"
    echo "parity-stages-cpu-fast 900 $parity stages.py $stage $tiny --vae 32 --precision fast --like bf16"
    echo "parity-stages-vulkan 900 $parity stages.py $stage $tiny --vae 32 --device llvmpipe"
    echo "parity-stages-vulkan-tile 900 env TINCT_VULKAN=tile $parity stages.py $stage $tiny --sizes 33x47 --vae 16 --device llvmpipe"
    echo "parity-stages-vulkan-fast 900 $parity stages.py $stage $tiny --vae 32 --device llvmpipe --precision fast --like f16"
    echo "parity-pictures 900 $parity pictures.py build/tinct $tiny $vocabulary --devices cpu,llvmpipe"
    echo "parity-pictures-fast 900 $parity pictures.py build/tinct $tiny $vocabulary --devices cpu,llvmpipe --like bf16"
    echo "parity-demo 900 $parity pictures.py build/tinct models/tinct-demo.safetensors $vocabulary --demo --devices cpu,llvmpipe"
    echo "parity-demo-loras 900 $parity pictures.py build/tinct models/tinct-demo.safetensors $vocabulary --demo --loras"
    echo "parity-pictures-loras 900 $parity pictures.py build/tinct $tiny $vocabulary --devices cpu,llvmpipe --loras"
    [ "${TINCT_PARITY:-}" = full ] || return 0
    full=${XDG_CACHE_HOME:-$HOME/.cache}/tinct/sd15-1234.safetensors
    [ -f "$full" ] || $parity make_checkpoint.py tests/parity/sd15_tensors.tsv "$full" >&2
    echo "parity-full-stages-cpu 3600 $parity stages.py $stage $full"
    echo "parity-full-stages-cpu-fast 3600 $parity stages.py $stage $full --precision fast --like bf16 --bar 1e-2"
    echo "parity-full-stages-vulkan 3600 $parity stages.py $stage $full --sizes 32x32 --vae 32 --device llvmpipe"
    echo "parity-full-pictures 3600 $parity pictures.py build/tinct $full $vocabulary --devices cpu,llvmpipe"
    echo "parity-full-pictures-fast 3600 $parity pictures.py build/tinct $full $vocabulary --like bf16 --size 512"
    echo "parity-full-pictures-loras 3600 $parity pictures.py build/tinct $full $vocabulary --loras"
}

wanted() {
    [ $# -gt 0 ] || { cat; return; }
    pattern=$1
    shift
    for name in "$@"; do pattern="$pattern|$name"; done
    awk -v pattern="$pattern" '$1 ~ pattern'
}

export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp
list | wanted "$@" | sh tests/run.sh build/tests/logs
