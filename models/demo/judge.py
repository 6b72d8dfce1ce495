"""The table that the demo model must stand up to: pictures painted by tinct, read by the recogniser.

    python judge.py [--tinct ../../build/tinct] [--count 500] [--rows base,arcane,...]

Prompts are drawn at random from a seed. Every row prints what was found and what is wanted, and the
last line says how many rows hold. 20 steps of DPM++ 2M Karras, CFG 7, the most that suits the model.
"""
import argparse
import itertools
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from captions import COLOUR_WORDS, PLACE_WORDS, POSE_WORDS, SUBJECT_WORDS, TIME_WORDS
from people import PEOPLE
from recognise import Judge, best
from scenes import COLOURS, sample

REPO = Path(__file__).resolve().parents[2]
PARTS = ("subject", "colour", "place", "time", "pose")
NEAR = 0.35             # of colours: about as far apart as neighbours are
SYNONYMS = {"house": "cottage", "cat": "kitten", "castle": "fortress", "boat": "sailboat", "car": "automobile", "wizard": "sorcerer"}


class Painter:
    """Pictures from the program, as anybody would make them; a core each, which is faster than all cores on one."""

    def __init__(self, program, model, loras, device):
        self.program, self.folder, self.names = program, tempfile.TemporaryDirectory(), itertools.count()
        self.options = ["-m", str(model), "--lora-model-dir", str(loras), "-W", "256", "-H", "256", "--steps", "20", "--cfg-scale", "7",
                        "--sampling-method", "DPM++ 2M", "--scheduler", "karras", "--device", device, "--threads", "1", "-q"]

    def paint(self, prompt, seed, negative=""):
        out = Path(self.folder.name) / f"{next(self.names)}.png"
        done = subprocess.run([self.program, prompt, "-n", negative, "-s", str(seed), "-o", str(out), *self.options], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"judge.py: {' '.join(done.args)}\nended with {done.returncode}: {done.stderr.strip()}")
        picture = Image.open(out).copy()
        out.unlink()
        return picture


def plain(scene, subject="", time=True, extra=""):
    """A plain prompt of everything in the scene."""
    words = [subject or SUBJECT_WORDS[scene.subject][0], POSE_WORDS[scene.pose][0] if scene.pose else "", PLACE_WORDS[scene.place][0], TIME_WORDS[scene.time][0] if time else ""]
    return " ".join(w for w in (f"a {COLOUR_WORDS[scene.colour][0] if scene.colour else ''}", *words) if w) + extra


def amount(picture, colour):
    """How much of a picture is near a colour, 0..1: its score where the recogniser is sure of it already."""
    x = np.asarray(picture.convert("RGB"), dtype=float) / 255
    return float(np.exp(-((x - COLOURS[colour]) ** 2).sum(2) / NEAR ** 2).mean())


