"""Stage by stage against diffusers and transformers on the same random weights. Prints TAP.

    stages.py STAGE_PROGRAM CHECKPOINT [--device cpu] [--precision fp32|fast] [--sizes 64x64,40x72] [--vae 64] [--like bf16|f16]
              [--bar 1e-2]
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import reference


class Stage:
    def __init__(self, program, model, device, precision):
        self.dir = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([program, model, device, precision], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline().strip()
        if not self.ready.startswith("ready"):
            sys.exit("Bail out! stage did not start")

    def write(self, name, array):
        path = os.path.join(self.dir.name, name)
        np.ascontiguousarray(array).tofile(path)
        return path

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.startswith("ok"):
            sys.exit(f"Bail out! {line}: {answer}")
        return answer

    def out(self, name, shape):
        return np.fromfile(os.path.join(self.dir.name, name), "<f4").reshape(shape)

    def path(self, name):
        return os.path.join(self.dir.name, name)


def l2(got, want):
    return float(np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want.astype(np.float64)))


def psnr(got, want):
    mse = np.mean((got.astype(np.float64) - want) ** 2)
    return float(10 * np.log10(4.0 / mse)) if mse else 999.0          # pictures span -1..1


count = 0


def report(ok, text):
    global count
    count += 1
    print(f"{'ok' if ok else 'not ok'} {count} - {text}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program"); p.add_argument("checkpoint")
    p.add_argument("--device", default="cpu"); p.add_argument("--precision", default="fp32")
    p.add_argument("--sizes", default="64x64,40x72,33x47,63x63"); p.add_argument("--vae", type=int, default=64)
    p.add_argument("--like", choices=reference.TYPES, default=None, help="fast: no worse than the reference in this type")
    p.add_argument("--bar", type=float, default=None, help="relative L2 error of text encoder and UNet; else that of a tiny model")
    a = p.parse_args()
    torch.set_num_threads(os.cpu_count()); torch.manual_seed(0)
    sd = reference.load(a.checkpoint)
    stage = Stage(a.program, a.checkpoint, a.device, a.precision)
    bar = a.bar or {"fp32": 2e-4, "fast": 1.2e-2 if a.device == "cpu" else 5e-3}[a.precision]
    like = reference.TYPES.get(a.like)
    name = f"{a.device} {a.precision}"

    text = reference.text(sd)
    width = text.config.hidden_size
    ids = torch.randint(0, 49406, (2, 77)); ids[:, 0] = 49406; ids[0, 40:] = 49407; ids[1, 76] = 49407
    for skip in (1, 2):
        want = reference.hidden_states(text, ids, skip).numpy()
        stage.ask(f"text 2 {skip} {stage.write('ids', ids.numpy().astype('<u4'))} {stage.path('z')}")
        error = l2(stage.out("z", want.shape), want)
        report(error <= bar, f"{name}: CLIP, clip skip {skip}: {error:.2e} (bar {bar:g})")

    unet = reference.unet(sd)
    for size in a.sizes.split(","):
        h, w = map(int, size.split("x"))
        x, context, t = torch.randn(2, 4, h, w), torch.randn(2, 77, width), 500.5 if h % 2 else 801
        with torch.no_grad():
            want = unet(x, t, context).sample.permute(0, 2, 3, 1).numpy()
        stage.ask(f"unet 2 {h} {w} {t} 77 {stage.write('x', x.permute(0, 2, 3, 1).numpy())} {stage.write('c', context.numpy())} {stage.path('eps')}")
        error, limit, note = l2(stage.out("eps", want.shape), want), bar, ""
        if like is not None:
            with torch.no_grad():
                peer = l2(unet.to(like)(x.to(like), t, context.to(like)).sample.float().permute(0, 2, 3, 1).numpy(), want)
            unet.float(); unet.load_state_dict(reference.unet(sd).state_dict())
            limit, note = min(bar, peer), f", diffusers in {a.like} {peer:.2e}"
        report(error <= limit, f"{name}: UNet at {size}: {error:.2e} (bar {bar:g}{note})")

    if a.vae:
        vae = reference.vae(sd)
        n = a.vae
        z = torch.randn(1, 4, n, n)
        rgb = torch.rand(1, 3, 8 * n, 8 * n) * 2 - 1
        with torch.no_grad():
            want = {"decode": vae.decode(z).sample[0], "encode": vae.encode(rgb).latent_dist.parameters[0]}
            peer = {}
            if like is not None:
                vae.to(like)
                peer = {"decode": vae.decode(z.to(like)).sample[0], "encode": vae.encode(rgb.to(like)).latent_dist.parameters[0]}
        want, peer = ({k: v.float().permute(1, 2, 0).numpy() for k, v in d.items()} for d in (want, peer))
        stage.ask(f"decode {n} {n} {stage.write('z', z[0].permute(1, 2, 0).numpy())} {stage.path('decode')}")
        stage.ask(f"encode {8 * n} {8 * n} {stage.write('rgb', rgb[0].permute(1, 2, 0).numpy())} {stage.path('encode')}")
        for part in ("decode", "encode"):
            value = psnr(stage.out(part, want[part].shape), want[part])
            limit, note = 60.0, "bar 60"
            if part in peer:
                limit = psnr(peer[part], want[part])
                note = f"diffusers in {a.like} {limit:.1f}"
            report(value >= limit, f"{name}: VAE {part} {8 * n}x{8 * n}: PSNR {value:.1f} dB ({note})")
    print(f"1..{count}")


if __name__ == "__main__":
    main()
