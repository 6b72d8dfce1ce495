#!/bin/sh
# Sets up a Debian 12 machine, builds, and paints: pictures under out/, one line each. Safe to repeat.
set -eu
cd "$(dirname "$0")"

sh ./setup.sh

model=models/tinct-demo.safetensors
if [ ! -f "$model" ]; then
    model=build/random.safetensors
    echo "demo: the demo model is not there yet; painting with random weights, which gives patterns, not things"
    [ -f "$model" ] || build/tests/tiny-checkpoint tests/parity/sd15_tensors.tsv "$model" ||
        { echo "demo.sh: $model could not be written; make room and run this again" >&2; exit 1; }
fi

mkdir -p out || { echo "demo.sh: the folder out/ cannot be made here" >&2; exit 1; }
number=0
paint() {
    prompt=$1
    shift
    number=$((number + 1))
    build/tinct paint "$prompt" -m "$model" -W 256 -H 256 --steps 20 -s 42 -o "out/demo-$number.png" --force -q "$@"
}
paint "a castle at dusk"
paint "a red boat on the sea, sunset" --sampling-method "Euler a"
paint "(a cat:1.2) in a meadow, [day:night:0.5]" -n "blurry"
