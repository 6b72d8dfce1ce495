#!/usr/bin/env python3
"""Writes infotext.json: texts and what A1111's own reader makes of them.

    make_infotext.py WEBUI

WEBUI is a checkout of AUTOMATIC1111/stable-diffusion-webui, release 1.10.1; three functions and
two patterns are taken out of its modules/infotext_utils.py and run here without the rest of the
program. Made with Python 3.11. The texts below are ours, in the manner of the programs named.
"""
import json
import pathlib
import re
import sys

LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768"

TEXTS = [
    # the plain form, by ages
    f"a castle at dusk\nNegative prompt: blurry, low quality\n{LAST}, Model hash: 45dee52b",
    "a castle\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 965400086, Size: 512x512, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Clip skip: 2, ENSD: 31337, Version: v1.5.2",
    "a castle, <lora:arcane:0.8>\nNegative prompt: bad\nSteps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6, Seed: 4294967294, Size: 768x512, Model hash: 0123456789, Model: dreamshaper_8, VAE hash: 735e4c3a44, VAE: vae-ft-mse.safetensors, Lora hashes: \"arcane: 8a9b0c1d2e3f, two: 000000000000\", Version: v1.10.1",
    "hires\nSteps: 25, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 3, Size: 512x512, Model: x, Denoising strength: 0.45, Hires upscale: 2, Hires steps: 10, Hires upscaler: R-ESRGAN 4x+, Hires prompt: \"more, detail: now\", Version: v1.9.4",
    "old hires\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3, Size: 1024x1024, Model hash: 7460a6fa, Denoising strength: 0.7, First pass size: 512x512",
    "fixed size hires\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 3, Size: 512x512, Hires resize: 1024x768, Hires upscaler: Latent",
    "variation\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 3, Size: 512x512, Variation seed: 99, Variation seed strength: 0.15, Seed resize from: 256x512",
    "inpainting\nSteps: 20, Sampler: Euler, CFG scale: 1.5, Seed: 3, Size: 512x512, Denoising strength: 1.0, Conditional mask weight: 1.0, Mask blur: 4, Masked content: original",
    "noise\nSteps: 12, Sampler: DPM++ 2M SDE, Schedule type: Exponential, CFG scale: 7, Seed: 3, Size: 512x512, RNG: CPU, Eta: 0.5, Sigma noise: 1.003, Emphasis: No norm",
    "everything on one line\nSteps: 20, Sampler: Euler a, Schedule type: Uniform, CFG scale: 7.0, Image CFG scale: 1.5, Seed: 5, Face restoration: CodeFormer, Size: 64x64, Model hash: abcdef0123, Model: m, FP8 weight: Enable, Cache FP16 weight for LoRA: True, Clip skip: 3, Token merging ratio: 0.5, Token merging ratio hr: 0.25, Init image hash: 0123, Tiling: True, TI hashes: \"EasyNegative: c74b4e810b03\", Version: v1.8.0-RC-17-gabcdef, User: someone",
    # other programs
    "forge\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 7, Size: 896x1152, Model hash: 8e91b68084, Model: flux1-dev-bnb-nf4-v2, Version: f2.0.1v1.10.1-previous-665-gae278f79",
    "a cat\nNegative prompt: dog\nSteps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: 0.000000, Seed: 42, Size: 512x512, Model: sd.safetensors, RNG: cuda, Sampler: euler_a karras, Version: stable-diffusion.cpp master-97d2990",
    "civitai\nNegative prompt: no\nSteps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 11, Size: 512x768, Clip skip: 2, Created Date: 2024-05-01T10:11:12.1314Z, Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":128713}], Civitai metadata: {}",
    "fooocus\nNegative prompt: ugly\nSteps: 30, Sampler: DPM++ 2M SDE, Schedule type: Karras, Seed: 2, Size: 1152x896, CFG scale: 4, Sharpness: 2.0, ADM Guidance: \"(1.5, 0.8, 0.3)\", Base Model: juggernaut, Performance: Speed, Version: Fooocus v2.5.5",
    # prompts
    LAST,
    "",
    "   \n\n  ",
    "only a prompt",
    "two\nlines",
    "a prompt, with: colons, and: commas",
    "one: two, three: four",
    "trap\nratio: 1, 16:9 view, sharp: yes",
    "three words: a, four words: b, five words: c",
    f"line one\n  line two  \n\nline four\nNegative prompt: n one\n n two\n\n{LAST}",
    f"\n\nleading\n\n\nNegative prompt:\n\nlate\n{LAST}",
    f"Negative prompt: only negative\n{LAST}",
    f"twice\nNegative prompt: a\nNegative prompt: b\n{LAST}",
    f"Negative prompt:no blank\n{LAST}",
    f"see Negative prompt: not at the start\n{LAST}",
    f"windows\r\nNegative prompt: ends\r\n{LAST}\r\n",
    f"tabs\t\n\tNegative prompt: \tx\t\n\t{LAST}\t",
    f"caf\u00e9 \U0001f3a8 \u732b\nNegative prompt: \u72ac\n{LAST}",
    f"\u3000wide blanks\u3000\n\u00a0narrow\u2009\n{LAST}",
    f"old (a:1.3) [b:c:0.5]\n{LAST}, Version: 1.5.1",
    f"after it\n{LAST}\n\n  ",
    f"{LAST}\nand more",
    # values
    LAST + ", Quoted: \"a, b: c\", Escaped: \"say \\\"hi\\\" \\\\ \\n end\", Letter: \"\\u00e9\\ud83c\\udfa8\"",
    LAST + ", Broken: \"no end, Next: 2",
    LAST + ", Tail: \"a\" b, Next: 2",
    LAST + ", Empty: , Next: 2",
    LAST + ", Last:",
    LAST + ", Bad escape: \"\\q\", Raw: \"ab\"cd\"",
    LAST + ", Spaces:   x  , Next: \" kept \"",
    LAST + ", Empty quotes: \"\", One quote: \", Two words/more-here_x: 1",
    LAST + ", Colon: a:b, C: short key, CD: 5",
    LAST + ", Sampler: again, Sampler: DDIM",
    LAST + ", Lora hashes: \"a: 1, b: 2\", Lora hashes: \"c: 3\"",
    LAST + ", Sizes: 12x34, Not: 12x, Nor: x34, Wide: 12x34x56",
    LAST + ", \u00dcberschrift: ja, \u732b\u732b: neko, \u00b2\u00b2: up",
    LAST + ", (bracket key): 1, a.b.cd: 2, -dash: 3, /slash/key: 4",
    LAST + ", Control: \"a\tb\", Json: {\"a\": 1}",
    "no size\nSteps: many, Sampler: Euler, CFG scale: high, Seed: -1, Size: large, Clip skip: 0",
    "zeros\nSteps: 020, Sampler: Euler, CFG scale: 1e1, Seed: 00, Size: 0512x0512, ENSD: 0",
    "limits\nSteps: 99999999999, Sampler: Euler, CFG scale: 1e99, Seed: 99999999999999999999, Size: 1x99999999999",
]

