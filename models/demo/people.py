"""People, on one skeleton: girl, boy, knight, wizard, robot, and the caped `dark vador`.

Their frame is that of things.py: feet at the origin, height about 1. Heads are large, as in
picture books, so that faces outlive the VAE. A pose is where elbows and hands, knees and feet are.
"""
from dataclasses import dataclass

from brush import darker, lighter

SKIN = [(1.0, 0.84, 0.70), (0.93, 0.70, 0.52), (0.66, 0.44, 0.30), (0.47, 0.30, 0.21)]
HAIR = [(0.30, 0.19, 0.13), (0.16, 0.12, 0.13), (0.86, 0.62, 0.28), (0.62, 0.28, 0.13)]
SHOULDER, HIP, HEAD = -0.50, -0.24, -0.75
R = 0.205                       # radius of the head


@dataclass(frozen=True)
class Pose:
    left: tuple                 # elbow, hand of the arm at negative x
    right: tuple
    legs: tuple                 # (knee, foot) left, (knee, foot) right
    lean: float = 0.0           # turn of the whole body, radians
    bow: tuple = (0.0, 0.0)     # where the head goes
    face: bool = True           # seen, not behind an arm


STAND = (((-0.085, -0.12), (-0.095, 0.0)), ((0.085, -0.12), (0.095, 0.0)))
DOWN_LEFT, DOWN_RIGHT = ((-0.24, -0.38), (-0.27, -0.23)), ((0.24, -0.38), (0.27, -0.23))
POSES = {
    "standing": Pose(DOWN_LEFT, DOWN_RIGHT, STAND),
    "waving": Pose(DOWN_LEFT, ((0.33, -0.50), (0.38, -0.82)), STAND),
    "running": Pose(((-0.26, -0.34), (-0.38, -0.46)), ((0.28, -0.36), (0.40, -0.30)), (((-0.10, -0.13), (-0.36, -0.12)), ((0.20, -0.16), (0.30, -0.01))), 0.16),
    "arms up": Pose(((-0.30, -0.60), (-0.37, -0.97)), ((0.30, -0.60), (0.37, -0.97)), STAND),
    "dab": Pose(((-0.26, -0.60), (0.10, -0.72)), ((0.32, -0.66), (0.54, -0.93)), (((-0.11, -0.12), (-0.15, 0.0)), ((0.09, -0.12), (0.13, 0.0))), -0.10, (-0.06, 0.05), False),
}


def legs(b, pose, colour, width=0.10, shoe=(0.30, 0.20, 0.18)):
    for x, (knee, foot) in zip((-0.075, 0.075), pose.legs):
        b.limb([(x, HIP), knee, foot], width).stroke(colour)
        b.oval(foot[0] + 0.02, foot[1] - 0.02, 0.075, 0.045).fill(shoe)


def arm(b, side, joints, sleeve, hand, width=0.088):
    elbow, end = joints
    b.limb([(side * 0.12, SHOULDER + 0.04), elbow, end], width).stroke(sleeve)
    b.oval(*end, 0.054).fill(hand)


def arms(b, pose, sleeve, hand, width=0.088, only=None):
    for side, joints in ((-1, pose.left), (1, pose.right)):
        if only in (None, side):
            arm(b, side, joints, sleeve, hand, width)


def eyes(b, x, y, gap=0.085, size=0.040):
    for s in (-1, 1):
        b.oval(x + s * gap, y, size, size * 1.25).fill((0.12, 0.09, 0.12), raw=True, edge=False)
        b.oval(x + s * gap + 0.013, y - 0.018, 0.014).fill((1, 1, 1), raw=True, edge=False)


def face(b, x, y, skin):
    b.oval(x, y, R, R * 0.96).fill(lighter(skin, 0.10), skin)
    eyes(b, x, y + 0.03)
    for s in (-1, 1):
        b.oval(x + s * 0.135, y + 0.095, 0.040, 0.028).fill((0.98, 0.52, 0.48), (0.98, 0.55, 0.50), edge=False)
    b.limb([(x - 0.045, y + 0.105), (x, y + 0.135), (x + 0.045, y + 0.105)], 0.034).stroke((0.70, 0.22, 0.22))


