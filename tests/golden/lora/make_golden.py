#!/usr/bin/env python3
"""Write LoRA files with the real packages, and the weight change each of them makes of it.

    python make_golden.py [FOLDER]

Made with lycoris_lora 4.1.3, peft 0.21.2, torch 2.13.0, safetensors 0.8.0; seed 20. For each case NAME.safetensors
(or NAME/adapter_model.safetensors with its adapter_config.json) is what the package saved of a model with a linear
layer "lin" [16, 8] and a convolution "conv" [8, 6, 3, 3]; expected.safetensors holds "lin.w0", "conv.w0" and, by
"NAME/lin" and "NAME/conv", effective weight minus w0 at strength 1. The effective weight is read from forward passes
over unit inputs, so it is what the package paints with, not what its merge says.
"""
import os
import sys
import torch
from torch import nn
from safetensors.torch import save_file
from lycoris import create_lycoris, LycorisNetwork
from peft import LoraConfig, LoHaConfig, LoKrConfig, get_peft_model

out = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
expected = {}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(8, 16, bias=False)
        self.conv = nn.Conv2d(6, 8, 3, padding=1, bias=False)

    def forward(self, x):
        return x


def model():
    torch.manual_seed(20)
    m = Model()
    for p in m.parameters():
        p.data.normal_(0, 0.5)
        p.requires_grad_(False)
    return m


def effective(lin, conv):
    """The weights that the layers' forward passes apply."""
    with torch.no_grad():
        w_lin = lin(torch.eye(8)).T.contiguous()
        x = torch.zeros(6, 6, 5, 5)
        for i in range(6):
            x[i, i, 2, 2] = 1
        w_conv = conv(x)[:, :, 1:4, 1:4].flip(2, 3).transpose(0, 1).contiguous()
    return w_lin, w_conv


def randomise(named):
    """Every trained value off its start, exact in fp16."""
    for name, p in named:
        scale = 0.1 if "dora" in name or "magnitude" in name or "rescale" in name else 0.3
        start = p.data if scale == 0.1 else 0
        p.data = (start + torch.randn_like(p) * scale).half().float()


def note(name, m, lin, conv):
    w_lin, w_conv = effective(lin, conv)
    expected[name + "/lin"] = w_lin - m["lin"]
    expected[name + "/conv"] = w_conv - m["conv"]


def lycoris(name, algo, rank=3, alpha=2.0, **more):
    m = model()
    w0 = {"lin": m.lin.weight.clone(), "conv": m.conv.weight.clone()}
    expected["lin.w0"], expected["conv.w0"] = w0["lin"], w0["conv"]
    LycorisNetwork.apply_preset({"target_module": ["Linear", "Conv2d"]})
    net = create_lycoris(m, 1.0, linear_dim=rank, linear_alpha=alpha, conv_dim=rank, conv_alpha=alpha, algo=algo, **more)
    net.apply_to()
    randomise(net.named_parameters())
    net.eval()
    note(name, w0, m.lin, m.conv)
    net.save_weights(os.path.join(out, name + ".safetensors"), torch.float16, {"ss_network_module": "lycoris.kohya"})


def peft(name, config):
    m = model()
    w0 = {"lin": m.lin.weight.clone(), "conv": m.conv.weight.clone()}
    p = get_peft_model(m, config)
    randomise((n, v) for n, v in p.named_parameters() if v.requires_grad)
    p.eval()
    note(name, w0, p.base_model.model.lin, p.base_model.model.conv)
    p.save_pretrained(os.path.join(out, name))
    os.remove(os.path.join(out, name, "README.md"))


lycoris("lycoris_locon", "locon")
lycoris("lycoris_locon_tucker", "locon", use_tucker=True)
lycoris("lycoris_dora_out", "locon", dora_wd=True)
lycoris("lycoris_dora_in", "locon", dora_wd=True, wd_on_output=False, wd_on_out=False)
lycoris("lycoris_loha", "loha")
lycoris("lycoris_loha_tucker", "loha", use_tucker=True)
lycoris("lycoris_lokr", "lokr", rank=1, factor=2)
lycoris("lycoris_lokr_both", "lokr", rank=1, factor=4, decompose_both=True)
lycoris("lycoris_lokr_full", "lokr", rank=100000, factor=2)
lycoris("lycoris_lokr_tucker", "lokr", rank=1, factor=2, use_tucker=True)
lycoris("lycoris_loha_dora", "loha", dora_wd=True)
lycoris("lycoris_glora", "glora")
lycoris("lycoris_ia3_out", "ia3")
lycoris("lycoris_oft", "diag-oft", rank=4, constraint=0)
lycoris("lycoris_oft_limited", "diag-oft", rank=4, constraint=0.05, rescaled=True)
lycoris("lycoris_boft", "boft", rank=4)
lycoris("lycoris_full", "full")
targets = ["lin", "conv"]
peft("peft_lora", LoraConfig(r=3, lora_alpha=5, target_modules=targets))
peft("peft_rslora", LoraConfig(r=4, lora_alpha=5, use_rslora=True, target_modules=targets))
peft("peft_patterns", LoraConfig(r=3, lora_alpha=5, rank_pattern={"conv": 2}, alpha_pattern={"conv": 7}, target_modules=targets))
peft("peft_dora", LoraConfig(r=3, lora_alpha=5, use_dora=True, target_modules=targets))
peft("peft_loha", LoHaConfig(r=3, alpha=5, target_modules=targets))
peft("peft_lokr", LoKrConfig(r=2, alpha=5, decompose_factor=2, target_modules=targets))
save_file({k: v.detach().contiguous() for k, v in expected.items()}, os.path.join(out, "expected.safetensors"))
