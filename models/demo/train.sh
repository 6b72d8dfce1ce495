#!/bin/sh
# Makes models/tinct-demo.safetensors from nothing but this folder, stage by stage.
#
#   sh models/demo/train.sh [MINUTES]      go on for at most MINUTES (default: until all is done)
#
# Every stage keeps checkpoints in ${TINCT_TRAIN_DIR:-~/.cache/tinct/train} and goes on from them:
# stop it whenever you like, and run it again. On a processor it runs at idle priority, on all cores.
# Python with the packages of requirements.txt, and the CLIP vocabulary that demo.sh fetches.
set -eu
cd "$(dirname "$0")"

minutes=${1:-1000000}
end=$(($(date +%s) + minutes * 60))
python=${PYTHON:-python3}
train=${TINCT_TRAIN_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tinct/train}
idle=
command -v chrt >/dev/null 2>&1 && idle="nice -n 19 chrt -i 0"

left() {                # whole minutes left of the time given
    echo $(((end - $(date +%s)) / 60))
}

stage() {               # stage TITLE script arguments...: skipped once the time is over
    if [ "$(left)" -lt 1 ]; then
        echo "train.sh: time is over before: $1; run it again to go on" >&2
        exit 0
    fi
    echo "== $1"
    shift
    $idle "$python" "$@"
}

"$python" -c 'import torch, cairo, diffusers, peft, lycoris, safetensors' 2>/dev/null || {
    echo "train.sh: Python packages are missing; run: $python -m pip install -r models/demo/requirements.txt (pycairo is built by it: apt-get install libcairo2-dev)" >&2
    exit 1
}

stage "1. the VAE learns pictures"                       train_vae.py --minutes "$(left)"
stage "2. latents of small pictures"                     latents.py --side 128 --count 24000
stage "   with emphasis on the colour"                   latents.py --side 128 --count 5000 --kind vivid
stage "3. text encoder and UNet, 128x128"                train_unet.py --side 128 --minutes "$(left)"
stage "4. latents of pictures at the native size"        latents.py --side 256 --count 5000
stage "   with emphasis on the colour"                   latents.py --side 256 --count 1024 --kind vivid
stage "5. text encoder and UNet, 256x256"                train_unet.py --side 256 --minutes "$(left)"
stage "6. export"                                        export.py
stage "   check in diffusers"                            check.py
for name in arcane sketch dark_vador dab; do
    stage "7. LoRA $name"                                train_lora.py "$name" --minutes "$(left)"
done
stage "8. the recogniser"                                recognise.py --minutes "$(left)"
stage "9. a contact sheet"                              preview.py "$train/preview.png"
echo "train.sh: done. $train holds tinct-demo.safetensors, loras/ and preview.png."
echo "Copy them to models/ and loras/ when they are good: python models/demo/judge.py says so."