def girl(b, c, rng, pose):
    skin, hair = SKIN[rng.integers(4)], HAIR[rng.integers(4)]
    x, y = pose.bow[0], HEAD + pose.bow[1]
    b.blob((x, y - 0.25), (x + 0.25, y - 0.10), (x + 0.29, y + 0.30), (x + 0.10, y + 0.34), (x - 0.10, y + 0.34), (x - 0.29, y + 0.30), (x - 0.25, y - 0.10)).fill(hair)
    legs(b, pose, skin)
    b.blob((-0.10, -0.56), (0.10, -0.56), (0.20, -0.32), (0.30, -0.12), (0.0, -0.09), (-0.30, -0.12), (-0.20, -0.32)).fill(lighter(c, 0.06), c)
    if pose.face:
        arms(b, pose, lighter(c, 0.10), skin)
    else:
        arm(b, 1, pose.right, lighter(c, 0.10), skin)
    face(b, x, y, skin)
    b.blob((x - 0.225, y + 0.01), (x - 0.20, y - 0.15), (x, y - 0.245), (x + 0.20, y - 0.15), (x + 0.225, y + 0.01), (x + 0.13, y - 0.08), (x - 0.04, y - 0.10), (x - 0.15, y - 0.06)).fill(hair)
    b.oval(x + 0.15, y - 0.20, 0.06).fill(c)
    if not pose.face:
        arm(b, -1, pose.left, lighter(c, 0.10), skin)


def boy(b, c, rng, pose):
    skin, hair = SKIN[rng.integers(4)], HAIR[rng.integers(4)]
    x, y = pose.bow[0], HEAD + pose.bow[1]
    legs(b, pose, (0.28, 0.34, 0.50), 0.115)
    b.box(-0.155, -0.57, 0.31, 0.35, 0.08).fill(lighter(c, 0.06), c)
    if pose.face:
        arms(b, pose, lighter(c, 0.08), skin)
    else:
        arm(b, 1, pose.right, lighter(c, 0.08), skin)
    face(b, x, y, skin)
    b.blob((x - 0.225, y - 0.02), (x - 0.19, y - 0.18), (x - 0.02, y - 0.26), (x + 0.18, y - 0.20), (x + 0.225, y - 0.02), (x + 0.10, y - 0.12), (x, y - 0.08), (x - 0.12, y - 0.12)).fill(hair)
    if not pose.face:
        arm(b, -1, pose.left, lighter(c, 0.08), skin)


def knight(b, c, rng, pose):
    steel = (0.70, 0.74, 0.80)
    x, y = pose.bow[0], HEAD + pose.bow[1]
    legs(b, pose, darker(steel, 0.15), 0.115, darker(steel, 0.35))
    b.box(-0.165, -0.57, 0.33, 0.36, 0.06).fill(lighter(c, 0.06), c)
    b.box(-0.045, -0.54, 0.09, 0.26).fill((0.98, 0.96, 0.90), edge=False)
    b.box(-0.11, -0.46, 0.22, 0.075).fill((0.98, 0.96, 0.90), edge=False)
    if pose.face:
        arms(b, pose, steel, darker(steel, 0.25), 0.10)
    else:
        arm(b, 1, pose.right, steel, darker(steel, 0.25), 0.10)
    b.blob((x + 0.02, y - 0.19), (x + 0.0, y - 0.31), (x - 0.16, y - 0.33), (x - 0.32, y - 0.20), (x - 0.30, y - 0.04), (x - 0.18, y - 0.17)).fill(c)
    b.box(x - 0.20, y - 0.22, 0.40, 0.41, 0.14).fill(lighter(steel, 0.30), darker(steel, 0.10))
    b.box(x - 0.17, y - 0.055, 0.34, 0.085, 0.03).fill((0.10, 0.10, 0.16), (0.08, 0.07, 0.12))
    b.box(x - 0.025, y - 0.055, 0.05, 0.22).fill(darker(steel, 0.20), edge=False)
    if not pose.face:
        arm(b, -1, pose.left, steel, darker(steel, 0.25), 0.10)


def wizard(b, c, rng, pose):
    skin = SKIN[rng.integers(4)]
    x, y = pose.bow[0], HEAD + 0.05 + pose.bow[1]
    legs(b, pose, darker(c, 0.3), 0.10)
    b.blob((-0.12, -0.56), (0.12, -0.56), (0.21, -0.30), (0.26, -0.05), (0.0, -0.03), (-0.26, -0.05), (-0.21, -0.30)).fill(lighter(c, 0.06), c)
    if pose.face:
        arms(b, pose, darker(c, 0.10), skin, 0.11)
    else:
        arm(b, 1, pose.right, darker(c, 0.10), skin, 0.11)
    b.oval(x, y, R * 0.9).fill(lighter(skin, 0.08), skin)
    b.blob((x - 0.19, y + 0.03), (x, y + 0.08), (x + 0.19, y + 0.03), (x + 0.15, y + 0.24), (x, y + 0.42), (x - 0.15, y + 0.24)).fill((0.98, 0.97, 0.95), (0.86, 0.86, 0.92))
    eyes(b, x, y - 0.01, 0.075, 0.034)
    b.oval(x, y + 0.065, 0.038, 0.032).fill(darker(skin, 0.12), edge=False)
    b.poly((x - 0.20, y - 0.11), (x + 0.05, y - 0.56), (x + 0.20, y - 0.11)).fill(lighter(c, 0.10), c)
    b.oval(x, y - 0.11, 0.30, 0.06).fill(darker(c, 0.12))
    b.oval(x + 0.02, y - 0.26, 0.042).fill((1.0, 0.88, 0.38), raw=True, edge=False)
    if not pose.face:
        arm(b, -1, pose.left, darker(c, 0.10), skin, 0.11)


