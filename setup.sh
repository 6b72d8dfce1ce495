#!/bin/sh
# Gets a Debian 12 machine ready and builds tinct: installs what is missing (apt, with sudo where not root), fetches
# CLIP's vocabulary, builds build/. Does nothing twice. Arguments are handed to cmake.
set -eu
cd "$(dirname "$0")"

fail() {
    echo "setup.sh: $1" >&2
    exit 1
}

# ---- packages ---------------------------------------------------------------

compilers="build-essential cmake ninja-build pkg-config glslc clang-14 libclang-rt-14-dev libomp-14-dev"
libraries="libvulkan-dev libstb-dev libspng-dev libjpeg62-turbo-dev libwebp-dev libcjson-dev libutf8proc-dev nettle-dev zlib1g-dev libcmocka-dev"
window="libsdl2-dev libimgui-dev libfreetype-dev libgl1-mesa-dri fonts-inter fonts-dejavu-core xvfb xdotool libx11-dev"
programs="mesa-vulkan-drivers vulkan-validationlayers imagemagick ca-certificates python3 python3-venv"

installed() {
    dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

install_packages() {
    missing=
    command -v dpkg-query >/dev/null || fail "this is not Debian: install what cmake asks for, then run: cmake -S . -B build -G Ninja && cmake --build build"
    for package in $compilers $libraries $window $programs; do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "packages are missing; as root, run: apt-get install$missing"
        as_root=sudo
    fi
    echo "setup: installing$missing"
    $as_root apt-get -qq update || fail "apt-get update failed; check the network and run this again"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null ||
        fail "apt-get could not install$missing; run 'apt-get install' with these names to see why, then this again"
}

# ---- CLIP's vocabulary ------------------------------------------------------

vocabulary=${XDG_CACHE_HOME:-$HOME/.cache}/tinct/bpe_simple_vocab_16e6.txt.gz
vocabulary_sha256=924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a
vocabulary_package=open_clip_torch==3.3.0

is_the_vocabulary() {
    [ -f "$1" ] && echo "$vocabulary_sha256  $1" | sha256sum --check --status
}

fetch_vocabulary() {
    is_the_vocabulary "$vocabulary" && return 0
    echo "setup: fetching CLIP's vocabulary from the PyPI package $vocabulary_package"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    { python3 -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" -q --disable-pip-version-check download --no-deps -d "$folder" "$vocabulary_package"; } >"$folder/log" 2>&1 ||
        { cat "$folder/log" >&2; fail "CLIP's vocabulary could not be fetched; check the network, or put bpe_simple_vocab_16e6.txt.gz at $vocabulary"; }
    python3 - "$folder" <<'PYTHON' || fail "$vocabulary_package holds no vocabulary; put bpe_simple_vocab_16e6.txt.gz at $vocabulary"
import glob, sys, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]) as wheel:
    open(sys.argv[1] + "/vocabulary", "wb").write(wheel.read("open_clip/bpe_simple_vocab_16e6.txt.gz"))
PYTHON
    is_the_vocabulary "$folder/vocabulary" || fail "$vocabulary_package holds another vocabulary: its SHA-256 is not $vocabulary_sha256"
    mkdir -p "$(dirname "$vocabulary")"
    mv "$folder/vocabulary" "$vocabulary" || fail "cannot write $vocabulary; make its folder writable"
}

# ---- the build --------------------------------------------------------------

build() {
    quiet=--quiet
    if [ -t 1 ]; then quiet=; fi
    log=$(mktemp)
    cmake -S . -B build -G Ninja "-DTINCT_VOCAB=$vocabulary" "$@" >"$log" 2>&1 ||
        { cat "$log" >&2; fail "cmake could not configure build/; remove that folder and run this again"; }
    rm -f "$log"
    cmake --build build -- $quiet || fail "the build failed; the compiler's message is above"
}

install_packages
fetch_vocabulary
build "$@"
