"""Times tinct's stages against diffusers' on the same checkpoint, in turns A B A B, best of each, and prints ratios.

    peer.py STAGE_PROGRAM CHECKPOINT [--precision fp32|fast] [--rounds 3] [--sizes 256,512] [--vae 512]

diffusers runs channels-last, in fp32 or (--precision fast) bf16: its faster layout. One run on one machine; the ratio is the figure.
"""
import argparse
import os
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))
import reference
from stages import Stage


def seconds(call):
    begin = time.perf_counter()
    with torch.inference_mode():
        call()
    return time.perf_counter() - begin


def race(name, ours, theirs, rounds):
    a, b = [], []
    theirs()
    for _ in range(rounds):
        a.append(ours())
        b.append(theirs())
    print(f"{name:28} tinct {min(a):7.3f} s   diffusers {min(b):7.3f} s   ratio {min(a) / min(b):.2f}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program"); p.add_argument("checkpoint")
    p.add_argument("--precision", default="fp32", choices=["fp32", "fast"]); p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sizes", default="256,512"); p.add_argument("--vae", type=int, default=512); p.add_argument("--device", default="cpu")
    a = p.parse_args()
    torch.set_num_threads(os.cpu_count())
    dtype = torch.float32 if a.precision == "fp32" else torch.bfloat16
    sd = reference.load(a.checkpoint)
    text, unet, vae = (make(sd).to(dtype=dtype) for make in (reference.text, reference.unet, reference.vae))
    unet, vae = unet.to(memory_format=torch.channels_last), vae.to(memory_format=torch.channels_last)
    width = text.config.hidden_size
    del sd
    stage = Stage(a.program, a.checkpoint, a.device, a.precision)
    print(stage.ready, flush=True)

    def ours(line):
        return lambda: float(stage.ask(line).split()[1])

    ids = torch.zeros(2, 77, dtype=torch.long)
    race("text, two prompts", ours("timetext 2 3"), lambda: min(seconds(lambda: text(ids)) for _ in range(3)), a.rounds)
    for side in map(int, filter(None, a.sizes.split(","))):
        n = side // 8
        x = torch.randn(2, 4, n, n, dtype=dtype).to(memory_format=torch.channels_last)
        context = torch.randn(2, 77, width, dtype=dtype)
        race(f"CFG step {side}x{side}", ours(f"time 2 {n} {n} 77 1"), lambda: seconds(lambda: unet(x, 500, context)), a.rounds)
    if a.vae:
        n = a.vae // 8
        z = torch.randn(1, 4, n, n, dtype=dtype).to(memory_format=torch.channels_last)
        race(f"VAE decode {a.vae}x{a.vae}", ours(f"timedecode {n} {n} 1"), lambda: seconds(lambda: vae.decode(z).sample), a.rounds)


if __name__ == "__main__":
    main()