VALUES = ["", "plain", "two words", "a, b", "a: b", "line\nbreak", "quo\"te", "quo\"te, and", "back\\slash", "back\\slash: x",
          "tab\tx", "tab\t, x", "caf\u00e9, \U0001f3a8", "\x01,", "\x7f,", "DPM++ 2M"]


def load(webui):
    source = (pathlib.Path(webui) / "modules" / "infotext_utils.py").read_text()
    parts = ["import json, re\n"]
    parts += re.findall(r"^re_\w+ = .*\n|^re_param_code = .*\n", source, re.M)
    for name in ("quote", "unquote", "parse_generation_parameters"):
        parts.append(re.search(rf"^def {name}\(.*?(?=^\S)", source + "\nend", re.M | re.S).group(0))
    code = "".join(parts)
    # what the page adds after reading (styles, hypernetworks, defaults) is not the grammar
    code = re.sub(r"(?s)    if shared\.opts\.infotext_styles.*?(?=    res\[\"Prompt\"\])", "", code)
    code = re.sub(r"(?s)    # Missing CLIP skip.*\Z", "    return res\n", code)
    names = {}
    exec(code, names)
    return names["quote"], names["parse_generation_parameters"]


def main():
    quote, parse = load(sys.argv[1])
    cases = []
    for text in TEXTS:
        pairs = parse(text)
        cases.append({"text": text, "prompt": pairs.pop("Prompt"), "negative": pairs.pop("Negative prompt"), "pairs": pairs})
    golden = {
        "about": "made by make_infotext.py from A1111 1.10.1's reader, Python %d.%d" % sys.version_info[:2],
        "cases": cases,
        "quoted": [{"value": v, "text": str(quote(v))} for v in VALUES],
    }
    out = pathlib.Path(__file__).with_name("infotext.json")
    out.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(out, len(cases), "cases")


main()
