"""Training goes on from the exported file: makes <train dir>/vae.pt, encoder.pt and unet.pt of it.

    python restore.py [--model ../tinct-demo.safetensors]

For a machine that has the model but not the checkpoints that it came from. The optimisers begin anew; the
latents' mean and deviation, which the file holds inside its convolutions, stay there.
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open

from common import save, train_dir
from export import SCALE
from text import NOISE, TextEncoder, Tokenizer, known_ids
from train_unet import Model

PREFIXES = {"vae": "first_stage_model.", "unet": "model.diffusion_model.", "text": "cond_stage_model.transformer.text_model."}


def tensors_of(path):
    """({network: {key: fp32 tensor}}, header text)."""
    parts = {name: {} for name in PREFIXES}
    with safe_open(path, "pt") as f:
        for key in f.keys():
            name = next(n for n, prefix in PREFIXES.items() if key.startswith(prefix))
            parts[name][key.removeprefix(PREFIXES[name])] = f.get_tensor(key).float()
        return parts, f.metadata()


def words_of(text, known):
    """The state of TextEncoder(known): rows for the known tokens, and one for all others."""
    table = text.pop("embeddings.token_embedding.weight")
    state = TextEncoder(known).state_dict()
    noise = state["embeddings.token_embedding.noise"]
    unknown = torch.ones(len(table), dtype=torch.bool)
    unknown[torch.tensor(known)] = False
    others = (table - noise)[unknown]
    spread = others.std(0).max().item()
    if spread > NOISE / 10:
        raise SystemExit(f"tokens that captions never use are not one row and the seed's noise (deviation {spread:.1e}): the file knows other words than captions.py")
    rows = torch.cat([table[torch.tensor(known)], others.mean(0, keepdim=True)])
    return state | text | {"embeddings.token_embedding.rows": rows}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, default=Path(__file__).resolve().parents[1] / "tinct-demo.safetensors")
    path = p.parse_args().model
    if (train_dir() / "unet.pt").exists():
        raise SystemExit(f"{train_dir()}/unet.pt: there is training already; move it away first")
    parts, header = tensors_of(path)
    told, known = json.loads(header["tinct.training"]), known_ids(Tokenizer())
    model = Model(known)
    model.load_state_dict({f"unet.{k}": v for k, v in parts["unet"].items()} | {f"text.{k}": v for k, v in words_of(parts["text"], known).items()})
    weights = model.state_dict()
    save(train_dir() / "vae.pt", {"weights": parts["vae"], "ema": parts["vae"], "ema_steps": 0, "optimiser": None, "step": 0, "part": "decoder"})
    save(train_dir() / "encoder.pt", {"weights": parts["vae"], "mean": torch.zeros(4), "std": torch.full((4,), 1 / SCALE)})
    save(train_dir() / "unet.pt", {"weights": weights, "ema": weights, "ema_steps": 0, "optimiser": None, "step": told["unet_steps"], "side": told["unet_side"], "known": known})
    print(f"{train_dir()}: goes on from {path} at step {told['unet_steps']} of {told['unet_side']}x{told['unet_side']}")


if __name__ == "__main__":
    main()
