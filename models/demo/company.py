"""LoRAs that keep another one company while it is trained, so that they stack well afterwards.

A character that has only ever seen the plain model is bent out of shape by a style beside it. Here it
learns a part of its steps with the finished style on, from drawings in that style: what the style
brings is there already, so what is left to learn is the character.
"""
import torch
from safetensors import safe_open

from adapters import text_path


def deltas(path):
    """{kohya's name of a layer: up @ down * alpha / rank, [out, in * kernel]} of a kohya or a diffusers file."""
    out = {}
    with safe_open(path, "pt") as f:
        for key in f.keys():
            for down, up in ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")):
                if not key.endswith(down):
                    continue
                layer = key.removesuffix(down)
                a, b = f.get_tensor(key).float(), f.get_tensor(layer + up).float()
                alpha = float(f.get_tensor(layer + ".alpha")) if layer + ".alpha" in f.keys() else a.shape[0]
                name = layer.replace("text_encoder.", "lora_te_", 1).replace("unet.", "lora_unet_", 1).replace(".", "_")
                out[name] = b.flatten(1) @ a.flatten(1) * (alpha / a.shape[0])
    if not out:
        raise SystemExit(f"{path}: no layer of it can keep company: neither kohya's nor diffusers' names")
    return out


class Company:
    """Made before the new adapter is put in, since that renames layers; their weights stay the same tensors."""

    def __init__(self, pipe, folder, names):
        self.members, self.now = {}, {}
        layers = {"lora_unet_" + path.replace(".", "_"): m for path, m in pipe.unet.named_modules()}
        layers |= {"lora_te_" + text_path(path).replace(".", "_"): m for path, m in pipe.text_encoder.named_modules()}
        for name in names:
            for key, delta in deltas(folder / f"{name}.safetensors").items():
                weight = layers[key].weight
                _, found = self.members.setdefault(key, (weight, {"": weight.detach().clone()}))
                found[name] = delta.view(weight.shape).to(weight.device)

    @torch.no_grad()
    def join(self, weights):
        """weights: {name: weight} of those that take part from now on; the others leave."""
        if weights == self.now:
            return
        self.now = dict(weights)
        for weight, found in self.members.values():
            weight.copy_(found[""])
            for name, w in weights.items():
                if name in found:
                    weight.add_(found[name], alpha=w)
