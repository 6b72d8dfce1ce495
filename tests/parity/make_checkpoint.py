#!/usr/bin/env python3
"""Write a full-size checkpoint with random weights in the single-file layout, for tests without a real model.

    make_checkpoint.py sd15_tensors.tsv OUT.safetensors [--seed 1234] [--dtype F16|F32]

The tensor list is one "name <tab> AxBxC" a line. Weights are normal with standard deviation 1/sqrt(fan in), scales are 1 + 0.1 N(0,1) and biases
0.1 N(0,1), so that a forgotten one shows; activations keep their size and every number stays finite in fp16. Needs numpy only. 2.1 GB for SD1.5.
"""
import argparse, json, struct
import numpy as np

NORM = ("norm", "in_layers.0", "out_layers.0", "out.0.", "layer_norm")
SIZE = {"F16": 2, "F32": 4, "I64": 8}


def schedule():
    betas = np.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=np.float64) ** 2
    alphas = np.cumprod(1 - betas)
    return {"betas": betas, "alphas_cumprod": alphas, "alphas_cumprod_prev": np.append(1.0, alphas[:-1])}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tensors"); p.add_argument("out")
    p.add_argument("--seed", type=int, default=1234); p.add_argument("--dtype", choices=["F16", "F32"], default="F16")
    a = p.parse_args()
    rng, sched, np_dtype = np.random.default_rng(a.seed), schedule(), {"F16": "<f2", "F32": "<f4"}[a.dtype]
    rows = [line.rstrip("\n").split("\t") for line in open(a.tensors)]
    rows = [(name, tuple(int(x) for x in shape.split("x"))) for name, shape in rows]

    def dtype(name):
        return "F32" if name in sched else "I64" if name.endswith("position_ids") else a.dtype

    def values(name, shape):
        if name in sched:
            return sched[name].astype("<f4")
        if name.endswith("position_ids"):
            return np.arange(77, dtype="<i8").reshape(1, 77)
        if len(shape) == 1:
            is_scale = name.endswith("weight") and any(t in name for t in NORM) and "out_layers.3" not in name
            return (np.float32(is_scale) + np.float32(0.1) * rng.standard_normal(size=shape, dtype=np.float32)).astype(np_dtype)
        std = 0.02 if "token_embedding" in name else 0.01 if "position_embedding" in name else np.prod(shape[1:]) ** -0.5
        return (rng.standard_normal(size=shape, dtype=np.float32) * np.float32(std)).astype(np_dtype)

    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in rows:
        size = int(np.prod(shape)) * SIZE[dtype(name)]
        header[name] = {"dtype": dtype(name), "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(a.out, "wb") as f:
        f.write(struct.pack("<Q", len(text))); f.write(text)
        for name, shape in rows:
            f.write(values(name, shape).tobytes())
    print(len(rows), "tensors,", offset, "bytes")


if __name__ == "__main__":
    main()
