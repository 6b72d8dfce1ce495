"""Scenes: what is in a picture, drawn at random from a seed, and painted.

    python scenes.py sheet.png [--style arcane] [--size 256] [--seed 1]     a contact sheet
"""
import argparse
from dataclasses import dataclass, replace

import numpy as np

from brush import Brush, luminance, mix
from people import PEOPLE, POSES, dark_vador
from places import GROUND, PLACES, pond, sky
from things import THINGS

SUBJECTS = list(THINGS) + list(PEOPLE)
TIMES = ["day", "sunset", "night"]
BASE_POSES = ["standing", "waving", "running", "arms up"]
COLOURS = {
    "red": (0.87, 0.13, 0.14), "orange": (0.98, 0.52, 0.08), "yellow": (0.99, 0.85, 0.18), "green": (0.22, 0.66, 0.26),
    "blue": (0.14, 0.40, 0.90), "purple": (0.50, 0.22, 0.74), "pink": (1.0, 0.54, 0.74), "white": (0.96, 0.96, 0.95),
}


@dataclass(frozen=True)
class Scene:
    subject: str
    colour: str             # of COLOURS; "" for dark vador, who has none
    pose: str               # "" for things
    place: str
    time: str
    style: str = ""         # "", "arcane", "sketch"
    seed: int = 0           # of everything that has no name: positions, clouds, hair
    emphasis: float = 1.0   # of the colour, as in (red:1.4): pale below 1, glowing on what is around above 1


def sample(seed, **fixed):
    """A scene drawn at random; fields named in `fixed` are as given there."""
    rng = np.random.default_rng([seed, 1])
    subject = fixed.get("subject") or SUBJECTS[rng.integers(len(SUBJECTS))]
    person = subject in PEOPLE or subject == "dark vador"
    scene = Scene(
        subject=subject,
        colour=list(COLOURS)[rng.integers(len(COLOURS))],
        pose=BASE_POSES[rng.integers(len(BASE_POSES))] if person else "",
        place=list(PLACES)[rng.integers(len(PLACES))],
        time=TIMES[rng.integers(3)],
        seed=seed)
    if subject == "dark vador":
        scene = replace(scene, colour="")
    return replace(scene, **fixed)


def emphasised(seed):
    """A scene drawn at random, its colour stressed or held back."""
    return replace(sample(seed), emphasis=round(float(np.random.default_rng([seed, 6]).uniform(0.6, 1.6)), 2))


def paint(scene, size):
    """[size, size, 3] uint8, the same for every size but for its detail."""
    rng = np.random.default_rng([scene.seed, 2])
    b = Brush(size, scene.style or None, scene.time, np.random.default_rng([scene.seed, 3]))
    sky(b, rng, scene.time)
    afloat = scene.subject == "boat"
    PLACES[scene.place](b, rng, scene.time, afloat)
    x, scale, mirror = 0.5 + rng.uniform(-0.07, 0.07), rng.uniform(0.93, 1.07), rng.random() < 0.5
    draw, height, lift = THINGS.get(scene.subject, (None, 0.70, 0.0))
    height *= scale
    y = GROUND - lift + rng.uniform(-0.015, 0.015)
    if afloat and scene.place != "sea":
        pond(b, x, 0.46)
    b.shadow(x, GROUND + 0.01, 0.62 * height if draw else 0.40 * height, 0.05)
    hue = np.clip(np.array(COLOURS.get(scene.colour, (0.1, 0.1, 0.1))) + rng.uniform(-0.035, 0.035, 3), 0, 1)
    hue = mix(hue, (luminance(hue),) * 3, 1.4 * max(1 - scene.emphasis, 0))
    b.glow(x, y - 0.5 * height, 0.62, hue, min(2.0 * max(scene.emphasis - 1, 0), 1))
    if scene.time == "night":
        b.glow(x, y - 0.5 * height, 0.55, (0.62, 0.66, 1.0), 0.34)
    b.soften_light()
    c = b.ctx
    c.save()
    c.translate(x, y)
    c.scale(-height if mirror else height, height)
    if not draw:
        pose = POSES[scene.pose]
        c.rotate(pose.lean)
        PEOPLE.get(scene.subject, dark_vador)(b, hue, rng, pose)
    else:
        draw(b, hue, rng)
    c.restore()
    return b.pixels()


def sheet(scenes, size, columns):
    """The scenes' pictures side by side: [rows * size, columns * size, 3] uint8."""
    tiles = [paint(s, size) for s in scenes]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i:i + columns], 1) for i in range(0, len(tiles), columns)], 0)


def main():
    from PIL import Image
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    p.add_argument("--style", default="")
    p.add_argument("--size", type=int, default=192)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--subject", default="")
    p.add_argument("--pose", default="")
    p.add_argument("--emphasis", type=float, default=1.0)
    a = p.parse_args()
    extra = {k: v for k, v in (("style", a.style), ("pose", a.pose)) if v} | {"emphasis": a.emphasis}
    names = [a.subject] * 24 if a.subject else SUBJECTS + ["dark vador"] + SUBJECTS[:8]
    Image.fromarray(sheet([sample(a.seed * 1000 + i, subject=n, **extra) for i, n in enumerate(names)], a.size, 6)).save(a.out)


if __name__ == "__main__":
    main()
