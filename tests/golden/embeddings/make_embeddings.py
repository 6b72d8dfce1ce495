#!/usr/bin/env python3
"""Encode prompts that name an embedding, by diffusers and transformers, with the weights of the tests' tiny checkpoint.

    make_embeddings.py build/tests/tiny-checkpoint bpe_simple_vocab_16e6.txt.gz

Writes tinctface.safetensors (3 vectors, as diffusers saves it), tinctline.safetensors (1 vector, as A1111 does) and context.safetensors: the hidden states
[77, 64] of the prompts below, in fp32. Made with torch 2.13.0, diffusers 0.42.1, transformers 5.23.0; seed 7.
"""
import os, subprocess, sys, tempfile
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "text"))
import clip_tokenizer  # noqa: E402

PROMPTS = {
    "three": "a photo of tinctface, castle",
    "both": "Tinctface in tinctline style",
    "none": "a photo of tinct face",
}


def encoder(tensors):
    config = CLIPTextConfig(vocab_size=49408, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1,
                            max_position_embeddings=77, hidden_act="quick_gelu", eos_token_id=49407)
    model = CLIPTextModel(config).float().eval()
    prefix = "cond_stage_model.transformer."
    state = {k[len(prefix):]: v.float() for k, v in tensors.items() if k.startswith(prefix) and "position_ids" not in k}
    own = model.state_dict()
    if not set(state) <= set(own):
        state = {k.replace("text_model.", ""): v for k, v in state.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("position_ids" in k for k in missing), (missing, unexpected)
    return model


class Pipeline(TextualInversionLoaderMixin):
    hf_device_map = None

    def __init__(self, tokenizer, text_encoder):
        self.tokenizer, self.text_encoder, self.components = tokenizer, text_encoder, {}


def main():
    torch.manual_seed(7)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tiny.safetensors")
        subprocess.run([sys.argv[1], os.path.join(HERE, "..", "..", "parity", "sd15_tensors.tsv"), path], check=True)
        model = encoder(load_file(path))
    face, line = torch.randn(3, 64) * 0.02, torch.randn(1, 64) * 0.02
    save_file({"tinctface": face}, os.path.join(HERE, "tinctface.safetensors"))
    save_file({"emb_params": line}, os.path.join(HERE, "tinctline.safetensors"))
    pipe = Pipeline(clip_tokenizer.build(sys.argv[2]), model)
    pipe.load_textual_inversion({"tinctface": face}, token="tinctface", tokenizer=pipe.tokenizer, text_encoder=model)
    pipe.load_textual_inversion({"tinctline": line}, token="tinctline", tokenizer=pipe.tokenizer, text_encoder=model)
    out = {}
    for name, prompt in PROMPTS.items():
        text = pipe.maybe_convert_prompt(prompt.lower(), pipe.tokenizer)
        ids = pipe.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        with torch.no_grad():
            out[name] = model(ids).last_hidden_state[0].contiguous()
    save_file(out, os.path.join(HERE, "context.safetensors"))


main()
