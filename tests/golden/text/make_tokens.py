"""tokens.txt: hard strings and the ids that transformers' fast CLIPTokenizer gives them.

    python make_tokens.py bpe_simple_vocab_16e6.txt.gz > tokens.txt

Made with transformers 5.23.0, tokenizers 0.23.3, seed 7. A line: the UTF-8 text with every byte outside
printable ASCII, and '%', as %XX; a tab; the ids without special tokens around them.
"""
import sys

import clip_tokenizer
import strings


def escaped(text):
    return "".join(chr(b) if 32 <= b < 127 and b != 37 else f"%{b:02X}" for b in text.encode("utf-8"))


texts = strings.strings(620, 7)
for text, ids in zip(texts, clip_tokenizer.ids(clip_tokenizer.build(sys.argv[1]), texts)):
    print(escaped(text), " ".join(map(str, ids)), sep="\t")
