"""Whole pictures against the diffusers pipeline: same weights, same noise, 20 steps of Euler, CFG 7. Prints TAP.

    pictures.py TINCT_PROGRAM CHECKPOINT VOCABULARY_GZ [--devices cpu] [--size 256] [--prompt TEXT] [--loras] [--demo] [--like bf16]

--demo: the checkpoint is models/tinct-demo.safetensors, which diffusers reads by itself, with `from_single_file`.
--loras: with two LoRAs, one in kohya's spelling on attention and text encoder, one in peft's on convolutions too, which
diffusers loads and fuses; with --demo the two in loras/ that diffusers can read.

--like bf16 (or f16): with --precision fast, whose picture must be as near to diffusers' in fp32 as that of diffusers in bf16 is.

With two devices their pictures in fp32 are compared with each other too. The noise is drawn here afresh (Philox 4x32-10 and
Box-Muller as CUDA does), so that the generator is part of what is checked.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

import lora_files
import reference


def philox(seed, count):
    key = [seed & 0xFFFFFFFF, seed >> 32]
    c = [np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64), np.zeros(count, np.uint64)]
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(key[0]), b & mask, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(key[1]), a & mask]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    u = c[0].astype(np.float64) * 2.0 ** -32 + 2.0 ** -33
    v = 2 * np.pi * (c[1].astype(np.float64) * 2.0 ** -32 + 2.0 ** -33)
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def uniform_sigmas(steps):
    """A1111's Uniform: even timesteps 999..0, sigma interpolated in its logarithm."""
    betas = np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2
    abar = np.cumprod(1 - betas)
    return np.exp(np.interp(np.linspace(999, 0, steps), np.arange(1000), np.log(((1 - abar) / abar) ** 0.5)))


def psnr(a, b):
    mse = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return 10 * np.log10(255.0 ** 2 / mse) if mse else 999.0


REPO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RANDOM, OWN = {"first": 0.8, "second": -0.6}, {"arcane": 0.7, "dark_vador": 0.9}


def make_random(pipe, folder):
    """The files of RANDOM; gives how many tensors each holds."""
    models = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    return [lora_files.kohya(models, os.path.join(folder, "first.safetensors")), lora_files.peft(models, os.path.join(folder, "second.safetensors"))]


def fuse(pipe, folder, weights):
    for name in weights:
        pipe.load_lora_weights(folder, weight_name=name + ".safetensors", adapter_name=name)
    pipe.set_adapters(list(weights), list(weights.values()))
    pipe.fuse_lora(adapter_names=list(weights))


def by_itself(checkpoint, vocabulary):
    """The demo model as its makers open it."""
    os.environ["TINCT_VOCAB"] = vocabulary
    sys.path.insert(0, os.path.join(REPO, "models", "demo"))
    import hf
    return hf.pipeline(checkpoint)


def paint(pipe, a, sigmas, noise):
    """Their picture; noise in the pipeline's own precision."""
    # the pipeline multiplies by sqrt(sigma_max^2 + 1), A1111 by sigma_max; its sigmas end in the 0 that the last step goes to
    noise = noise * (sigmas[0] / np.sqrt(sigmas[0] ** 2 + 1))
    picture = pipe(a.prompt, negative_prompt=a.negative, guidance_scale=7.0, sigmas=[*sigmas, 0.0], latents=noise.to(pipe.unet.dtype),
                   width=a.size, height=a.size, output_type="np").images[0]
    return (picture * 255).round().astype(np.uint8)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tinct"); p.add_argument("checkpoint"); p.add_argument("vocabulary")
    p.add_argument("--devices", default="cpu"); p.add_argument("--size", type=int, default=256)
    p.add_argument("--prompt", default="a lovely cat on a red sofa, oil painting"); p.add_argument("--negative", default="blurry")
    p.add_argument("--loras", action="store_true"); p.add_argument("--demo", action="store_true"); p.add_argument("--like", choices=reference.TYPES)
    a = p.parse_args()
    torch.set_num_threads(os.cpu_count())
    n, steps, seed = a.size // 8, 20, 42
    with tempfile.TemporaryDirectory() as folder:
        pipe = by_itself(a.checkpoint, a.vocabulary) if a.demo else reference.pipeline(a.checkpoint, a.vocabulary)
        pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
        plain = pipe(a.prompt, num_inference_steps=2, guidance_scale=1.0, width=64, height=64, output_type="np",
                     latents=torch.ones(1, 4, 8, 8)).images if a.loras else None
        weights = (OWN if a.demo else RANDOM) if a.loras else {}
        loras = os.path.join(REPO, "loras") if a.demo else folder
        counts = make_random(pipe, folder) if a.loras and not a.demo else [r"\d+"] * len(weights)
        if a.loras:
            fuse(pipe, loras, weights)
            fused = pipe(a.prompt, num_inference_steps=2, guidance_scale=1.0, width=64, height=64, output_type="np", latents=torch.ones(1, 4, 8, 8)).images
            assert np.abs(fused - plain).max() > 0.02, "the LoRAs change next to nothing: this would prove nothing"
        sigmas = uniform_sigmas(steps)
        noise = torch.from_numpy(philox(seed, 4 * n * n).reshape(1, 4, n, n))
        want = paint(pipe, a, sigmas, noise)
        like = paint(pipe.to(reference.TYPES[a.like]), a, sigmas, noise) if a.like else None
        pictures, count, tags = {}, 0, "".join(f"<lora:{name}:{weight}>" for name, weight in weights.items())
        bar, with_what = (40, " with two LoRAs") if a.loras else (45, "")
        if a.like:
            bar, with_what = psnr(like, want), with_what + f" in fast, like diffusers in {a.like},"
        for device in a.devices.split(","):
            out = os.path.join(folder, device.replace(" ", "_") + ".png")
            log = open(out + ".log", "w+")
            subprocess.run([a.tinct, "paint", a.prompt + tags, "--lora-model-dir", loras, "-n", a.negative, "-m", a.checkpoint, "--steps", str(steps), "--cfg-scale", "7",
                            "-s", str(seed), "-W", str(a.size), "-H", str(a.size), "--sampling-method", "Euler", "--scheduler", "Uniform",
                            "--device", device, "--precision", "fast" if a.like else "fp32", "-o", out], check=True, stdout=subprocess.DEVNULL, stderr=log)
            log.seek(0)
            told = log.read()
            for name, matched in zip(weights, counts):
                assert re.search(rf"{name}: ({matched}) of \1 tensors", told), told
            pictures[device] = np.asarray(Image.open(out).convert("RGB"))
            value, count = psnr(pictures[device], want), count + 1
            print(f"{'ok' if value >= bar else 'not ok'} {count} - {device}: picture {a.size}x{a.size}{with_what} against diffusers in fp32: PSNR {value:.1f} dB (bar {bar:.1f})", flush=True)
        names = list(pictures)
        for other in [] if a.like else names[1:]:
            value, count = psnr(pictures[names[0]], pictures[other]), count + 1
            print(f"{'ok' if value >= 45 else 'not ok'} {count} - {names[0]} against {other}: PSNR {value:.1f} dB (bar 45)", flush=True)
        print(f"1..{count}")


if __name__ == "__main__":
    main()
