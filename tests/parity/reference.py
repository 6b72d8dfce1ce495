"""The reference implementations on a checkpoint's own weights: transformers' CLIPTextModel, diffusers' UNet2DConditionModel
and AutoencoderKL, built without any hub. Sizes are read off the tensors' shapes."""
import gzip
import json
import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."


def load(path):
    return {k: (v.float() if v.is_floating_point() else v) for k, v in load_file(path).items()}


def unet(sd):
    channels, blocks = [], []
    i, level_attention = 1, False
    while True:
        res, down = f"{UNET}input_blocks.{i}.0.in_layers.2.weight", f"{UNET}input_blocks.{i}.0.op.weight"
        if res in sd:
            level_channels, level_attention = sd[res].shape[0], f"{UNET}input_blocks.{i}.1.norm.weight" in sd
        if down in sd or (res not in sd and down not in sd):
            channels.append(level_channels)
            blocks.append(level_attention)
        if res not in sd and down not in sd:
            break
        i += 1
    n = len(channels)
    config = dict(
        sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, attention_head_dim=8,
        block_out_channels=tuple(channels), cross_attention_dim=sd[f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape[1],
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in blocks),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(blocks)))
    model = UNet2DConditionModel(**config)
    part = {k: v for k, v in sd.items() if k.startswith(UNET)}
    model.load_state_dict(convert_ldm_unet_checkpoint(part, {**config, "class_embed_type": None, "addition_embed_type": None}))
    return model.eval()


def vae(sd):
    channels, i = [], 0
    while f"{VAE}encoder.down.{i}.block.0.conv1.weight" in sd:
        channels.append(sd[f"{VAE}encoder.down.{i}.block.0.conv1.weight"].shape[0])
        i += 1
    config = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=tuple(channels), layers_per_block=2,
                  down_block_types=("DownEncoderBlock2D",) * i, up_block_types=("UpDecoderBlock2D",) * i, sample_size=512)
    model = AutoencoderKL(**config)
    part = {k: v for k, v in sd.items() if k.startswith(VAE)}
    model.load_state_dict(convert_ldm_vae_checkpoint(part, config))
    return model.eval()


def text(sd):
    layers = 0
    while f"{TEXT}text_model.encoder.layers.{layers}.mlp.fc1.weight" in sd:
        layers += 1
    hidden, width = sd[f"{TEXT}text_model.encoder.layers.0.mlp.fc1.weight"].shape
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=sd[f"{TEXT}text_model.embeddings.token_embedding.weight"].shape[0], hidden_size=width, intermediate_size=hidden,
        num_hidden_layers=layers, num_attention_heads=width // 64, max_position_embeddings=77, hidden_act="quick_gelu",
        bos_token_id=49406, eos_token_id=49407))
    part = {k[len(TEXT):]: v for k, v in sd.items() if k.startswith(TEXT) and "position_ids" not in k}
    own = model.state_dict().keys()
    if not any(k.startswith("text_model.") for k in own):
        part = {k.removeprefix("text_model."): v for k, v in part.items()}
    model.load_state_dict(part, strict=False)
    missing = [k for k in own if k not in part and "position_ids" not in k]
    assert not missing, missing
    return model.eval()


def hidden_states(model, ids, skip):
    """Hidden state -skip, then the final layer norm: A1111's Clip skip."""
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
        inner = getattr(model, "text_model", model)
        return inner.final_layer_norm(out.hidden_states[-skip])


def tokenizer(vocabulary):
    """CLIPTokenizer from the published merges, as CLIP's own code reads them."""
    lines = gzip.open(vocabulary).read().decode("utf-8").split("\n")
    merges = [line for line in lines[1:49152 - 256 - 2 + 1]]
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    characters = [chr(b) for b in printable]
    n = 0
    for b in range(256):
        if b not in printable:
            characters.append(chr(256 + n))
            n += 1
    words = characters + [c + "</w>" for c in characters] + ["".join(m.split()) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "vocab.json"), "w") as f:
            json.dump({w: i for i, w in enumerate(words)}, f)
        with open(os.path.join(folder, "merges.txt"), "w") as f:
            f.write("#version: 0.2\n" + "\n".join(merges) + "\n")
        return CLIPTokenizer(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt"), pad_token="<|endoftext|>",
                             model_max_length=77)


def pipeline(checkpoint, vocabulary):
    """All of it, with a scheduler to be replaced."""
    sd = load(checkpoint)
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    pipe = StableDiffusionPipeline(vae=vae(sd), text_encoder=text(sd), tokenizer=tokenizer(vocabulary), unet=unet(sd),
                                   scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe
