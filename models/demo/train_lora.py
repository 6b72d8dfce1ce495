"""Stage 7: the LoRAs, trained on the exported model, and written in loras/.

    python train_lora.py arcane|sketch|dark_vador|dab [--steps N] [--minutes M]

A style is learned from its own drawings alone: it is to come with the LoRA, whatever else the prompt says.
For a character and a pose a part of each batch is base scenes as ever, so that they come with their
trigger words and little changes without; people there are often but a "person", so that not every
word unheard of becomes the character. Both learn a part of their steps in the company of the LoRAs
before them (company.py), so that they stack. Goes on from <train dir>/lora-NAME.pt.
"""
import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers.models.activations import GEGLU
from safetensors.torch import save, save_file

from adapters import Kohya, LoHa, Peft
from attention import attend
from captions import caption
from common import Log, batches, launch, rate_at, save as keep_checkpoint, train_dir
from company import Company
from diffusion import epsilon_loss, noised, times
from geglu import geglu
from hf import pipeline
from latents import load_shards, newest_vae, pictures, shard_path
from norm import GroupNorm
from optimiser import Optimiser
from scenes import sample
from people import PEOPLE

PICTURES, SHARD = 800, 200              # drawings of a LoRA's own, half as many of several together; so many a file of latents
SHARE = {"style": 1.0, "character": 0.72, "pose": 0.72}    # of a batch: the LoRA's own drawings
STEPS = {"style": 360, "character": 920, "pose": 1840}
COMPANY = {                             # who takes part beside it, and in how much of its steps
    "style": {(): 1.0},
    "character": {(): 0.5, ("arcane",): 0.3, ("sketch",): 0.2},
    "pose": {(): 0.6, ("dark_vador",): 0.1, ("arcane",): 0.08, ("sketch",): 0.05, ("arcane", "dark_vador"): 0.11, ("sketch", "dark_vador"): 0.06},
}
BATCH = {"cpu": 4, "cuda": 32}
MOST_BYTES = 1_500_000
SEED = 1 << 29                          # scenes of LoRAs begin here

LORAS = {
    "arcane": dict(adapter=lambda *at: Kohya(*at, 8, 8), rate=6e-3, scene=lambda rng: {"style": "arcane"}, trigger="arcane style", weight=0.8,
                   about="Ink outlines, broad painterly strokes, teal shadows and magenta light.", kind="style"),
    "sketch": dict(adapter=lambda *at: Kohya(*at, 4, 4, conv_rank=3), rate=7e-3, scene=lambda rng: {"style": "sketch"}, trigger="pencil sketch", weight=0.9,
                   about="Pencil on paper, outlines and hatching.", kind="style"),
    "dark_vador": dict(adapter=lambda *at: Peft(*at, 8, 8), rate=5e-3, scene=lambda rng: {"subject": "dark vador"}, trigger="dark vador", weight=0.9,
                       about="A caped black figure with a red blade.", kind="character"),
    "dab": dict(adapter=lambda *at: LoHa(*at, 4, 4), rate=7e-3, scene=lambda rng: {"subject": list(PEOPLE)[rng.integers(len(PEOPLE))], "pose": "dab"},
                trigger="doing a dab", weight=0.8, about="A gesture for any person: one arm across the face, the other stretched up.", kind="pose"),
}


def scene_of(names, i):
    """Scene i of the drawings that show these LoRAs together; of none: a base scene."""
    fields = {}
    for name in reversed(LORAS):
        if name in names:
            fields |= LORAS[name]["scene"](np.random.default_rng([i, 41]))
    return sample(SEED + i, **fields) if names else sample(i)