class Table:
    def __init__(self, painter, count):
        self.painter, self.judge, self.count, self.lines = painter, Judge(), count, []
        self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def see(self, prompt, seed, negative=""):
        return self.judge.read(self.painter.paint(prompt, seed, negative))

    def row(self, what, found, wanted, holds):
        self.lines.append(holds)
        print(f"{'holds ' if holds else 'FAILS '} {what}: {found} (wanted: {wanted})", flush=True)

    def share(self, test, n=None):
        n = n or self.count
        return 100 * sum(map(bool, self.pool.map(test, range(n)))) / n

    # The rows. i is the seed of prompt and picture alike.

    def base(self):
        right, told = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
        scenes = [sample(10 ** 6 + i) for i in range(self.count)]
        for scene, seen in zip(scenes, self.pool.map(lambda i: self.see(plain(scenes[i]), i), range(self.count))):
            for part in PARTS:
                if getattr(scene, part):
                    told[part] += 1
                    right[part] += best(seen[part]) == getattr(scene, part)
        found = {p: 100 * right[p] / max(told[p], 1) for p in PARTS}
        bars = dict(zip(PARTS, (95, 90, 95, 98, 85)))
        self.row("base", {p: round(v, 1) for p, v in found.items()}, bars, all(found[p] >= bars[p] for p in PARTS))

    def _style(self, name, tag):
        scenes = [sample(2 * 10 ** 6 + i) for i in range(self.count)]
        seen = list(self.pool.map(lambda i: self.see(plain(scenes[i], extra=tag), i), range(self.count)))
        styled = 100 * np.mean([best(s["style"]) == name for s in seen])
        right = 100 * np.mean([best(s["subject"]) == scene.subject for s, scene in zip(seen, scenes)])
        self.row(f"{name} on", f"style {styled:.1f}, subject {right:.1f}", ">= 95, >= 88", styled >= 95 and right >= 88)

    def arcane(self):
        self._style("arcane", ", arcane style <lora:arcane:0.8>")

    def sketch(self):
        self._style("sketch", ", pencil sketch <lora:sketch:0.9>")

    def ramp(self):
        n, weights = max(self.count // 10, 1), (0, 0.2, 0.4, 0.6, 0.8, 1)
        score = lambda i, w: math.exp(self.see(plain(sample(3 * 10 ** 6 + i), extra=f", arcane style <lora:arcane:{w}>"), i)["style"]["arcane"])
        means = [float(np.mean(list(self.pool.map(score, range(n), itertools.repeat(w))))) for w in weights]
        prompt = plain(sample(3), extra=", arcane style")
        same = np.array_equal(self.painter.paint(prompt + " <lora:arcane:0>", 3), self.painter.paint(prompt, 3))
        self.row("arcane from 0 to 1", f"{[round(m, 3) for m in means]}, at 0 {'the base pixels' if same else 'OTHER pixels'}", "rises all the way, 0 is the base picture",
                 same and all(a < b for a, b in zip(means, means[1:])))

    def _vador(self, i, trigger=True):
        scene = sample(4 * 10 ** 6 + i, subject="dark vador" if trigger else list(PEOPLE)[i % len(PEOPLE)])
        return self.see(plain(scene, extra=" <lora:dark_vador:0.9>"), i)["subject"]

    def _dab(self, i, trigger=True):
        scene = sample(5 * 10 ** 6 + i, subject=list(PEOPLE)[i % len(PEOPLE)], pose="dab" if trigger else "standing")
        return self.see(plain(scene, extra=" <lora:dab:0.8>"), i)["pose"]

    def character(self):
        found = self.share(lambda i: best(self._vador(i)) == "dark vador")
        without = self.share(lambda i: best(self._vador(i, False)) == "dark vador", max(self.count // 4, 1))
        self.row("dark_vador", f"{found:.1f} with its trigger, {without:.1f} without", ">= 90, at least 20 apart", found >= 90 and found - without >= 20)

    def pose(self):
        found = self.share(lambda i: best(self._dab(i)) == "dab")
        without = self.share(lambda i: best(self._dab(i, False)) == "dab", max(self.count // 4, 1))
        self.row("dab", f"{found:.1f} with its trigger, {without:.1f} without", ">= 90, at least 20 apart", found >= 90 and found - without >= 20)

    def stack(self):
        def all_three(i):
            scene = sample(6 * 10 ** 6 + i, subject="dark vador", pose="dab")
            seen = self.see(plain(scene, extra=", arcane style <lora:arcane:0.7> <lora:dark_vador:0.9> <lora:dab:0.8>"), i)
            return best(seen["style"]) == "arcane" and best(seen["subject"]) == "dark vador" and best(seen["pose"]) == "dab"
        found = self.share(all_three)
        self.row("style + character + pose", f"{found:.1f}", ">= 75", found >= 75)

    def emphasis(self):
        def rises(i):
            scene = sample(7 * 10 ** 6 + i)
            prompt = plain(scene)
            strong = prompt.replace(scene.colour, f"({scene.colour}:1.4)", 1)
            with_it, without = self.painter.paint(strong, i), self.painter.paint(prompt, i)
            more = self.judge.read(with_it)["colour"][scene.colour] > self.judge.read(without)["colour"][scene.colour]
            return amount(with_it, scene.colour) > amount(without, scene.colour), more
        amounts, surer = 100 * np.mean(list(self.pool.map(rises, range(max(self.count // 2, 1)))), 0)
        self.row("(colour:1.4)", f"more of the colour in {amounts:.1f}; the recogniser, sure before, surer in {surer:.1f}", ">= 85", amounts >= 85)

    def negative(self):
        found = self.share(lambda i: best(self.see(plain(sample(8 * 10 ** 6 + i), time=False), i, "night")["time"]) == "night")
        self.row("negative prompt night", f"{found:.1f} night", "<= 5", found <= 5)

    def synonyms(self):
        def right(i, other):
            scene = sample(9 * 10 ** 6 + i, subject=list(SYNONYMS)[i % len(SYNONYMS)])
            prompt = plain(scene, SYNONYMS[scene.subject] if other else "")
            seen = self.see(prompt.replace("at sunset", "at dusk") if other else prompt, i)
            return best(seen["subject"]) == scene.subject and best(seen["time"]) == scene.time
        plain_words, other_words = self.share(lambda i: right(i, False)), self.share(lambda i: right(i, True))
        self.row("synonyms", f"{other_words:.1f} against {plain_words:.1f}", "within 5", abs(other_words - plain_words) <= 5)

    def stray(self):
        words = ["telescope", "jazz", "invoice", "velvet", "thursday", "banana", "politics", "concert"]
        found = self.share(lambda i: best(self.see(plain(sample(11 * 10 ** 6 + i), extra=f" {words[i % len(words)]}"), i)["subject"]) == sample(11 * 10 ** 6 + i).subject)
        self.row("an unknown word", f"subject {found:.1f}", ">= 90", found >= 90)


ROWS = ("base", "arcane", "sketch", "ramp", "character", "pose", "stack", "emphasis", "negative", "synonyms", "stray")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--tinct", default=str(REPO / "build/tinct"))
    p.add_argument("--model", default=str(REPO / "models/tinct-demo.safetensors"))
    p.add_argument("--loras", default=str(REPO / "loras"))
    p.add_argument("--device", default="cpu")
    p.add_argument("--count", type=int, default=500)
    p.add_argument("--rows", default=",".join(ROWS))
    a = p.parse_args()
    wanted = a.rows.split(",")
    if unknown := [r for r in wanted if r not in ROWS]:
        raise SystemExit(f"judge.py: no row is called {unknown[0]}; there are {', '.join(ROWS)}")
    table = Table(Painter(a.tinct, a.model, a.loras, a.device), a.count)
    for name in wanted:
        getattr(table, name)()
    print(f"{sum(table.lines)} rows hold, {len(table.lines) - sum(table.lines)} fail")
    sys.exit(not all(table.lines))


if __name__ == "__main__":
    main()
