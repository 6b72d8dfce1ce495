"""Stage 6: one fp16 file in the layout of an SD1.x checkpoint.

    python export.py [--out models/tinct-demo.safetensors]          default: <train dir>/tinct-demo.safetensors

The latents' mean and deviation are folded into quant_conv and post_quant_conv, so that a sampler
knows nothing of them: what it holds is 0.18215 * z, as in every SD1 model.
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from common import train_dir
from latents import STATS_SEED, newest_vae, pictures
from nets import UNet
from scenes import sample
from text import TextEncoder, known_ids, Tokenizer

SCALE = 0.18215
MOST_BYTES = 72_000_000


def fold(vae_weights, mean, std):
    """quant_conv then gives (z - mean) / std / SCALE, and post_quant_conv takes it."""
    w = dict(vae_weights)
    mean, unit = mean.flatten(), std.flatten() * SCALE
    weight, bias = w["quant_conv.weight"].clone(), w["quant_conv.bias"].clone()
    weight[:4] /= unit.view(4, 1, 1, 1)
    bias[:4] = (bias[:4] - mean) / unit
    bias[4:] -= 2 * unit.log()                          # the log variance, in the new unit
    w["quant_conv.weight"], w["quant_conv.bias"] = weight, bias
    back = w["post_quant_conv.weight"]
    w["post_quant_conv.bias"] = w["post_quant_conv.bias"] + back.flatten(1) @ mean
    w["post_quant_conv.weight"] = back * unit.view(1, 4, 1, 1)
    return w


@torch.no_grad()
def latent_rgb(vae, mean, std):
    """Rows of 4 channels and a bias, columns R G B in -1..1: the best linear guess of a picture from
    the latent that the sampler holds, (z - mean) / std, one pixel each."""
    x = pictures([sample(STATS_SEED + 500 + i) for i in range(24)], 256)
    z = torch.cat([(vae.encode(p)[0] - mean) / std for p in x.split(4)])
    z = torch.nn.functional.pad(z.permute(0, 2, 3, 1).reshape(-1, 4), (0, 1), value=1.0)
    small = torch.nn.functional.avg_pool2d(x, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    return torch.linalg.lstsq(z.double(), small.double()).solution


def checkpoint():
    """(tensors by CompVis name, header text) of what has been trained so far."""
    vae, mean, std = newest_vae(torch.device("cpu"))
    trained = torch.load(train_dir() / "unet.pt", map_location="cpu")
    text, unet = TextEncoder(trained["known"]), UNet()
    for prefix, net in (("text.", text), ("unet.", unet)):
        net.load_state_dict({k[len(prefix):]: v for k, v in trained["ema"].items() if k.startswith(prefix)})
    tensors = {"first_stage_model." + k: v for k, v in fold(vae.state_dict(), mean, std).items()}
    tensors |= {"model.diffusion_model." + k: v for k, v in unet.state_dict().items()}
    words = {k: v for k, v in text.state_dict().items() if ".token_embedding." not in k}
    words["embeddings.token_embedding.weight"] = text.embeddings.token_embedding.table().detach()
    tensors |= {"cond_stage_model.transformer.text_model." + k: v for k, v in words.items()}
    matrix = [[round(v, 4) for v in row] for row in latent_rgb(vae, mean, std).tolist()]
    return {k: v.half().contiguous() for k, v in tensors.items()}, {
        "format": "pt", "modelspec.sai_model_spec": "1.0.1", "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.implementation": "tinct", "modelspec.title": "tinct demo", "modelspec.author": "tinct contributors",
        "modelspec.description": "A small Stable Diffusion that paints picture-book scenes; made by models/demo from pictures that a program draws.",
        "modelspec.license": "MIT", "modelspec.resolution": "256x256", "modelspec.prediction_type": "epsilon",
        "modelspec.usage_hint": "20 steps of DPM++ 2M Karras, CFG 5 to 7; a subject, its colour, a pose, a place, a time",
        "tinct.latent_rgb": json.dumps(matrix),
        "tinct.training": json.dumps({"unet_steps": trained["step"], "unet_side": trained["side"]})}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, default=None)
    out = p.parse_args().out or train_dir() / "tinct-demo.safetensors"
    tensors, header = checkpoint()
    broken = [k for k, v in tensors.items() if not torch.isfinite(v).all()]
    if broken:
        raise SystemExit(f"{out}: not written: {len(broken)} tensors hold values that fp16 cannot, the first is {broken[0]}")
    save_file(tensors, out, header)
    size = out.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{out}: {size} bytes, and at most {MOST_BYTES} were wanted; train narrower networks")
    print(f"{out}: {len(tensors)} tensors, {size / 1e6:.1f} MB, {header['tinct.training']}")


if __name__ == "__main__":
    main()