@torch.no_grad()
def latents_of(names, team):
    """Latents of the drawings that show these LoRAs together, encoded once, a shard a core; row i is of scene_of(names, i)."""
    kind = "+".join(name for name in LORAS if name in names) or "base"
    wanted = (PICTURES if len(names) == 1 else PICTURES // 2) // SHARD if names else 0
    missing = [i for i in range(wanted) if not shard_path(256, i, kind).exists()]
    team.meet()                                             # all have seen the same
    vae, mean, std = newest_vae(team.device) if missing else (None, None, None)
    for index in missing[team.rank::team.world]:
        rows = []
        for i in range(index * SHARD, (index + 1) * SHARD, 8):
            with team.autocast():
                x = pictures([scene_of(names, i + j) for j in range(8)], 256).to(team.device)
                rows.append(((vae.encode(x)[0] - mean) / std).half().cpu())
        keep_checkpoint(shard_path(256, index, kind), torch.cat(rows))
    team.meet()
    return load_shards(256, kind)


def attention(attn, x, encoder_hidden_states=None, **_):
    """A processor for diffusers' attention."""
    context = x if encoder_hidden_states is None else encoder_hidden_states
    q, k, v = (f(y).unflatten(-1, (attn.heads, -1)) for f, y in ((attn.to_q, x), (attn.to_k, context), (attn.to_v, context)))
    return attn.to_out[0](attend(q, k, v, True).flatten(2))


def networks(model, device):
    """diffusers' networks of the exported file, frozen, with the parts that are quick to train through."""
    pipe = pipeline(model)
    for parent in list(pipe.unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.GroupNorm):
                quick = GroupNorm(child.num_channels, child.eps)
                quick.load_state_dict(child.state_dict())
                setattr(parent, name, quick)
            elif isinstance(child, GEGLU):
                child.forward = lambda x, layer=child: geglu(layer.proj(x), True)
    pipe.unet.set_attn_processor(attention)
    for net in (pipe.unet, pipe.text_encoder):
        net.requires_grad_(False).to(device)
    pipe.unet.to(memory_format=torch.channels_last).train()
    return pipe


class Examples:
    """latents: {names: latents_of(names)}, of the company alone and with the LoRA in it."""

    def __init__(self, name, count, tokenizer, latents):
        self.name, self.count, self.tokenizer, self.latents = name, count, tokenizer, latents
        self.share, self.company = SHARE[LORAS[name]["kind"]], COMPANY[LORAS[name]["kind"]]

    def __call__(self, i):
        """Latents, tokens, timesteps, noise, and the weights of the company."""
        rng = np.random.default_rng([i, 42])
        others = list(self.company)[rng.choice(len(self.company), p=list(self.company.values()))]
        z, texts = [], []
        for _ in range(self.count):
            mine = rng.random() < self.share
            names = others + (self.name,) * mine
            row = int(rng.integers(len(self.latents[names])))
            z.append(self.latents[names][row].float())
            texts.append(self.text(scene_of(names, row), mine, rng) if rng.random() > 0.08 else "")
        z = torch.stack(z)
        t = times(rng, self.count, 256)
        ids = torch.tensor(self.tokenizer(texts, padding="max_length", max_length=77, truncation=True).input_ids)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(int(rng.integers(1 << 62))))
        return z, ids, t, noise, {name: LORAS[name]["weight"] * rng.uniform(0.75, 1) for name in others}

    def text(self, scene, mine, rng):
        return caption(scene, rng, subject="person" if not mine and scene.subject in PEOPLE and rng.random() < 0.6 else "")


def header(name, recipe, adapter, args, step, tensors):
    count = {}
    for i in range(PICTURES):
        for tag in caption(scene_of((name,), i), np.random.default_rng([i, 43])).lower().split(", "):
            count[tag] = count.get(tag, 0) + 1
    often = {tag: n for tag, n in sorted(count.items(), key=lambda item: -item[1])[:40]}
    return {"format": "pt", **adapter.facts(), "ss_output_name": name, "ss_base_model_version": "sd_v1", "ss_sd_model_name": "tinct-demo.safetensors",
            "ss_v2": "False", "ss_resolution": "(256, 256)", "ss_num_train_images": str(PICTURES), "ss_steps": str(step), "ss_learning_rate": str(recipe["rate"]),
            "ss_optimizer": "Muon", "ss_lr_scheduler": "cosine", "ss_min_snr_gamma": "5.0", "ss_tag_frequency": json.dumps({f"1_{name}": often}),
            "sshs_model_hash": hashlib.sha256(tensor_bytes(tensors)).hexdigest(), "modelspec.sai_model_spec": "1.0.1",
            "modelspec.architecture": "stable-diffusion-v1/lora", "modelspec.title": name, "modelspec.description": recipe["about"],
            "modelspec.author": "tinct contributors", "modelspec.license": "MIT", "modelspec.trigger_phrase": recipe["trigger"],
            "modelspec.usage_hint": f"a weight of {recipe['weight']}", "modelspec.tags": recipe["kind"]}


