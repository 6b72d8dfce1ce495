"""Token ids against transformers' fast CLIP tokenizer: 10,000 hard strings, and every code point. Prints TAP.

    tokens.py TOKENS_PROGRAM VOCABULARY [--count 10000] [--seed 1] [--no-sweep]
"""
import argparse
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "text"))
import clip_tokenizer
import strings


def ours(program, texts):
    encoded = [t.encode("utf-8") for t in texts]
    run = subprocess.run([program], input=b"".join(struct.pack("<I", len(e)) + e for e in encoded), capture_output=True, check=True)
    return run.stdout.decode("utf-8", "replace").split("\n")[:-1]


def compare(number, name, program, tokenizer, texts):
    wanted = [" ".join(map(str, ids)) for ids in clip_tokenizer.ids(tokenizer, texts)]
    got = ours(program, texts)
    wrong = [i for i in range(len(texts)) if i >= len(got) or got[i] != wanted[i]]
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}: {len(texts)} strings, {sum(w.count(' ') + 1 for w in wanted)} tokens, {len(wrong)} differ")
    for i in wrong[:10]:
        print(f"# {texts[i]!r}\n#   got {got[i] if i < len(got) else None}\n#  want {wanted[i]}")
    return not wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("vocabulary")
    p.add_argument("--count", type=int, default=10000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--no-sweep", action="store_true")
    a = p.parse_args()
    tokenizer = clip_tokenizer.build(a.vocabulary)
    print(f"1..{1 if a.no_sweep else 2}")
    good = compare(1, "hard strings", a.program, tokenizer, strings.strings(a.count, a.seed))
    if not a.no_sweep:
        good = compare(2, "every code point", a.program, tokenizer, list(strings.sweep())) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