def robot(b, c, rng, pose):
    metal = (0.60, 0.64, 0.70)
    x, y = pose.bow[0], HEAD + pose.bow[1]
    for s, (knee, foot) in zip((-1, 1), pose.legs):
        b.limb([(s * 0.09, HIP), knee, foot], 0.085).stroke(metal)
        b.box(foot[0] - 0.085, foot[1] - 0.06, 0.17, 0.075, 0.025).fill(darker(c, 0.2))
    b.box(-0.20, -0.54, 0.40, 0.36, 0.05).fill(c, darker(c, 0.25))
    b.oval(0, -0.36, 0.068).fill((1.0, 0.90, 0.45), (1.0, 0.72, 0.25), raw=True)
    if pose.face:
        arms(b, pose, metal, darker(c, 0.15), 0.075)
    else:
        arm(b, 1, pose.right, metal, darker(c, 0.15), 0.075)
    b.limb([(x, y - 0.15), (x, y - 0.26)], 0.03).stroke(metal)
    b.oval(x, y - 0.27, 0.048).fill((1.0, 0.42, 0.32), raw=True)
    b.box(x - 0.23, y - 0.19, 0.46, 0.37, 0.07).fill(lighter(c, 0.12), c)
    b.box(x - 0.17, y - 0.11, 0.34, 0.20, 0.05).fill((0.14, 0.18, 0.27), (0.10, 0.13, 0.22))
    for s in (-1, 1):
        b.oval(x + s * 0.085, y - 0.01, 0.052).fill((0.62, 1.0, 0.95), (0.30, 0.86, 0.92), raw=True, edge=False)
    if not pose.face:
        arm(b, -1, pose.left, metal, darker(c, 0.15), 0.075)


def dark_vador(b, c, rng, pose):
    black, sheen = (0.07, 0.07, 0.09), (0.20, 0.20, 0.25)
    x, y = pose.bow[0], HEAD + pose.bow[1]
    b.blob((-0.16, -0.58), (0.16, -0.58), (0.30, -0.28), (0.38, -0.01), (0.0, -0.05), (-0.38, -0.01), (-0.30, -0.28)).fill((0.13, 0.12, 0.17), black)
    legs(b, pose, black, 0.12, black)
    b.box(-0.17, -0.57, 0.34, 0.36, 0.06).fill(sheen, black)
    b.box(-0.075, -0.46, 0.15, 0.085, 0.01).fill((0.55, 0.56, 0.62), raw=True)
    hand = pose.right[1]
    reach = min(0.48, hand[1] + 1.14)
    tip = (hand[0] + 0.45 * (0.62 - reach), hand[1] - reach) if reach > 0.30 else (hand[0] - 0.42, hand[1] - 0.14)
    b.glow((hand[0] + tip[0]) / 2, (hand[1] + tip[1]) / 2, 0.36, (1.0, 0.12, 0.12), 0.75)
    b.limb([hand, tip], 0.092).stroke((0.98, 0.10, 0.12), raw=True)
    b.limb([hand, tip], 0.036).stroke((1.0, 0.78, 0.74), raw=True)
    arm(b, 1, pose.right, black, sheen, 0.10)
    if pose.face:
        arm(b, -1, pose.left, black, sheen, 0.10)
    b.blob((x, y - 0.25), (x + 0.20, y - 0.12), (x + 0.25, y + 0.12), (x + 0.31, y + 0.24), (x, y + 0.20), (x - 0.31, y + 0.24), (x - 0.25, y + 0.12), (x - 0.20, y - 0.12)).fill((0.30, 0.30, 0.36), black)
    b.poly((x - 0.12, y + 0.03), (x + 0.12, y + 0.03), (x + 0.10, y + 0.19), (x - 0.10, y + 0.19)).fill((0.42, 0.42, 0.48), (0.22, 0.22, 0.27))
    for s in (-1, 1):
        b.oval(x + s * 0.09, y - 0.015, 0.068, 0.048).fill((0.50, 0.06, 0.08), (0.28, 0.03, 0.05), raw=True)
    if not pose.face:
        arm(b, -1, pose.left, black, sheen, 0.10)


PEOPLE = {"girl": girl, "boy": boy, "knight": knight, "wizard": wizard, "robot": robot}
