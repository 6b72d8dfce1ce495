"""LoRA files with random factors for a checkpoint, as two trainers write them: kohya's scripts and peft."""
import re

import torch
from safetensors.torch import save_file

import reference

LINEAR = re.compile(r"(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2|(q|k|v|out)_proj|fc1|fc2)$")
CONV = re.compile(r"(conv1|conv2|conv_shortcut|conv|time_emb_proj)$")


def layers(models, convs):
    """(prefix, path, module) of every layer that a LoRA is trained on; prefix "unet" or "text_encoder"."""
    for prefix, model in models.items():
        for path, module in model.named_modules():
            weight = getattr(module, "weight", None)
            if weight is not None and weight.dim() >= 2 and (LINEAR.search(path) or convs and CONV.search(path)):
                yield prefix, path, module


def factors(module, rank, generator, size):
    """down [rank, in, k, k], up [out, rank, 1, 1]; their product has values of about size."""
    weight = module.weight
    out, rest = weight.shape[0], tuple(weight.shape[1:])
    down = torch.randn(rank, *rest, generator=generator) / rank ** 0.5
    up = torch.randn(out, rank, *([1] * (weight.dim() - 2)), generator=generator) * size * weight.std()
    return down, up


def text_path(path):
    return path if path.startswith("text_model.") else "text_model." + path


def kohya(models, file, rank=8, alpha=4.0, seed=1, size=0.1, convs=False, dtype=torch.float32):
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for prefix, path, module in layers(models, convs):
        down, up = factors(module, rank, generator, size)
        name = ("lora_unet_" + path if prefix == "unet" else "lora_te_" + text_path(path)).replace(".", "_")
        tensors[name + ".lora_down.weight"], tensors[name + ".lora_up.weight"] = down.to(dtype), up.to(dtype)
        tensors[name + ".alpha"] = torch.tensor(alpha, dtype=dtype)
    save_file(tensors, file, {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(alpha)})
    return len(tensors) // 3


def peft(models, file, rank=5, seed=2, size=0.1, convs=True, dtype=torch.float32):
    """As diffusers' save_lora_weights writes it: no alpha, so a scale of 1."""
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for prefix, path, module in layers(models, convs):
        down, up = factors(module, rank, generator, size)
        name = f"{prefix}.{path if prefix == 'unet' else text_path(path)}"
        tensors[name + ".lora_A.weight"], tensors[name + ".lora_B.weight"] = down.to(dtype), up.to(dtype)
    save_file(tensors, file, {"format": "pt"})
    return len(tensors) // 2


def models_of(sd):
    return {"unet": reference.unet(sd), "text_encoder": reference.text(sd)}
