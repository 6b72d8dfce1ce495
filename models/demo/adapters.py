"""The ways that people write LoRAs, each by its own rules: how it is put into the networks, and
what its file holds. Each class: parameters() to train, tensors() for the file, facts() for its header.
While it is trained, it takes part with the weight that people are told to give it.

    Kohya     kohya's names; on every linear layer of UNet and text encoder, on 3x3 convolutions with
              conv_rank (a LoCon)
    Peft      peft puts it in, diffusers saves it
    LoHa      lycoris-lora puts it in and names it, under kohya's prefix
"""
import json
import tempfile
from pathlib import Path

import torch
from torch import nn

TRANSFORMER = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def text_path(name):
    """transformers 5 has left a level away that every file names."""
    return name if name.startswith("text_model.") else "text_model." + name


class KohyaLayer(nn.Module):
    """y + weight * alpha / rank * up(down(x)), beside a linear layer or a convolution."""

    def __init__(self, layer, rank, alpha, weight):
        super().__init__()
        if isinstance(layer, nn.Conv2d):
            self.lora_down = nn.Conv2d(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, bias=False)
            self.lora_up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.lora_down, self.lora_up = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.lora_up.weight)
        self.alpha = alpha
        layer.register_forward_hook(lambda module, args, y: y + self.lora_up(self.lora_down(args[0])) * (weight * alpha / rank))


class Kohya:
    def __init__(self, pipe, weight, rank, alpha, conv_rank=0):
        self.layers, self.rank, self.alpha, self.conv_rank = {}, rank, alpha, conv_rank
        for name, layer in pipe.unet.named_modules():
            wide = isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
            if name.endswith(TRANSFORMER) and isinstance(layer, (nn.Linear, nn.Conv2d)):
                self.layers["lora_unet_" + name.replace(".", "_")] = KohyaLayer(layer, rank, alpha, weight)
            elif conv_rank and wide and "blocks" in name:
                self.layers["lora_unet_" + name.replace(".", "_")] = KohyaLayer(layer, conv_rank, alpha * conv_rank / rank, weight)
        for name, layer in pipe.text_encoder.named_modules():
            if name.endswith(TEXT) and isinstance(layer, nn.Linear):
                self.layers["lora_te_" + text_path(name).replace(".", "_")] = KohyaLayer(layer, rank, alpha, weight)

    def parameters(self):
        return [p for layer in self.layers.values() for p in layer.parameters()]

    def tensors(self):
        out = {}
        for name, layer in self.layers.items():
            out[f"{name}.lora_down.weight"], out[f"{name}.lora_up.weight"] = layer.lora_down.weight, layer.lora_up.weight
            out[f"{name}.alpha"] = torch.tensor(float(layer.alpha))
        return out

    def facts(self):
        args = {"algo": "locon", "conv_dim": str(self.conv_rank), "conv_alpha": str(self.alpha * self.conv_rank / self.rank)} if self.conv_rank else {}
        return {"ss_network_module": "lycoris.kohya" if self.conv_rank else "networks.lora", "ss_network_dim": str(self.rank),
                "ss_network_alpha": str(float(self.alpha)), "ss_network_args": json.dumps(args)}


class Peft:
    def __init__(self, pipe, weight, rank, alpha):
        from peft import LoraConfig
        from peft.tuners.lora import LoraLayer
        self.pipe, self.rank, self.alpha = pipe, rank, alpha
        pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(TRANSFORMER)))
        pipe.text_encoder.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(TEXT)))
        for net in (pipe.unet, pipe.text_encoder):
            for layer in net.modules():
                if isinstance(layer, LoraLayer):
                    layer.scale_layer(weight)

    def parameters(self):
        return [p for net in (self.pipe.unet, self.pipe.text_encoder) for p in net.parameters() if p.requires_grad]

    def tensors(self):
        """As diffusers writes them; but by peft's names, since of those that its convert_state_dict_to_diffusers
        gives it reads a part only."""
        from diffusers import StableDiffusionPipeline
        from diffusers.training_utils import _collate_lora_metadata
        from peft.utils import get_peft_model_state_dict
        from safetensors import safe_open
        unet = get_peft_model_state_dict(self.pipe.unet)
        text = {text_path(name): v for name, v in get_peft_model_state_dict(self.pipe.text_encoder).items()}
        metadata = _collate_lora_metadata({"unet": self.pipe.unet, "text_encoder": self.pipe.text_encoder})
        with tempfile.TemporaryDirectory() as folder:
            StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=unet, text_encoder_lora_layers=text, weight_name="lora.safetensors", **metadata)
            with safe_open(Path(folder) / "lora.safetensors", "pt") as f:
                self.header = f.metadata() or {}
                return {k: f.get_tensor(k) for k in f.keys()}

    def facts(self):
        return {**self.header, "ss_network_dim": str(self.rank), "ss_network_alpha": str(float(self.alpha))}


class LoHa:
    def __init__(self, pipe, weight, rank, alpha):
        from lycoris import LycorisNetwork, create_lycoris
        self.rank, self.alpha, self.nets = rank, alpha, []
        text = "lora_te" if hasattr(pipe.text_encoder, "text_model") else "lora_te_text_model"
        for net, inside, prefix in ((pipe.unet, ["Transformer2DModel"], "lora_unet"), (pipe.text_encoder, ["CLIPEncoderLayer"], text)):
            LycorisNetwork.apply_preset({"enable_conv": False, "target_module": inside, "lora_prefix": prefix})
            self.nets.append(create_lycoris(net, weight, linear_dim=rank, linear_alpha=alpha, algo="loha"))
            self.nets[-1].apply_to()
            self.nets[-1].requires_grad_(True)
            if not self.nets[-1].loras:
                raise SystemExit(f"lycoris found no layer of {inside[0]} to put a LoHa on")

    def parameters(self):
        return [p for net in self.nets for p in net.parameters() if p.requires_grad]

    def tensors(self):
        return {name: v for net in self.nets for name, v in net.state_dict().items()}

    def facts(self):
        return {"ss_network_module": "lycoris.kohya", "ss_network_dim": str(self.rank), "ss_network_alpha": str(float(self.alpha)),
                "ss_network_args": json.dumps({"algo": "loha"})}
