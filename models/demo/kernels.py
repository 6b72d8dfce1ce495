"""norm.c, attention.c and geglu.c as one library, compiled on first use for this very processor, into the cache folder.

A training step of these small networks spends most of its time on a processor in PyTorch's passes
over activations; these take a third of that time.
"""
import ctypes
import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-mrecip", "-Wno-psabi", "-shared", "-fPIC"]


@cache
def library():
    sources = [Path(__file__).with_name(name) for name in ("norm.c", "attention.c", "geglu.c", "bf16.h")]
    processor = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tinct")
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(b"".join(s.read_bytes() for s in sources) + " ".join([processor, *FLAGS]).encode()).hexdigest()[:12]
    path = folder / f"train-kernels-{key}.so"
    if not path.exists():
        part = f"{path}.{os.getpid()}"
        subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-o", part, *sources[:3], "-lm"], check=True)
        os.replace(part, path)
    return ctypes.CDLL(str(path))


def pointers(*tensors):
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


def sizes(*values):
    return [ctypes.c_size_t(v) for v in values]
