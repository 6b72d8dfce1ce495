"""Stage 2: pictures of the base scenes, encoded once. The UNet sees latents, never pictures.

    python latents.py --side 128 --count 24000
    python latents.py --side 256 --count 12000
    python latents.py --side 256 --count 1024 --kind vivid         scenes whose colour is stressed or held back

The first run freezes the encoder: <train dir>/encoder.pt holds the VAE as it is then, and the
mean and deviation of each latent channel. From then on only the decoder may be trained further.
Shards of 512 pictures appear one by one, so that a stop loses at most one of them.
"""
import argparse

import numpy as np
import torch

from common import HELD_OUT, Log, batches, launch, save, train_dir
from nets import VAE
from scenes import emphasised, paint, sample

SHARD = 512
SCENES = {"base": sample, "vivid": emphasised}
STATS_SEED = HELD_OUT // 2


def pictures(scenes, size):
    """[n, 3, size, size] in -1..1."""
    x = torch.from_numpy(np.stack([paint(s, size) for s in scenes])).permute(0, 3, 1, 2)
    return (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def frozen_vae(device):
    """The VAE whose encoder made the latents, with its mean and deviation [1, 4, 1, 1]."""
    path = train_dir() / "encoder.pt"
    vae = VAE().to(device, memory_format=torch.channels_last).eval()
    if not path.exists():
        vae.load_state_dict(torch.load(train_dir() / "vae.pt", map_location=device)["ema"])
        z = torch.cat([vae.encode(pictures([sample(STATS_SEED + i + j) for j in range(8)], size).to(device))[0].transpose(0, 1).flatten(1)
                       for size in (128, 256) for i in range(0, 96, 8)], 1)
        save(path, {"weights": vae.state_dict(), "mean": z.mean(1), "std": z.std(1)})
    frozen = torch.load(path, map_location=device)
    vae.load_state_dict(frozen["weights"])
    return vae, frozen["mean"].view(1, 4, 1, 1), frozen["std"].view(1, 4, 1, 1)


def newest_vae(device):
    """frozen_vae, with the decoder as far as it has been trained since."""
    vae, mean, std = frozen_vae(device)
    newest = torch.load(train_dir() / "vae.pt", map_location=device)
    if newest["part"] == "decoder":
        vae.load_state_dict({**vae.state_dict(), **{k: v for k, v in newest["ema"].items() if k.startswith(("decoder.", "post_quant_conv."))}})
    return vae, mean, std


def shard_path(side, index, kind="base"):
    folder = train_dir() / "latents"
    folder.mkdir(exist_ok=True)
    return folder / f"{kind}-{side}-{index:04d}.pt"


@torch.no_grad()
def stage(team, args):
    log = Log("latents")
    if team.rank == 0:
        frozen_vae(team.device)
    team.together(0)
    vae, mean, std = frozen_vae(team.device)
    wanted = [i for i in range((args.count + SHARD - 1) // SHARD) if not shard_path(args.side, i, args.kind).exists()]
    mine, chunk = wanted[team.rank::team.world], 64 if team.device.type == "cuda" else 8
    parts = SHARD // chunk
    if team.rank == 0:
        log.say(f"{args.kind} latents of {args.side}x{args.side}: {len(wanted)} shards to encode")

    def make(i):
        """Part i of all that this process encodes."""
        shard, part = divmod(min(i // team.world, len(mine) * parts - 1), parts)
        return pictures([SCENES[args.kind](mine[shard] * SHARD + part * chunk + j) for j in range(chunk)], args.side)

    data = batches(team, make, 0) if mine else None
    for index in mine:
        rows = []
        for _ in range(parts):
            with team.autocast():
                rows.append(((vae.encode(next(data).to(team.device))[0] - mean) / std).half().cpu())
        save(shard_path(args.side, index, args.kind), torch.cat(rows))
        log.say(f"{args.kind} latents of {args.side}x{args.side}: shard {index} done, {len(wanted)} were wanted")


def load_shards(side, kind="base"):
    """All shards in a row from the first: [n, 4, side / 8, side / 8] fp16; row i is of SCENES[kind](i)."""
    rows, index = [], 0
    while shard_path(side, index, kind).exists():
        rows.append(torch.load(shard_path(side, index, kind)))
        index += 1
    if not rows:
        raise SystemExit(f"{train_dir()}/latents: no {kind} latents of {side}x{side} yet; run latents.py --side {side} --kind {kind} first")
    return torch.cat(rows)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--side", type=int, default=128)
    p.add_argument("--count", type=int, default=60000)
    p.add_argument("--kind", choices=SCENES, default="base")
    launch(stage, p.parse_args())


if __name__ == "__main__":
    main()
