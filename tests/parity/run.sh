#!/bin/sh
# Runs one parity script with the packages of requirements.txt, in an environment of its own outside the tree.
#
#     sh tests/parity/run.sh stages.py ARGUMENTS...      TAP on stdout
#
# Ends with 77 and the reason as its last line where the packages cannot be had. An environment that is complete is
# used as it is, without a network; TINCT_PARITY_PYTHON names a Python to use instead of one.
set -u
folder=$(cd "$(dirname "$0")" && pwd)

skip() {
    echo "the packages of tests/parity/requirements.txt cannot be had: $1"
    exit 77
}

# Only the processor's torch is wanted: where pip's own index is asked, the other one is tried first.
install() {
    python3 -m venv --clear "$1" &&
        "$1/bin/pip" install --no-deps --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu \
            "$(grep '^torch==' "$folder/requirements.txt")" &&
        "$1/bin/pip" install --no-deps --retries 1 -r "$folder/requirements.txt" &&
        "$1/bin/python" -c 'import diffusers, numpy, peft, PIL, safetensors, torch, transformers' && : >"$1/complete"
}

python=${TINCT_PARITY_PYTHON:-}
if [ -z "$python" ]; then
    environment=${XDG_CACHE_HOME:-$HOME/.cache}/tinct/parity-$(sha256sum <"$folder/requirements.txt" | cut -c 1-12)
    log=$(mktemp)
    mkdir -p "${environment%/*}"
    exec 9>"$environment.lock"    # two scripts at a time: the second one waits until it is complete
    flock 9
    [ -f "$environment/complete" ] || install "$environment" >"$log" 2>&1 ||
        skip "$(grep -i error "$log" | tail -n 1 | cut -c 1-200)"
    rm -f "$log"
    exec 9>&-
    python=$environment/bin/python
fi
script=$1
shift
exec "$python" -u "$folder/$script" "$@"
