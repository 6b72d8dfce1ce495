"""A small network that says what is in a picture: the judge of what tinct paints.

    python recognise.py [--steps 3000] [--minutes M]        trains <train dir>/recogniser.pt, then measures it on held-out drawings
    python recognise.py picture.png ...                     what it sees in pictures

It learns from drawings alone, half of them through the VAE, since painted pictures come through its
decoder. A bar of 99 % (97 % for colour and pose) on drawings never seen makes it fit to judge.
"""
import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from common import HELD_OUT, Log, batches, launch, rate_at, save, train_dir
from latents import newest_vae, pictures
from optimiser import Optimiser
from people import PEOPLE, POSES
from places import PLACES
from scenes import COLOURS, SUBJECTS, TIMES, sample

SIDE = 128
CLASSES = {"subject": SUBJECTS + ["dark vador"], "colour": list(COLOURS), "pose": list(POSES), "place": list(PLACES), "time": TIMES, "style": ["", "arcane", "sketch"]}
BARS = {"subject": 0.99, "colour": 0.97, "pose": 0.97, "place": 0.99, "time": 0.99, "style": 0.99}
NOT_THERE = -100                        # a part that a scene has not, or that its style hides


def judged_scene(seed):
    rng = np.random.default_rng([seed, 51])
    style = ["", "arcane", "sketch"][rng.choice(3, p=[0.6, 0.2, 0.2])]
    subject = "dark vador" if rng.random() < 0.07 else SUBJECTS[rng.integers(len(SUBJECTS))]
    pose = {"pose": "dab"} if (subject in PEOPLE or subject == "dark vador") and rng.random() < 0.2 else {}
    return sample(seed, subject=subject, style=style, **pose)


def labels(scene):
    out = []
    for part, names in CLASSES.items():
        value = getattr(scene, part)
        hidden = part == "colour" and (scene.style or not scene.colour) or part == "pose" and not scene.pose
        out.append(NOT_THERE if hidden else names.index(value))
    return out


class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(c_in, c_out, 3, 2, 1), nn.BatchNorm2d(c_out)
        self.conv2, self.norm2 = nn.Conv2d(c_out, c_out, 3, 1, 1), nn.BatchNorm2d(c_out)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return x + F.relu(self.norm2(self.conv2(x)))


class Recogniser(nn.Module):
    """[n, 3, 128, 128] in -1..1 -> scores of each part, by name."""

    def __init__(self):
        super().__init__()
        widths = [3, 24, 48, 96, 128, 160]
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip(widths, widths[1:])))
        self.heads = nn.ModuleDict({part: nn.Linear(160 * 2, len(names)) for part, names in CLASSES.items()})

    def forward(self, x):
        h = self.blocks(x)
        h = torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1)
        return {part: head(h) for part, head in self.heads.items()}


def roughen(x, rng):
    """What painting does to a picture and a drawing lacks: blur, grain, shifts, small changes of light."""
    x = torch.roll(x, tuple(int(v) for v in rng.integers(-6, 7, 2)), (2, 3))
    if rng.random() < 0.5:
        small = int(rng.integers(72, 128))
        x = F.interpolate(F.interpolate(x, size=small, mode="bilinear", antialias=True), size=SIDE, mode="bilinear")
    x = x * rng.uniform(0.88, 1.10) + rng.uniform(-0.06, 0.06)
    return (x + rng.uniform(0, 0.10) * torch.randn_like(x)).clamp(-1, 1)


