"""A contact sheet of what the networks paint so far, without an export: for the eye.

    python preview.py out.png [--side 256] [--steps 20] [--cfg 5] [--vae]

--vae: held-out drawings above, and what the VAE makes of them below.
"""
import argparse

import numpy as np
import torch
from PIL import Image

from common import HELD_OUT, train_dir
from diffusion import dpmpp_2m, guided
from latents import newest_vae, pictures
from nets import VAE
from scenes import sample
from text import Tokenizer
from train_unet import Model

PROMPTS = ["a red house in a meadow by day", "a white castle in the mountains at sunset", "a pink tree in the snow by day", "a blue boat at sea at sunset",
           "a yellow car in the city at night", "an orange cat in the forest by day", "a purple owl in the forest at night", "a green dragon in the mountains by day",
           "a red rocket in the desert at night", "an orange balloon by the sea by day", "a girl in a yellow dress waving in a meadow by day",
           "a boy in blue running on the beach by day", "a red knight standing in the snow at sunset", "a wizard in a purple robe with arms up at night in the mountains",
           "a green robot waving in the city by day", "blue cottage, winter, night"]


def tiles(x, columns):
    """[n, 3, h, w] in -1..1 -> a picture of rows of `columns`."""
    rows = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return Image.fromarray(np.concatenate([np.concatenate(rows[i:i + columns], 1) for i in range(0, len(rows), columns)], 0))


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    p.add_argument("--side", type=int, default=256)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--cfg", type=float, default=5.0)
    p.add_argument("--count", type=int, default=len(PROMPTS))
    p.add_argument("--vae", action="store_true")
    a = p.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if a.vae:
        vae = VAE().to(device).eval()
        vae.load_state_dict(torch.load(train_dir() / "vae.pt", map_location=device)["ema"])
        x = pictures([sample(HELD_OUT + i) for i in range(6)] + [sample(HELD_OUT + 6, style="arcane"), sample(HELD_OUT + 7, style="sketch")], a.side).to(device)
        tiles(torch.cat([x, torch.cat([vae.decode(vae.encode(p)[0]) for p in x.split(2)])]), 8).save(a.out)
        return
    trained = torch.load(train_dir() / "unet.pt", map_location=device)
    model = Model(trained["known"]).to(device).eval()
    model.load_state_dict(trained["ema"])
    vae, mean, std = newest_vae(device)
    tokenizer, out = Tokenizer(), []
    for i, prompt in enumerate(PROMPTS[:a.count]):
        context, empty = (model.text(tokenizer.ids(s)[None].to(device)) for s in (prompt, ""))
        noise = torch.randn(1, 4, a.side // 8, a.side // 8, generator=torch.Generator().manual_seed(i)).to(device)
        z = dpmpp_2m(guided(model.unet, context, empty, a.cfg), noise, a.steps)
        out.append(vae.decode(z * std + mean))
    tiles(torch.cat(out), 4).save(a.out)


if __name__ == "__main__":
    main()
