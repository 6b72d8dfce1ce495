"""Words: CLIP's tokens, and a small text encoder with the key names of CLIP's text model.

    TINCT_VOCAB=bpe_simple_vocab_16e6.txt.gz        the vocabulary; without it the cache is looked in

A caption knows some 150 tokens of 49,408. Rows of the others are one learned neutral vector plus
small noise from a seed: they do no harm, and can still be told apart when a LoRA learns one.
"""
import gzip
import os
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, POSITIONS, START, END = 49408, 77, 49406, 49407
NOISE = 0.02
EMPHASIS = re.compile(r"\(?([^()]+?)(?::([0-9.]+)\)|(?=\(|$))")


def vocabulary_file():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(os.environ.get("TINCT_VOCAB") or os.path.join(cache, "tinct", "bpe_simple_vocab_16e6.txt.gz"))
    if not path.exists():
        raise SystemExit(f"{path}: the CLIP vocabulary is missing; run demo.sh once, which fetches it, or set TINCT_VOCAB to bpe_simple_vocab_16e6.txt.gz")
    return path


def byte_letters():
    """The printable letter that stands for each byte in the vocabulary's order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(rest))]


class Tokenizer:
    """ids(text) -> [77], padded with END, as Stable Diffusion 1 does. `words`: all whole words, by id.
    weighed(text) -> [77] ids and [77] weights of a text with emphasis, "a (red:1.4) house"."""

    def __init__(self):
        from transformers import CLIPTokenizer
        lines = gzip.open(vocabulary_file(), "rt", encoding="utf-8").read().split("\n")
        merges = [tuple(line.split()) for line in lines[1:49152 - 256 - 2 + 1]]
        letters = byte_letters()
        names = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
        self.words = {i: n[:-4] for i, n in enumerate(names) if n.endswith("</w>") and n[:-4].isascii() and n[:-4].isalpha() and len(n) > 7}
        self.clip = CLIPTokenizer(vocab={n: i for i, n in enumerate(names)}, merges=merges, model_max_length=POSITIONS)

    def ids(self, text):
        return torch.tensor(self.clip(text, padding="max_length", max_length=POSITIONS, truncation=True).input_ids)

    def weighed(self, text):
        weights = [1.0]
        for piece, weight in EMPHASIS.findall(text):
            tokens = len(self.clip(piece).input_ids) - 2
            weights += [float(weight or 1)] * tokens
        return self.ids(EMPHASIS.sub(r"\1", text)), torch.tensor((weights + [1.0] * POSITIONS)[:POSITIONS])


class Attention(nn.Module):
    """Causal, heads of 64 channels."""

    def __init__(self, c):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(c, c) for _ in range(4))

    def forward(self, x):
        n, s, c = x.shape
        q, k, v = (f(x).view(n, s, -1, 64).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, s, c))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), MLP(c)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(c), nn.LayerNorm(c)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TokenEmbedding(nn.Module):
    """A row for each known token, and one neutral row with noise for all others."""

    def __init__(self, c, known):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(len(known) + 1, c, generator=torch.Generator().manual_seed(7)) * 0.05)
        row_of = torch.full((VOCABULARY,), len(known))
        row_of[torch.tensor(known)] = torch.arange(len(known))
        noise = torch.randn(VOCABULARY, c, generator=torch.Generator().manual_seed(8)) * NOISE
        noise[torch.tensor(known)] = 0
        self.register_buffer("row_of", row_of)
        self.register_buffer("noise", noise)

    def forward(self, ids):
        return self.rows[self.row_of[ids]] + self.noise[ids]

    def table(self):
        """[49408, c], as a checkpoint holds it."""
        return self.rows[self.row_of] + self.noise


class TextEncoder(nn.Module):
    """ids [n, 77] -> [n, 77, width], after the last norm."""

    def __init__(self, known, width=128, layers=3):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = TokenEmbedding(width, known)
        self.embeddings.position_embedding = nn.Embedding(POSITIONS, width)
        nn.init.normal_(self.embeddings.position_embedding.weight, std=0.02)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, ids):
        x = self.embeddings.token_embedding(ids) + self.embeddings.position_embedding.weight
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)


def known_ids(tokenizer):
    """Ids of the tokens that base captions are made of."""
    from captions import all_words
    ids = {START, END}
    for phrase in all_words():
        ids.update(tokenizer.clip(phrase).input_ids)
    return sorted(ids)
