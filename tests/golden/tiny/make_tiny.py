#!/usr/bin/env python3
"""Write a tiny SD1.x checkpoint with random weights, plain or in one of the layouts that real files have.

    make_tiny.py OUT.safetensors [--layout plain|extras|text|positions|mixed|vae-flat|vae-to|split|diffusers] [--seed 1234]

The tensor list of the full-size model (tests/parity/sd15_tensors.tsv) is scaled down: UNet 32 channels times 1, 2, 4, 4, context 64;
text encoder 64 wide, 2 layers, the whole vocabulary; VAE 32 channels times 1, 2, 4, 4. Weights are drawn as
tests/parity/make_checkpoint.py draws them. All layouts of one seed hold the same numbers, so they must paint the same pixels:

    extras      EMA copies, optimizer state and unknown tensors, which are to be ignored
    text        text encoder's keys without "text_model.", no position_ids
    positions   position_ids as floats
    mixed       F32, F16 and BF16 side by side (the values of BF16 ones fit in all layouts)
    vae-flat    the VAE's attention as [C, C]
    vae-to      the same, called to_q, to_k, to_v, to_out.0
    split       no VAE inside; it goes to OUT with .vae.safetensors at its end, bare names, F32
    diffusers   diffusers' names in one file: unet., vae., text_encoder.

Needs numpy only (made with 2.4.6).
"""
import argparse, json, os, re, struct
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
UNET, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.transformer.text_model.", "first_stage_model."
NORM = ("norm", "in_layers.0", "out_layers.0", "out.0.", "layer_norm")
LAYOUTS = ["plain", "extras", "text", "positions", "mixed", "vae-flat", "vae-to", "split", "diffusers"]


def scaled(name, size):
    if name.startswith(UNET):
        return 64 if size == 768 else size // 10 if size >= 320 else size
    if name.startswith(VAE):
        return size // 4 if size >= 128 else size
    return {768: 64, 3072: 256}.get(size, size)


def tensor_list(path):
    for line in open(path):
        name, shape = line.rstrip("\n").split("\t")
        layer = re.search(r"text_model\.encoder\.layers\.(\d+)\.", name)
        if not layer or int(layer.group(1)) < 2:
            yield name, tuple(scaled(name, int(n)) for n in shape.split("x"))


def schedules():
    betas = np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=np.float64) ** 2
    alphas = np.cumprod(1 - betas)
    return {"betas": betas, "alphas_cumprod": alphas, "alphas_cumprod_prev": np.append(1.0, alphas[:-1])}


def in_bf16(name):
    """Kept as BF16 in the mixed layout."""
    return ".attn1.to_k." in name or ".mlp.fc1." in name