def tensor_bytes(tensors):
    """The bytes of a safetensors file after its header."""
    whole = save(tensors)
    return whole[8 + int.from_bytes(whole[:8], "little"):]


def write(name, adapter, args, step):
    recipe = LORAS[name]
    tensors = {k: v.detach().half().contiguous().cpu() for k, v in adapter.tensors().items()}
    if not all(torch.isfinite(v).all() for v in tensors.values()):
        raise SystemExit(f"{name}: not written: its training has diverged (a value is not a number)")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{name}.safetensors"
    save_file(tensors, path, header(name, recipe, adapter, args, step, tensors))
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, and at most {MOST_BYTES} were wanted; choose a smaller rank")
    (args.out / f"{name}.json").write_text(json.dumps({
        "description": recipe["about"], "sd version": "SD1", "activation text": recipe["trigger"], "preferred weight": recipe["weight"],
        "negative text": "", "notes": "Trained by models/demo/train_lora.py for tinct-demo."}, indent=2) + "\n")
    return path


def stage(team, args):
    log, recipe, path = Log(f"lora-{args.name}", every=25), LORAS[args.name], train_dir() / f"lora-{args.name}.pt"
    sets = COMPANY[recipe["kind"]]
    latents = {names: latents_of(names, team) for others in sets for names in (others, others + (args.name,))}
    pipe = networks(args.model, team.device)
    company = Company(pipe, args.out, {name for others in sets for name in others})
    torch.manual_seed(31)                                   # the same beginning in every process
    adapter = recipe["adapter"](pipe, recipe["weight"])
    parameters = adapter.parameters()
    for p in parameters:
        p.data = p.data.to(team.device)
    optimiser, first = Optimiser([(parameters, 1.0)], least=2, faster=1.0), 0
    if path.exists():
        old = torch.load(path, map_location=team.device)
        for p, v in zip(parameters, old["parameters"]):
            p.data.copy_(v)
        optimiser.load_state_dict(old["optimiser"])
        first = old["step"]
    if team.rank == 0:
        log.say(f"lora {args.name}: step {first}, {sum(p.numel() for p in parameters)} parameters")
    if first >= args.steps:
        if team.rank == 0:
            log.say(f"lora {args.name}: nothing to train: its steps are done; {write(args.name, adapter, args, first)}")
        return
    data = batches(team, Examples(args.name, BATCH[team.device.type], pipe.tokenizer, latents), first)
    started = saved = time.time()
    step = first - 1

    def keep(step):
        keep_checkpoint(path, {"parameters": [p.data for p in parameters], "optimiser": optimiser.state_dict(), "step": step})

    for step in range(first, args.steps):
        *tensors, weights = next(data)
        z, ids, t, noise = (v.to(team.device, non_blocking=True) for v in tensors)
        company.join(weights)
        with team.autocast():
            words = pipe.text_encoder(ids)[0]
            predicted = pipe.unet(noised(z, t, noise).contiguous(memory_format=torch.channels_last), t, encoder_hidden_states=words).sample
        loss = epsilon_loss(predicted, noise, t)
        loss.backward()
        team.average(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step(rate_at(step, args.steps, recipe["rate"], warm=20, hold=0.3))
        if team.rank == 0:
            log.add(step, args.steps, loss=loss.detach())
            if time.time() - saved > 180:
                saved = time.time()
                keep(step + 1)
        if step % 10 == 0 and team.together(time.time() - started > args.minutes * 60):
            break
    if team.rank == 0:
        keep(step + 1)
        log.say(f"lora {args.name}: stopped at step {step + 1} of {args.steps}; {write(args.name, adapter, args, step + 1)}")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("name", choices=LORAS)
    p.add_argument("--steps", type=int, help="360 for a style, 920 for a character, 1840 for a pose")
    p.add_argument("--minutes", type=float, default=1e9)
    p.add_argument("--model", type=Path, default=train_dir() / "tinct-demo.safetensors")
    p.add_argument("--out", type=Path, default=train_dir() / "loras")
    args = p.parse_args()
    args.steps = args.steps or STEPS[LORAS[args.name]["kind"]]
    launch(stage, args)


if __name__ == "__main__":
    main()
