"""prompts.jsonl and chunks.jsonl: what stable-diffusion-webui makes of prompts.

    git clone https://github.com/AUTOMATIC1111/stable-diffusion-webui && git -C stable-diffusion-webui checkout v1.9.4
    python make_prompts.py stable-diffusion-webui bpe_simple_vocab_16e6.txt.gz OUT_DIR [--prompts 230] [--texts 120]

Made with stable-diffusion-webui 1.9.4 (feee37d), lark 1.1.2, transformers 5.23.0, torch 2.13.0, seeds 3 and 4; its own
modules prompt_parser, extra_networks, sd_hijack_clip and sd_emphasis run here, with empty modules where they need
the rest. Where brackets do not match, its parser takes one reading or another by Python's hash seed: prompts on
which eight seeds do not agree are left out.

prompts.jsonl, a line: prompt, steps, base_steps (of the pass before, 0: none), old (schedule rule), plain (the text
without tags), tags [[word, argument...]], parts [{weight, segments [[end_step, text]]}], negative segments.
chunks.jsonl, a line: text, ids and weights (as runs [weight, count]) per chunk, both without the two ends and the
padding, inserts [[chunk, position, vectors]]; last lines: z weighed as sd_emphasis does.
"""
import argparse
import itertools
import json
import os
import subprocess
import sys
import types

import prompts as hard


def load_webui(path):
    """Its modules, with stand-ins for what they import besides."""
    stand_ins = {n: types.ModuleType("modules." + n) for n in ("errors", "devices", "sd_hijack", "shared")}
    stand_ins["shared"].opts = types.SimpleNamespace(emphasis="Original", comma_padding_backtrack=20, use_old_emphasis_implementation=False)
    stand_ins["sd_hijack"].StableDiffusionModelHijack = object
    package = types.ModuleType("modules")
    package.__path__ = [os.path.join(path, "modules")]
    sys.modules["modules"] = package
    for n, m in stand_ins.items():
        sys.modules["modules." + n] = m
        setattr(package, n, m)
    from modules import extra_networks, prompt_parser
    return extra_networks, prompt_parser


def understand(extra_networks, parser, prompt, steps, base_steps, old):
    schedule = lambda texts: parser.get_learned_conditioning_prompt_schedules(texts, base_steps or steps, steps if base_steps else None, old)
    plain, _ = extra_networks.parse_prompt(prompt)
    tags = [[m.group(1), *m.group(2).split(":")] for m in extra_networks.re_extra_net.finditer(prompt)]
    indexes, flat, _ = parser.get_multicond_prompt_list(parser.SdConditioning([plain]))
    schedules = schedule(flat)
    parts = [{"weight": weight, "segments": schedules[index]} for index, weight in indexes[0]]
    return {"prompt": prompt, "steps": steps, "base_steps": base_steps, "old": old, "plain": plain, "tags": tags, "parts": parts, "negative": schedule([prompt])[0]}


def cases(count):
    """Prompts and passes: all with ten steps, the fixed ones also as a hires pass and by the old rule."""
    yield from ((p, 10, 0, False) for p in hard.prompts(count, 3))
    yield from ((p, *steps) for p in hard.FIXED if "[" in p for steps in ((8, 12, False), (7, 0, True)))


def all_prompts(webui, count):
    """Lines for stdout, or "null" where the reference itself fails."""
    extra_networks, parser = load_webui(webui)
    for case in cases(count):
        try:
            print(json.dumps(understand(extra_networks, parser, *case)))
        except Exception as e:
            print("null", repr(e), file=sys.stderr)
            print("null")


def agreed_prompts(webui, count):
    runs = [subprocess.run([sys.executable, __file__, webui, "-", "-", "--prompts", str(count), "--one"], env={**os.environ, "PYTHONHASHSEED": str(seed)},
                           stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines() for seed in range(8)]
    return [lines[0] for lines in zip(*runs) if len(set(lines)) == 1 and lines[0] != "null"]


def make_chunker(vocabulary):
    import clip_tokenizer
    from modules import sd_hijack_clip

    tokenizer = clip_tokenizer.build(vocabulary)
    tiny = clip_tokenizer.ids(tokenizer, ["tiny"])[0]

    class Chunker(sd_hijack_clip.FrozenCLIPEmbedderWithCustomWordsBase):
        def tokenize(self, texts):
            return clip_tokenizer.ids(tokenizer, texts)

    def find(tokens, offset):
        """The word "tiny" is an embedding of six vectors."""
        if tokens[offset:offset + len(tiny)] == tiny:
            return types.SimpleNamespace(vectors=6, name="tiny"), len(tiny)
        return None, None

    db = types.SimpleNamespace(find_embedding_at_position=find)
    c = Chunker(types.SimpleNamespace(), types.SimpleNamespace(embedding_db=db))
    c.comma_token, c.id_start, c.id_end, c.id_pad = 267, 49406, 49407, 49407
    return c


def own(ids, values):
    n = 76
    while n > 1 and ids[n - 1] == 49407:
        n -= 1
    return values[1:n]


def runs(values):
    """[value, how often] each."""
    return [[value, len(list(group))] for value, group in itertools.groupby(values)]


def chunk_lines(vocabulary, count):
    chunker = make_chunker(vocabulary)
    for text in hard.texts(count, 4):
        try:
            chunks, tokens = chunker.tokenize_line(text)
        except ValueError:      # (a:1.2.3)
            continue
        inserts = [[i, fix.offset + 1, int(fix.embedding.vectors)] for i, c in enumerate(chunks) for fix in c.fixes]
        if any(c.tokens[p + k] != 0 for i, c in enumerate(chunks) for _, p, n in [x for x in inserts if x[0] == i] for k in range(n)):
            continue            # it loses track of embeddings that move behind a comma
        yield {"text": text, "tokens": tokens, "ids": [own(c.tokens, c.tokens) for c in chunks], "weights": [runs(own(c.tokens, c.multipliers)) for c in chunks], "inserts": inserts}


def weighed_lines():
    import torch
    from modules import sd_emphasis

    z = torch.tensor([((i * 2654435761 % 2 ** 32) >> 8) / 2 ** 24 - 0.3 for i in range(154)], dtype=torch.float32).reshape(1, 77, 2)
    weights = torch.tensor([[1.0, 1.1, 1.5, 0.5, -0.5, 1.21] + [1.0] * 71])
    for kind in (sd_emphasis.EmphasisOriginal, sd_emphasis.EmphasisOriginalNoNorm):
        e = kind()
        e.z, e.multipliers = z.clone(), weights
        e.after_transformers()
        yield {"emphasis": kind.name, "weights": runs(weights[0].tolist()), "z": e.z.flatten().tolist()}


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("webui")
    p.add_argument("vocabulary")
    p.add_argument("out")
    p.add_argument("--prompts", type=int, default=230)
    p.add_argument("--texts", type=int, default=120)
    p.add_argument("--one", action="store_true", help="one hash seed, to standard output")
    a = p.parse_args()
    if a.one:
        return all_prompts(a.webui, a.prompts)
    write(os.path.join(a.out, "prompts.jsonl"), agreed_prompts(a.webui, a.prompts))
    load_webui(a.webui)
    write(os.path.join(a.out, "chunks.jsonl"), [*chunk_lines(a.vocabulary, a.texts), *weighed_lines()])


if __name__ == "__main__":
    main()
