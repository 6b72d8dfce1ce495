"""Loads the exported file in diffusers, and compares it with the networks that were trained.

    python check.py [--model <train dir>/tinct-demo.safetensors] [--png check.png]

Every tensor must find its place there, and a latent, a text and a picture must come out alike:
fp16 weights against the fp32 ones that they were rounded from leave a relative error near 1e-3.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from common import train_dir
from export import SCALE
from hf import pipeline
from latents import newest_vae, pictures
from scenes import sample
from train_unet import Model

TOLERANCE = 2e-2            # of the largest value: fp16 weights through some hundred layers
PROMPT = "a red house in a meadow at sunset"


def far(name, ours, theirs):
    error = ((ours - theirs).abs().max() / ours.abs().max()).item()
    print(f"{name}: greatest difference {error:.1e} of the greatest value")
    if not error < TOLERANCE:
        raise SystemExit(f"{name}: diffusers computes something else from this file ({error:.1e}, at most {TOLERANCE:.0e} wanted)")


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, default=train_dir() / "tinct-demo.safetensors")
    p.add_argument("--png", type=Path)
    a = p.parse_args()
    pipe = pipeline(a.model)
    with safe_open(a.model, "pt") as f:
        held = sum(1 for _ in f.keys())
        told = json.loads(f.metadata()["tinct.training"])
    placed = sum(len(m.state_dict()) for m in (pipe.vae, pipe.unet, pipe.text_encoder))
    if held != placed:
        raise SystemExit(f"{a.model}: {held} tensors, and diffusers' networks hold {placed}")
    trained = torch.load(train_dir() / "unet.pt", map_location="cpu")
    if (told["unet_side"], told["unet_steps"]) != (trained["side"], trained["step"]):
        raise SystemExit(f"{a.model}: exported at step {told['unet_steps']} of {told['unet_side']}x{told['unet_side']}, and unet.pt is at {trained['step']} of "
                         f"{trained['side']}x{trained['side']}; run export.py again")
    model = Model(trained["known"]).eval()
    model.load_state_dict(trained["ema"])
    vae, mean, std = newest_vae(torch.device("cpu"))
    ids = torch.tensor(pipe.tokenizer([PROMPT], padding="max_length", max_length=77, truncation=True).input_ids)
    words = model.text(ids)
    far("text", words, pipe.text_encoder(ids)[0])
    x = pictures([sample(5)], 128)
    z = (vae.encode(x)[0] - mean) / std
    far("encoder", z, pipe.vae.encode(x).latent_dist.mean * SCALE)
    far("decoder", vae.decode(z * std + mean), pipe.vae.decode(z / SCALE).sample)
    noise, t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([500])
    far("unet", model.unet(noise, t, words), pipe.unet(noise, t, encoder_hidden_states=words).sample)
    picture = pipe(PROMPT, num_inference_steps=20, guidance_scale=5, width=256, height=256, generator=torch.Generator().manual_seed(1)).images[0]
    spread = np.asarray(picture).std()
    if spread < 10:
        raise SystemExit(f"the picture is flat (deviation {spread:.1f} of 255)")
    if a.png:
        picture.save(a.png)
    print(f"{a.model}: diffusers loads and paints it")


if __name__ == "__main__":
    main()
