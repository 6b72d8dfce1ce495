"""transformers' fast CLIPTokenizer, built from CLIP's vocabulary file without any hub."""
import gzip
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
from transformers import CLIPTokenizerFast


def build(vocabulary):
    lines = gzip.open(vocabulary).read().decode("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines[1:49152 - 256 - 2 + 1]]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    names = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizerFast(vocab={name: i for i, name in enumerate(names)}, merges=merges, model_max_length=10 ** 9)


def ids(tokenizer, texts):
    return tokenizer(texts, add_special_tokens=False)["input_ids"]
