#!/usr/bin/env python3
"""Write names.tsv: each weight of the full-size SD1.5 list with the name that diffusers' own conversion gives it.

    make_names.py ../../parity/sd15_tensors.tsv > names.tsv

Made with diffusers 0.42.1, torch 2.13.0. Each tensor is a number of its own, so the conversion shows where it goes.
"""
import sys
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

UNET, VAE = "model.diffusion_model.", "first_stage_model."
names = [line.split("\t")[0] for line in open(sys.argv[1])]
names = [n for n in names if n.startswith((UNET, VAE))]
state = {n: torch.full((1, 1, 1, 1), float(i), dtype=torch.float64) for i, n in enumerate(names)}
unet = convert_ldm_unet_checkpoint(dict(state), {"layers_per_block": 2, "class_embed_type": None, "addition_embed_type": None,
                                                 "down_block_types": [0] * 4, "up_block_types": [0] * 4})
vae = convert_ldm_vae_checkpoint(dict(state), {"down_block_types": [0] * 4, "up_block_types": [0] * 4})
for prefix, converted in (("unet.", unet), ("vae.", vae)):
    for name, value in sorted(converted.items(), key=lambda item: item[1].flatten()[0].item()):
        print(names[int(value.flatten()[0])], prefix + name, sep="\t")
