#!/bin/sh
# What a GPU reaches, in one command and one run:
#
#     sh tests/bench/gpu.sh [CHECKPOINT [DEVICE]]
#
# The devices there are; kernels on shapes of SD1.5, with the core that is chosen and with the one for any GPU; with a
# CHECKPOINT (full-size SD1.5; tests/parity/make_checkpoint.py makes one) a step by kernel and size, stages, and LoRAs
# merged into it. DEVICE is as `tinct devices` lists it, or "vulkan", the first GPU. Everything goes to standard output, nothing
# else is written: the caches are in a folder that goes when this ends.
set -eu
cd "$(dirname "$0")/../.."
model=${1:-} device=${2:-vulkan}

for program in build/tinct build/bench/bench_kernels build/bench/bench_merge build/tests/parity/stage; do
    [ -x $program ] || { echo "gpu.sh: $program is not built; run 'sh setup.sh' first" >&2; exit 1; }
done
[ -z "$model" ] || [ -f "$model" ] || { echo "gpu.sh: $model is no file" >&2; exit 1; }

cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export XDG_CACHE_HOME="$cache"

title() {
    printf '\n## %s\n\n' "$1"
}

title "Machine"
uname -srm
sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1
build/tinct devices

title "Kernels, fast"
build/bench/bench_kernels "$device" fast
title "The same with the core for any GPU"
TINCT_VULKAN=tile build/bench/bench_kernels "$device" fast
title "Kernels, fp32"
build/bench/bench_kernels "$device" fp32
[ -n "$model" ] || exit 0

title "A step of 512x512 with guidance, by kernel and size"
echo "profile 2 64 64 77" | build/tests/parity/stage "$model" "$device" fast
title "Stages at 512x512"
build/tinct bench --no-cache -m "$model" --device "$device"
title "Stages at 1024x1024"
build/tinct bench --no-cache -m "$model" --device "$device" -W 1024 -H 1024
title "LoRAs merged"
build/bench/bench_merge "$model" "$device"
