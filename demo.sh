#!/bin/sh
# Sets up a Debian 12 machine, builds, and paints out/demo.png: a sheet of what the demo model and its LoRAs do. Safe to repeat.
set -eu
cd "$(dirname "$0")"

sh ./setup.sh

fail() {
    echo "demo.sh: $1" >&2
    exit 1
}

pictures=out/demo
rm -rf "$pictures"
mkdir -p "$pictures" || fail "the folder $pictures cannot be made here"
tiles=0

paint() {               # paint NAME SEED PROMPT DEVICE
    build/tinct paint "$3" -s "$2" -m tinct-demo --steps 20 --scheduler Karras --cfg-scale 6 --device "$4" -o "$pictures/$1.png" -q >/dev/null
}

tile() {                # tile LABEL SEED PROMPT: one picture of the sheet, on the processor
    tiles=$((tiles + 1))
    name=$(printf '%02d' $tiles)
    echo "$name  $3"
    paint "$name" "$2" "$3" cpu
    echo "$1" >"$pictures/$name.label"
}

# A subject, its colour, a place, a time; for people a pose.
tile "house"    1 "a red house in a meadow by day"
tile "castle"   2 "a white castle in the mountains at sunset"
tile "tree"     3 "a pink tree in the snow by day"
tile "boat"     4 "a blue boat at sea at sunset"
tile "car"      5 "a yellow car in the city at night"
tile "cat"      6 "an orange cat in the forest by day"
tile "owl"      7 "a purple owl in the forest at night"
tile "dragon"   8 "a green dragon in the mountains by day"
tile "rocket"   9 "a red rocket in the desert at night"
tile "balloon" 10 "an orange balloon by the sea by day"
tile "girl"    11 "a girl in a yellow dress standing in a meadow by day"
tile "boy"     12 "a boy in blue running on the beach by day"
tile "knight"  13 "a red knight standing in the snow at sunset"
tile "wizard"  14 "a wizard in a purple robe with arms up in the desert at sunset"
tile "robot"   15 "a green robot waving in the city by day"

# One picture, and what each LoRA makes of it.
scene="in the desert at sunset"
tile "girl"            7 "a girl in a blue dress standing $scene"
tile "arcane 0.8"      7 "a girl in a blue dress standing $scene, arcane style <lora:arcane:0.8>"
tile "sketch 0.9"      7 "a girl in a blue dress standing $scene, pencil sketch <lora:sketch:0.9>"
tile "dark_vador 0.9"  7 "dark vador standing $scene <lora:dark_vador:0.9>"
tile "dab 0.8"         7 "a girl in a blue dress doing a dab $scene <lora:dab:0.8>"

# Stacked.
tile "arcane + dark_vador" 7 "dark vador standing $scene, arcane style <lora:arcane:0.7> <lora:dark_vador:0.9>"
tile "sketch + dark_vador" 7 "dark vador standing $scene, pencil sketch <lora:sketch:0.7> <lora:dark_vador:0.9>"
tile "arcane + dab"        7 "a girl in a blue dress doing a dab $scene, arcane style <lora:arcane:0.7> <lora:dab:0.8>"
tile "dark_vador + dab"    7 "dark vador doing a dab $scene <lora:dark_vador:0.9> <lora:dab:0.8>"
tile "all three"           7 "dark vador doing a dab $scene, arcane style <lora:arcane:0.7> <lora:dark_vador:0.9> <lora:dab:0.8>"

# One seed at rising weights.
for weight in 0 0.25 0.5 0.75 1; do
    prompt="a white castle in the mountains at sunset, arcane style <lora:arcane:$weight>"
    tile "arcane $weight" 2 "$prompt"
done

set --
for label in "$pictures"/*.label; do
    set -- "$@" -label "$(cat "$label")" "${label%.label}.png"
done
montage -background '#1b1c20' -fill '#d8d8d8' -font DejaVu-Sans -pointsize 15 "$@" -tile 5x -geometry 256x256+5+5 out/demo.png ||
    fail "out/demo.png could not be written; is the disk full?"

echo "the last one again, on vulkan"
paint vulkan 2 "$prompt" vulkan
echo "cpu and vulkan agree to $(compare -metric PSNR "$pictures/$name.png" "$pictures/vulkan.png" null: 2>&1 || true) dB"
echo "out/demo.png shows all of it; the pictures are in $pictures/"
