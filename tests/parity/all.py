"""Every comparison with the reference implementations, on a tiny checkpoint and on a full-size one. Prints TAP.

    all.py BUILD_FOLDER VOCABULARY_GZ [--tiny-only]

The full-size checkpoint (2.1 GB, random weights) is made once and kept in the user's cache folder.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tinct")
SOFTWARE = "llvmpipe"          # Mesa's software driver
count = failed = 0


def run(script, *arguments, **environment):
    """One script: its TAP lines, numbered on."""
    global count, failed
    command = [sys.executable, "-u", os.path.join(HERE, script), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
    out, errors = process.communicate()
    lines = [line for line in out.splitlines() if re.match(r"(not )?ok \d+", line)]
    for line in lines:
        count += 1
        failed += line.startswith("not")
        print(re.sub(r"^((?:not )?ok) \d+", rf"\1 {count}", line), flush=True)
    if process.returncode or not lines:
        count, failed = count + 1, failed + 1
        print(f"not ok {count} - {script} ended with {process.returncode}: {(errors.strip().splitlines() or out.strip().splitlines() or ['?'])[-1]}", flush=True)


def skip(what, why):
    global count
    count += 1
    print(f"ok {count} - {what} # SKIP {why}", flush=True)


def full_size():
    path = os.path.join(CACHE, "sd15-random-1234.safetensors")
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run([sys.executable, os.path.join(HERE, "make_checkpoint.py"), os.path.join(HERE, "sd15_tensors.tsv"), path + ".part"],
                       check=True, stdout=subprocess.DEVNULL)
        os.replace(path + ".part", path)
    return path


def has_bf16():
    return "avx512_bf16" in open("/proc/cpuinfo").read()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("build"); p.add_argument("vocabulary"); p.add_argument("--tiny-only", action="store_true")
    a = p.parse_args()
    stage, tinct = os.path.join(a.build, "tests/parity/stage"), os.path.join(a.build, "tinct")
    os.environ["TINCT_VALIDATION"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        tiny = os.path.join(folder, "tiny.safetensors")
        subprocess.run([sys.executable, os.path.join(HERE, "../golden/tiny/make_tiny.py"), tiny], check=True, stdout=subprocess.DEVNULL)
        run("tokens.py", os.path.join(a.build, "tests/parity/tokens"), a.vocabulary)
        run("layouts.py", tinct)
        run("stages.py", stage, tiny, "--vae", "16")
        run("stages.py", stage, tiny, "--vae", "16", "--device", SOFTWARE, TINCT_ACT="f32")
        run("pictures.py", tinct, tiny, a.vocabulary, "--devices", "cpu," + SOFTWARE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    room = shutil.disk_usage(os.path.expanduser("~")).free >> 30
    if a.tiny_only:
        skip("the full-size model", "not asked for")
    elif memory < 15 or room < 4:
        skip("the full-size model", f"{memory} GiB of memory and {room} GiB of disk; 15 and 4 are wanted")
    else:
        model = full_size()
        run("stages.py", stage, model)
        if has_bf16():
            run("stages.py", stage, model, "--precision", "fast", "--like", "bf16", "--vae", "0")
        else:
            skip("the full-size model with bf16 products", "this processor has none")
        run("stages.py", stage, model, "--device", SOFTWARE, "--sizes", "32x32", "--vae", "0", TINCT_ACT="f32")
        run("stages.py", stage, model, "--device", SOFTWARE, "--sizes", "32x32", "--vae", "0", "--precision", "fast", "--like", "f16", TINCT_ACT="f16")
        run("pictures.py", tinct, model, a.vocabulary)
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
