"""Times LoRAs on an open model against diffusers in the same run, in turns A B, best of each, and prints ratios.

    peer_loras.py BENCH_LORAS CHECKPOINT FOLDER [--rounds 2] [--rank 32]

FOLDER keeps three LoRA files of that rank on all linear and attention layers of the UNet and the text encoder, written at the
first run. diffusers: load_lora_weights and fuse_lora; another weight is unfuse_lora, set_adapters and fuse_lora, since
set_adapters alone leaves a branch in every layer that each step then pays for. One run on one machine; the ratio is the figure.
"""
import argparse
import os
import re
import subprocess
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))
import lora_files
import reference
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

NAMES = ("one", "two", "three")


class Tinct:
    def __init__(self, program, model):
        cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tinct")      # as the program does
        self.process = subprocess.Popen([program, model, "cpu", cache], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        print(self.process.stdout.readline().strip(), flush=True)
        self.peak = 0.0

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if answer[0] != "ok":
            sys.exit(" ".join(answer))
        self.peak = float(answer[3])
        return float(answer[1]) / 1e3, float(answer[2]) / 1e3


def seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def write_files(models, folder, rank):
    os.makedirs(folder, exist_ok=True)
    lora_files.LINEAR = re.compile(lora_files.LINEAR.pattern[:-2] + r"|time_emb_proj|linear_1|linear_2)$")
    for seed, name in enumerate(NAMES):
        file = os.path.join(folder, name + ".safetensors")
        if not os.path.exists(file):
            lora_files.kohya(models, file, rank=rank, alpha=rank / 2, seed=seed, size=0.02, dtype=torch.float16)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program"); p.add_argument("checkpoint"); p.add_argument("folder")
    p.add_argument("--rounds", type=int, default=2); p.add_argument("--rank", type=int, default=32)
    a = p.parse_args()
    torch.set_num_threads(os.cpu_count())
    sd = reference.load(a.checkpoint)
    models = lora_files.models_of(sd)
    del sd
    write_files(models, a.folder, a.rank)
    pipe = StableDiffusionPipeline(vae=None, tokenizer=None, scheduler=EulerDiscreteScheduler(), safety_checker=None, feature_extractor=None,
                                   requires_safety_checker=False, **models)
    paths = [os.path.join(a.folder, name + ".safetensors") for name in NAMES]
    tinct = Tinct(a.program, a.checkpoint)

    def load(names):
        for name in names:
            pipe.load_lora_weights(a.folder, weight_name=name + ".safetensors", adapter_name=name)

    def fuse(names, weight):
        pipe.set_adapters(list(names), [weight] * len(names))
        pipe.fuse_lora(adapter_names=list(names))

    def clear():
        pipe.unfuse_lora()
        pipe.unload_lora_weights()

    def change(weight):
        pipe.unfuse_lora()
        fuse(NAMES[:1], weight)

    best = {}

    def note(what, ours, theirs):
        old = best.get(what, (1e9, 1e9))
        best[what] = (min(old[0], ours), min(old[1], theirs))

    for _ in range(a.rounds):
        tinct.ask("forget")
        note("first application", sum(tinct.ask(f"apply {paths[0]} 0.8")), seconds(lambda: (load(NAMES[:1]), fuse(NAMES[:1], 0.8))))
        note("another weight", sum(tinct.ask(f"apply {paths[0]} 0.5")), seconds(lambda: change(0.5)))
        clear()
        tinct.ask("forget")
        note("three at once", sum(tinct.ask("apply " + " ".join(f"{path} 0.5" for path in paths))), seconds(lambda: (load(NAMES), fuse(NAMES, 0.5))))
        pipe.unfuse_lora()
        note("set_adapters alone", sum(tinct.ask("apply " + " ".join(f"{path} 0.25" for path in paths))), seconds(lambda: pipe.set_adapters(list(NAMES), [0.25] * 3)))
        clear()
        note("none again", sum(tinct.ask("apply")), 0.0)
    for what, (ours, theirs) in best.items():
        ratio = f"diffusers {theirs:7.3f} s   ratio {ours / theirs:.2f}" if theirs else ""
        print(f"{what:24} tinct {ours:7.3f} s   {ratio}", flush=True)
    merged, plain = [], []
    for _ in range(2):
        tinct.ask(f"apply {paths[0]} 0.8")
        merged.append(tinct.ask("step")[1])
        tinct.ask("apply")
        plain.append(tinct.ask("step")[1])
    print(f"a 512x512 step with guidance: {min(merged):.3f} s with a LoRA, {min(plain):.3f} s without: ratio {min(merged) / min(plain):.3f}")
    print(f"tinct grew by {tinct.peak:.0f} MiB at its peak; a file has {os.path.getsize(paths[0]) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
