"""Stage 3: the UNet and the text encoder, together, on latents.

    python train_unet.py --side 128 [--steps N] [--minutes M]       small pictures first
    python train_unet.py --side 256 [--steps N] [--minutes M]       then the native size

Epsilon prediction, min-SNR weights, one caption in ten empty, one in five of a single thing. In one picture in four the colour is
stressed or held back, "(red:1.4)", as its token's vector is. Goes on from <train dir>/unet.pt; --side 256 begins from what 128 has learnt.
"""
import argparse
import time

import numpy as np
import torch

from captions import caption
from common import EMA, Log, batches, launch, rate_at, save, train_dir
from diffusion import epsilon_loss, noised, times
from latents import SCENES, load_shards
from nets import UNet
from optimiser import Optimiser, tables
from text import TextEncoder, Tokenizer, known_ids

PEAK = {128: 1e-3, 256: 4e-4}
DEFAULT_STEPS = {("cpu", 128): 2600, ("cpu", 256): 1200, ("cuda", 128): 6000, ("cuda", 256): 6000}
BATCH = {("cpu", 128): 32, ("cpu", 256): 8, ("cuda", 128): 256, ("cuda", 256): 96}
EMPTY, ALONE, VIVID, OFFSET, TEXT_RATE, SAVE_SECONDS = 0.10, 0.20, 0.25, 0.12, 0.5, 180


class Examples:
    """Batch i: latents, token ids and weights, times and noise, all a function of i. latents: {kind: load_shards(side, kind)}."""

    def __init__(self, side, count, latents, tokenizer):
        self.side, self.count, self.latents, self.tokenizer = side, count, latents, tokenizer
        self.stray = list(tokenizer.words.values())

    def __call__(self, i):
        rng = np.random.default_rng([i, self.side, 21])
        kinds = rng.choice(["base", "vivid"], self.count, p=[1 - VIVID, VIVID])
        rows = [int(rng.integers(len(self.latents[k]))) for k in kinds]
        texts = [caption(SCENES[k](r), rng, self.stray, alone=ALONE) if rng.random() >= EMPTY else "" for k, r in zip(kinds, rows)]
        z = torch.stack([self.latents[k][r] for k, r in zip(kinds, rows)]).float()
        t = times(rng, self.count, self.side)
        draw = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        # Even the noisiest step shows a picture's mean through; so that noise that happens to be dark is no night, its mean is no telling one.
        noise = torch.randn(z.shape, generator=draw) + OFFSET * torch.randn(*z.shape[:2], 1, 1, generator=draw)
        ids, weights = zip(*map(self.tokenizer.weighed, texts))
        return z, torch.stack(ids), torch.stack(weights), t, noise


class Model(torch.nn.Module):
    """What is trained: text encoder and UNet."""

    def __init__(self, known):
        super().__init__()
        self.text, self.unet = TextEncoder(known), UNet()

    def forward(self, z, t, ids, weights):
        return self.unet(z, t, self.text(ids) * weights.unsqueeze(2))


def stage(team, args):
    log, path = Log("unet"), train_dir() / "unet.pt"
    tokenizer = Tokenizer()
    known = known_ids(tokenizer)
    model = Model(known).to(team.device, memory_format=torch.channels_last).train()
    optimiser = Optimiser([(model.unet.parameters(), 1.0), (model.text.parameters(), TEXT_RATE)], plain=tables(model))
    ema, first = EMA(model, 0.997 if args.side == 128 else 0.995), 0
    if path.exists():
        old = torch.load(path, map_location=team.device)
        if old["known"] != known:
            raise SystemExit(f"{path}: trained on other caption words ({len(old['known'])} tokens, now {len(known)}); move it away to begin anew")
        same = old["side"] == args.side
        if old["side"] > args.side or same and old["step"] >= args.steps:
            if team.rank == 0:
                log.say(f"unet at {args.side}x{args.side}: nothing to do: {old['step']} steps of {old['side']}x{old['side']} are done")
            return
        model.load_state_dict(old["weights"] if same else old["ema"])
        ema.weights, ema.steps = old["ema"], old["ema_steps"]
        if same:
            first = old["step"]
        if same and old["optimiser"]:
            optimiser.load_state_dict(old["optimiser"])
    gpu = team.device.type == "cuda"
    latents = {kind: load_shards(args.side, kind) for kind in SCENES}
    if team.rank == 0:
        log.say(f"unet at {args.side}x{args.side}: {'goes on from' if first else 'begins at'} step {first}, {sum(map(len, latents.values()))} pictures")
    started = saved = time.time()

    def keep(step):
        save(path, {"weights": model.state_dict(), "ema": ema.weights, "ema_steps": ema.steps, "optimiser": optimiser.state_dict(), "step": step, "side": args.side, "known": known})

    data = batches(team, Examples(args.side, BATCH[team.device.type, args.side], latents, tokenizer), first)
    step = first - 1
    for step in range(first, args.steps):
        z, ids, weights, t, noise = (v.to(team.device, non_blocking=True) for v in next(data))
        with team.autocast():
            predicted = model(noised(z, t, noise).contiguous(memory_format=torch.channels_last), t, ids, weights)
        loss = epsilon_loss(predicted, noise, t)
        loss.backward()
        team.average(list(model.parameters()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step(rate_at(step, args.steps, PEAK[args.side] * (2 if gpu else 1), warm=100, hold=0.5))
        if team.rank == 0:
            ema.update(model)
            log.add(step, args.steps, loss=loss.detach())
            if time.time() - saved > SAVE_SECONDS:
                saved = time.time()
                keep(step + 1)
        if step % 20 == 0 and team.together(time.time() - started > args.minutes * 60):
            break
    if team.rank == 0:
        keep(step + 1)
        log.say(f"unet at {args.side}x{args.side}: stopped at step {step + 1} of {args.steps}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--side", type=int, choices=(128, 256), default=128)
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--minutes", type=float, default=1e9)
    args = p.parse_args()
    args.steps = args.steps or DEFAULT_STEPS["cuda" if torch.cuda.is_available() else "cpu", args.side]
    launch(stage, args)


if __name__ == "__main__":
    main()
