"""Stage 1: the autoencoder. Pictures of all kinds, styles too: what it cannot hold, no LoRA can show.

    python train_vae.py [--steps 6000] [--minutes 600] [--decoder]

Goes on from <train dir>/vae.pt. --decoder: the encoder is frozen (the UNet relies on its latents)
and the decoder alone is trained on, with a little noise on the latents as a sampler leaves it.
"""
import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F

from common import EMA, HELD_OUT, Log, Team, batches, launch, rate_at, save, train_dir
from nets import VAE
from scenes import paint, sample

PEAK, KL = 2e-4, 1e-4                 # at 6e-4 it stalls near 16.5 dB (measured)
SAVE_SECONDS = 180


def any_scene(seed):
    """A scene of any kind that the VAE will ever see: one in five in a style, a few of the LoRAs'."""
    rng = np.random.default_rng([seed, 11])
    fixed = {}
    if rng.random() < 0.20:
        fixed["style"] = ["arcane", "arcane", "sketch"][rng.integers(3)]
    if rng.random() < 0.06:
        fixed["subject"] = "dark vador"
    scene = sample(seed, **fixed)
    if scene.pose and rng.random() < 0.15:
        scene = sample(seed, **fixed, subject=scene.subject, pose="dab") if "subject" not in fixed else sample(seed, **fixed, pose="dab")
    return scene


def crops(batch, side, count):
    """[count, 3, side, side] in -1..1: pieces of count / 2 pictures of 256 or 128 pixels."""
    rng = np.random.default_rng([batch, 12])
    out = []
    for i in range((count + 1) // 2):
        size = max(256 if rng.random() < 0.75 else 128, side)
        picture = paint(any_scene(batch * count + i), size)
        for _ in range(2):
            y, x = rng.integers(0, size - side + 1, 2) // 4 * 4
            out.append(picture[y:y + side, x:x + side])
    x = torch.from_numpy(np.stack(out[:count])).permute(0, 3, 1, 2)
    return (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def loss_of(vae, x, noise):
    mean, logvar = vae.encode(x)
    z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
    if noise:
        z = z + noise * mean.std((0, 2, 3), keepdim=True) * torch.randn_like(mean)
    y = vae.decode(z.contiguous(memory_format=torch.channels_last)).float()
    d = y - x
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    broad = sum(F.avg_pool2d(d, k).abs().mean() for k in (4, 16))       # colours of whole areas: learnt last otherwise
    mse = (d * d).mean()
    kl = 0.5 * (mean * mean + logvar.exp() - 1 - logvar).mean()
    return d.abs().mean() + 0.5 * edges + broad + 2 * mse + KL * kl, mse


@torch.no_grad()
def held_out_psnr(vae, device, size=256, count=12):
    """Mean PSNR in dB of base scenes never trained on."""
    vae.eval()
    total = 0.0
    for i in range(count):
        x = torch.from_numpy(paint(sample(HELD_OUT + i), size)).permute(2, 0, 1)[None].to(device).float() / 127.5 - 1
        y = vae.decode(vae.encode(x)[0]).clamp(-1, 1)
        total += -10 * torch.log10(((y - x) / 2).pow(2).mean()).item()
    vae.train()
    return total / count


def stage(team: Team, args):
    log = Log("vae")
    path = train_dir() / "vae.pt"
    vae = VAE().to(team.device, memory_format=torch.channels_last)
    trained = list((vae.decoder if args.decoder else vae).parameters()) + (list(vae.post_quant_conv.parameters()) if args.decoder else [])
    optimiser = torch.optim.AdamW(trained, PEAK, (0.9, 0.99), weight_decay=1e-3)
    ema, first, part = EMA(vae, 0.998), 0, "decoder" if args.decoder else "all"
    if path.exists():
        old = torch.load(path, map_location=team.device)
        vae.load_state_dict(old["ema"] if part != old["part"] else old["weights"])
        ema.weights, ema.steps = old["ema"], old["ema_steps"]
        if part == old["part"] and old["optimiser"]:
            optimiser.load_state_dict(old["optimiser"])
            first = old["step"]
    frozen = (train_dir() / "encoder.pt").exists()
    if frozen != args.decoder or first >= args.steps:
        if team.rank == 0:
            log.say(f"vae ({part}): nothing to do: " + ("its steps are done" if frozen == args.decoder else "the encoder is frozen, latents were made of it" if frozen
                                                        else "the encoder is not frozen yet, latents.py does that"))
        return
    vae.train()
    if team.rank == 0:
        log.say(f"vae ({part}): {'goes on from' if first else 'begins at'} step {first}")
    gpu = team.device.type == "cuda"
    started = saved = time.time()

    def keep(step):
        save(path, {"weights": vae.state_dict(), "ema": ema.weights, "ema_steps": ema.steps, "optimiser": optimiser.state_dict(), "step": step, "part": part})

    late = int(0.6 * args.steps)

    def make(batch):
        """Small pieces first: more of them a minute. Whole objects later."""
        if batch // team.world < late:
            return crops(batch, 64, 32 if gpu else 8)
        return crops(batch, 128, 16 if gpu else 2)

    data = batches(team, make, first)
    for step in range(first, args.steps):
        x = next(data).to(team.device, non_blocking=True)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, args.steps, PEAK)
        with team.autocast():
            loss, mse = loss_of(vae, x, 0.08 if args.decoder else 0.0)
        loss.backward()
        team.average(trained)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        vae.zero_grad(set_to_none=True)
        if team.rank == 0:
            ema.update(vae)
            log.add(step, args.steps, loss=loss.detach(), psnr=-10 * np.log10(mse.item() / 4))
            if time.time() - saved > SAVE_SECONDS:
                saved = time.time()
                keep(step + 1)
        if step % 20 == 0 and team.together(time.time() - started > args.minutes * 60):
            break
    if team.rank == 0:
        keep(step + 1)
        vae.load_state_dict(ema.weights)
        log.say(f"vae ({part}): stopped at step {step + 1} of {args.steps}; held-out PSNR {held_out_psnr(vae.eval(), team.device):.2f} dB at 256, "
                f"{held_out_psnr(vae.eval(), team.device, 128):.2f} dB at 128")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--minutes", type=float, default=1e9)
    p.add_argument("--decoder", action="store_true")
    launch(stage, p.parse_args())


if __name__ == "__main__":
    main()