def to_bf16(values):
    """float32 -> the upper 16 bits, rounded to nearest even."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def draw(name, shape, rng):
    if len(shape) == 1:
        is_scale = name.endswith("weight") and any(t in name for t in NORM) and "out_layers.3" not in name
        values = np.float32(is_scale) + np.float32(0.1) * rng.standard_normal(size=shape, dtype=np.float32)
    else:
        std = 0.02 if "token_embedding" in name else 0.01 if "position_embedding" in name else np.prod(shape[1:]) ** -0.5
        values = rng.standard_normal(size=shape, dtype=np.float32) * np.float32(std)
    if in_bf16(name):  # exact in bf16 and, being far from fp16's smallest, in fp16 too
        values = (to_bf16(values).astype("<u4") << 16).view("<f4")
        values[np.abs(values) < 2.0 ** -14] = 0
    return values.astype("<f2")


def plain(rows, rng):
    """name -> (dtype name, array)"""
    out, known = {}, schedules()
    for name, shape in rows:
        if name in known:
            out[name] = "F32", known[name].astype("<f4")
        elif name.endswith("position_ids"):
            out[name] = "I64", np.arange(77, dtype="<i8").reshape(1, 77)
        else:
            out[name] = "F16", draw(name, shape, rng)
    return out


# ---- layouts ---------------------------------------------------------------------------------------------------

def extras(tensors):
    out = dict(tensors)
    for name, (dtype, values) in tensors.items():
        if name.startswith(UNET) and values.ndim == 1:
            out["model_ema." + name[len("model."):].replace(".", "")] = "F32", np.full(values.shape, 9, "<f4")
    out["optimizer_states.0.state.0.exp_avg"] = "F32", np.full((3, 5), np.nan, "<f4")
    out["model_ema.decay"] = "F32", np.array(0.9999, "<f4")
    out["model_ema.num_updates"] = "I64", np.array(470000, "<i8")
    out["cond_stage_model.logit_scale"] = "F16", np.array(4.6, "<f2")
    out["first_stage_model.loss.perceptual_loss.net.slice1.0.weight"] = "F16", np.zeros((8, 3, 3, 3), "<f2")
    out["unknown"] = "U8", np.arange(7, dtype="<u1")
    return out


def text(tensors):
    return {n.replace("text_model.", "") if n.startswith(TEXT) else n: v
            for n, v in tensors.items() if not n.endswith("position_ids")}


def positions(tensors):
    return {n: ("F32", v[1].astype("<f4")) if n.endswith("position_ids") else v for n, v in tensors.items()}


def mixed(tensors):
    out = {}
    for i, (name, (dtype, values)) in enumerate(tensors.items()):
        if dtype == "F16" and in_bf16(name):
            out[name] = "BF16", to_bf16(values.astype("<f4"))
        elif dtype == "F16" and i % 3 == 0:
            out[name] = "F32", values.astype("<f4")
        else:
            out[name] = dtype, values
    return out


def vae_attention(tensors, names):
    out = {}
    for name, (dtype, values) in tensors.items():
        if ".mid.attn_1." in name and ".norm." not in name:
            values = values.reshape(values.shape[:2])
            name = re.sub(r"attn_1\.(q|k|v|proj_out)\.", lambda m: f"attn_1.{names[m.group(1)]}.", name)
        out[name] = dtype, values
    return out


SAME = {n: n for n in ("q", "k", "v", "proj_out")}
TO = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def diffusers_unet(name):
    for old, new in (("input_blocks.0.0.", "conv_in."), ("time_embed.0.", "time_embedding.linear_1."),
                     ("time_embed.2.", "time_embedding.linear_2."), ("out.0.", "conv_norm_out."), ("out.2.", "conv_out.")):
        if name.startswith(old):
            return new + name[len(old):]
    resnet = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
              "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}

    def rest(text):
        for old, new in resnet.items():
            if text.startswith(old + "."):
                return new + text[len(old):]
        return text

    side, *parts = name.split(".", 3) if not name.startswith("middle") else name.split(".", 2)
    if side == "middle_block":
        return ["mid_block.resnets.0.", "mid_block.attentions.0.", "mid_block.resnets.1."][int(parts[0])] + rest(parts[1])
    block, element, tail = int(parts[0]), int(parts[1]), parts[2]
    up = side == "output_blocks"
    i, j = divmod(block if up else block - 1, 3)
    if tail.startswith("op."):
        return f"down_blocks.{i}.downsamplers.0.conv.{tail[3:]}"
    if up and tail.startswith("conv."):
        return f"up_blocks.{i}.upsamplers.0.{tail}"
    return f"{'up' if up else 'down'}_blocks.{i}.{'attentions' if element else 'resnets'}.{j}.{rest(tail)}"


def diffusers_vae(name):
    for old, new in ((r"\.up\.(\d)\.block\.(\d)\.", lambda m: f".up_blocks.{3 - int(m[1])}.resnets.{m[2]}."),
                     (r"\.down\.(\d)\.block\.(\d)\.", r".down_blocks.\1.resnets.\2."),
                     (r"\.up\.(\d)\.upsample\.", lambda m: f".up_blocks.{3 - int(m[1])}.upsamplers.0."),
                     (r"\.down\.(\d)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
                     (r"\.mid\.block_1\.", ".mid_block.resnets.0."), (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
                     (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
                     (r"\.mid\.attn_1\.", ".mid_block.attentions.0."), (r"nin_shortcut", "conv_shortcut"),
                     (r"\.norm_out\.", ".conv_norm_out.")):
        name = re.sub(old, new, name)
    return name


def diffusers(tensors):
    out = {}
    for name, value in vae_attention(tensors, TO).items():
        if name.startswith(UNET):
            out["unet." + diffusers_unet(name[len(UNET):])] = value
        elif name.startswith(VAE):
            out["vae." + diffusers_vae(name[len(VAE):])] = value
        elif name.startswith(TEXT):
            out["text_encoder.text_model." + name[len(TEXT):]] = value
    return out


def split(tensors):
    main = {n: v for n, v in tensors.items() if not n.startswith(VAE)}
    vae = {n[len(VAE):]: ("F32", v.astype("<f4")) for n, (_, v) in tensors.items() if n.startswith(VAE)}
    return main, vae


def save(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)))
        f.write(text)
        for _, values in tensors.values():
            f.write(values.tobytes())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--layout", choices=LAYOUTS, default="plain")
    p.add_argument("--seed", type=int, default=1234)
    p.add_argument("--tensors", default=os.path.join(HERE, "..", "..", "parity", "sd15_tensors.tsv"))
    a = p.parse_args()
    tensors = plain(tensor_list(a.tensors), np.random.default_rng(a.seed))
    if a.layout == "split":
        tensors, vae = split(tensors)
        save(re.sub(r"\.safetensors$", "", a.out) + ".vae.safetensors", vae)
    elif a.layout == "vae-flat":
        tensors = vae_attention(tensors, SAME)
    elif a.layout == "vae-to":
        tensors = vae_attention(tensors, TO)
    elif a.layout != "plain":
        tensors = globals()[a.layout](tensors)
    save(a.out, tensors)


if __name__ == "__main__":
    main()