def stage(team, args):
    log, path = Log("recogniser"), train_dir() / "recogniser.pt"
    net = Recogniser().to(team.device).train()
    optimiser, first = Optimiser([(net.parameters(), 1.0)]), 0
    if path.exists():
        old = torch.load(path, map_location=team.device)
        net.load_state_dict(old["weights"])
        optimiser.load_state_dict(old["optimiser"])
        first = old["step"]
    if first >= args.steps:
        if team.rank == 0:
            log.say("recogniser: nothing to do: its steps are done")
        return
    vae, _, _ = newest_vae(team.device)
    count = 256 if team.device.type == "cuda" else 24

    def make(i):
        scenes = [judged_scene(i * count + j) for j in range(count)]
        return pictures(scenes, SIDE), torch.tensor([labels(s) for s in scenes])

    data, started = batches(team, make, first), time.time()
    step = first - 1
    for step in range(first, args.steps):
        x, y = (v.to(team.device) for v in next(data))
        rng = np.random.default_rng([step, 52])
        with torch.no_grad(), team.autocast():
            part = count // 4                   # a quarter through the VAE: half would double the time of a step
            x[:part] = vae.decode(vae.encode(x[:part])[0]).clamp(-1, 1).float()
        with team.autocast():
            scores = net(roughen(x, rng))
        # Labels are not smoothed: a smoothed net wants to be sure to a fixed degree, and no stronger colour makes it surer.
        loss = sum(F.cross_entropy(s.float(), y[:, i], ignore_index=NOT_THERE) for i, s in enumerate(scores.values()))
        loss.backward()
        team.average(list(net.parameters()))
        optimiser.step(rate_at(step, args.steps, 1e-3))
        if team.rank == 0:
            log.add(step, args.steps, loss=loss.detach())
            if step % 200 == 199:
                save(path, {"weights": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1})
        if step % 20 == 0 and team.together(time.time() - started > args.minutes * 60):
            break
    if team.rank == 0:
        save(path, {"weights": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1})
        log.say(f"recogniser: stopped at step {step + 1} of {args.steps}; held out: {measure(net, vae, team.device)}")


@torch.no_grad()
def measure(net, vae, device, count=1000):
    """Share right of each part on drawings never seen, whole and through the VAE."""
    net.eval()
    right, told = {p: 0 for p in CLASSES}, {p: 0 for p in CLASSES}
    for i in range(0, count, 20):
        scenes = [judged_scene(HELD_OUT + i + j) for j in range(20)]
        x = pictures(scenes, SIDE).to(device)
        x[:10] = vae.decode(vae.encode(x[:10])[0]).clamp(-1, 1)
        for part, scores, truth in zip(CLASSES, net(x).values(), torch.tensor([labels(s) for s in scenes]).T):
            there = truth != NOT_THERE
            right[part] += (scores.argmax(1).cpu()[there] == truth[there]).sum().item()
            told[part] += there.sum().item()
    return {p: round(right[p] / told[p], 4) for p in CLASSES}


class Judge:
    """read(picture) -> for each part a dictionary name -> logarithm of its probability: scores that still
    differ where probabilities are all but 1."""

    def __init__(self):
        self.net = Recogniser().eval()
        path = train_dir() / "recogniser.pt"
        if not path.exists():
            raise SystemExit(f"{path}: there is no recogniser yet; run python models/demo/recognise.py")
        self.net.load_state_dict(torch.load(path, map_location="cpu")["weights"])

    @torch.no_grad()
    def read(self, picture):
        from PIL import Image
        small = picture.convert("RGB").resize((SIDE, SIDE), Image.BOX)
        x = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 127.5 - 1
        return {part: dict(zip(CLASSES[part], scores.double().log_softmax(1)[0].tolist())) for part, scores in self.net(x).items()}


def best(scores):
    return max(scores, key=scores.get)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("pictures", nargs="*")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--minutes", type=float, default=1e9)
    a = p.parse_args()
    if not a.pictures:
        return launch(stage, a)
    from PIL import Image
    judge = Judge()
    for name in a.pictures:
        seen = judge.read(Image.open(name))
        print(f"{name}: " + ", ".join(f"{part} {best(s) or 'base'} {math.exp(max(s.values())):.2f}" for part, s in seen.items()))


if __name__ == "__main__":
    main()
