"""Skies and places: everything behind and under a subject.

Each place is a function of (brush, rng, time, boat): it paints from the horizon down, over
a painted sky. HORIZON is where the ground begins, GROUND where subjects stand.
"""
import math

from brush import darker, lighter, mix

HORIZON = 0.60
GROUND = 0.88

SKY = {
    "day": [(0.0, (0.27, 0.60, 0.95)), (0.45, (0.60, 0.84, 0.99)), (0.75, (0.93, 0.97, 0.97))],
    "sunset": [(0.0, (0.36, 0.20, 0.52)), (0.28, (0.80, 0.32, 0.48)), (0.48, (0.99, 0.56, 0.30)), (0.68, (1.0, 0.84, 0.48))],
    "night": [(0.0, (0.04, 0.05, 0.18)), (0.40, (0.09, 0.13, 0.36)), (0.75, (0.25, 0.26, 0.52))],
}


def sky(b, rng, time):
    """The sky with its light (sun, low sun, moon and stars), and clouds."""
    if b.style == "sketch":
        b.box(-0.1, -0.1, 1.2, 1.2).fill({"day": (0.97,) * 3, "sunset": (0.74,) * 3, "night": (0.22,) * 3}[time], raw=True, edge=False)
    else:
        b.backdrop(SKY[time])
    side = rng.choice([-1, 1])
    x = 0.5 + side * rng.uniform(0.27, 0.38)
    if time == "night":
        for _ in range(rng.integers(7, 13)):
            star(b, rng.random(), rng.uniform(0.02, 0.50), rng.uniform(0.017, 0.027))
        moon(b, x, rng.uniform(0.12, 0.22), rng.uniform(0.070, 0.095))
    elif time == "sunset":
        y = rng.uniform(0.40, 0.52)
        b.glow(x, y, 0.50, (1.0, 0.85, 0.45), 0.9)
        b.oval(x, y, 0.088).fill((1.0, 0.97, 0.70), (1.0, 0.78, 0.36), raw=True)
    else:
        y = rng.uniform(0.12, 0.22)
        b.glow(x, y, 0.30, (1.0, 0.97, 0.75), 0.9)
        b.oval(x, y, 0.075).fill((1.0, 0.95, 0.60), (1.0, 0.86, 0.36), raw=True)
    tint = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.66, 0.58), "night": (0.26, 0.29, 0.52)}[time]
    for _ in range(rng.integers(1, 4)):
        cloud(b, rng.random(), rng.uniform(0.08, 0.38), rng.uniform(0.05, 0.075), tint)


def star(b, x, y, r):
    b.glow(x, y, r * 2.2, (1.0, 0.96, 0.75), 0.6)
    b.oval(x, y, r * 0.55).fill((1.0, 0.98, 0.85), raw=True, edge=False)


def moon(b, x, y, r):
    b.glow(x, y, r * 3.6, (0.75, 0.82, 1.0), 0.8)
    b.oval(x, y, r).fill((1.0, 0.99, 0.90), (0.90, 0.92, 0.97), raw=True)
    b.oval(x + r * 0.30, y + r * 0.25, r * 0.30).fill((0.86, 0.87, 0.88), raw=True, edge=False)


def cloud(b, x, y, r, tint):
    b.ovals((x - 1.5 * r, y + 0.25 * r, 0.75 * r), (x - 0.5 * r, y - 0.3 * r, r), (x + 0.7 * r, y - 0.05 * r, 0.9 * r),
            (x + 1.7 * r, y + 0.3 * r, 0.65 * r), (x, y + 0.3 * r, 0.8 * r)).fill(tint, darker(tint, 0.18), raw=True, edge=False)


def hill(b, y, height, phase, waves, colour, low=None):
    """A band of rolling ground from about y to the bottom of the picture."""
    c = b.ctx
    c.new_path()
    c.move_to(-0.05, 1.05)
    for i in range(23):
        t = -0.05 + 1.1 * i / 22
        c.line_to(t, y + height * math.sin(waves * t * 2 * math.pi + phase))
    c.line_to(1.05, 1.05)
    c.close_path()
    b.fill(colour, low)


def meadow(b, rng, time, boat):
    hill(b, HORIZON - 0.04, 0.035, rng.uniform(0, 6), 1.0, (0.55, 0.78, 0.42), (0.40, 0.66, 0.32))
    hill(b, HORIZON + 0.05, 0.025, rng.uniform(0, 6), 0.8, (0.42, 0.74, 0.28), (0.22, 0.52, 0.20))
    for _ in range(rng.integers(8, 13)):
        x, y = rng.random(), rng.uniform(HORIZON + 0.12, 0.97)
        r = 0.014 + 0.018 * (y - HORIZON) / 0.4
        petal = [(1.0, 0.95, 0.95), (1.0, 0.86, 0.30), (0.98, 0.55, 0.65)][rng.integers(3)]
        b.oval(x, y, r).fill(petal, edge=False)
        b.oval(x, y, r * 0.4).fill((0.98, 0.72, 0.16), edge=False)


def desert(b, rng, time, boat):
    hill(b, HORIZON - 0.05, 0.06, rng.uniform(0, 6), 0.9, (0.95, 0.74, 0.44), (0.85, 0.58, 0.32))
    hill(b, HORIZON + 0.07, 0.04, rng.uniform(0, 6), 0.7, (0.99, 0.83, 0.52), (0.90, 0.66, 0.36))
    for x in ([0.10], [0.90], [0.08, 0.92])[rng.integers(3)]:
        cactus(b, x + rng.uniform(-0.03, 0.03), HORIZON + rng.uniform(0.08, 0.14), rng.uniform(0.24, 0.32))


def cactus(b, x, y, h):
    green, w = (0.26, 0.56, 0.30), h * 0.20
    b.limb([(x - 0.28 * h, y - 0.68 * h), (x - 0.28 * h, y - 0.42 * h), (x, y - 0.38 * h)], w * 0.72).stroke(green)
    b.limb([(x + 0.28 * h, y - 0.80 * h), (x + 0.28 * h, y - 0.55 * h), (x, y - 0.50 * h)], w * 0.72).stroke(green)
    b.limb([(x, y), (x, y - h)], w).stroke(lighter(green, 0.08))


def snow(b, rng, time, boat):
    hill(b, HORIZON - 0.05, 0.04, rng.uniform(0, 6), 1.0, (0.86, 0.92, 0.99), (0.74, 0.84, 0.96))
    for x in (rng.uniform(0.02, 0.12), rng.uniform(0.17, 0.26), rng.uniform(0.76, 0.84), rng.uniform(0.89, 0.98)):
        fir(b, x, HORIZON + rng.uniform(0.03, 0.08), rng.uniform(0.24, 0.34), (0.20, 0.44, 0.42), snowy=True)
    hill(b, HORIZON + 0.07, 0.022, rng.uniform(0, 6), 0.8, (0.98, 0.99, 1.0), (0.80, 0.87, 0.98))
    for _ in range(rng.integers(10, 16)):
        b.oval(rng.random(), rng.uniform(0.05, 0.95), rng.uniform(0.010, 0.017)).fill((1.0, 1.0, 1.0), edge=False)


def fir(b, x, y, h, colour, snowy=False):
    b.box(x - 0.045 * h, y - 0.12 * h, 0.09 * h, 0.14 * h).fill((0.40, 0.26, 0.18))
    for i in range(3):
        top, w = y - h + 0.24 * h * i, (0.20 + 0.075 * i) * h
        b.poly((x, top), (x + w, top + 0.42 * h), (x - w, top + 0.42 * h)).fill(colour)
        if snowy:
            b.poly((x, top), (x + 0.45 * w, top + 0.19 * h), (x - 0.45 * w, top + 0.19 * h)).fill((0.97, 0.98, 1.0), (0.90, 0.94, 1.0), edge=False)


def sea(b, rng, time, boat):
    water = {"day": (0.16, 0.58, 0.80), "sunset": (0.42, 0.40, 0.66), "night": (0.20, 0.42, 0.72)}[time]
    b.box(-0.05, HORIZON - 0.06, 1.1, 0.6).fill(lighter(water, 0.25), darker(water, 0.25))
    foam = lighter(water, 0.55)
    for i in range(4):
        y, x = HORIZON + 0.005 + 0.080 * i + rng.uniform(-0.01, 0.01), rng.uniform(-0.1, 0.1)
        while x < 1.0:
            w = rng.uniform(0.10, 0.17)
            b.limb([(x, y), (x + w / 2, y - 0.030), (x + w, y)], 0.020 + 0.004 * i).stroke(foam)
            x += w + rng.uniform(0.06, 0.20)
    if not boat:
        hill(b, GROUND - 0.055, 0.014, rng.uniform(0, 6), 0.9, (0.98, 0.95, 0.86), (0.97, 0.92, 0.80))
        hill(b, GROUND - 0.030, 0.014, rng.uniform(0, 6), 0.9, (0.97, 0.87, 0.62), (0.90, 0.74, 0.48))


def mountains(b, rng, time, boat):
    far, near = (0.56, 0.62, 0.80), (0.44, 0.48, 0.66)
    for x, h, c in ((rng.uniform(0.30, 0.70), rng.uniform(0.36, 0.44), far), (rng.uniform(-0.02, 0.20), rng.uniform(0.32, 0.46), near),
                    (rng.uniform(0.80, 1.02), rng.uniform(0.32, 0.46), near)):
        peak(b, x, HORIZON + 0.05, h, c)
    hill(b, HORIZON + 0.04, 0.020, rng.uniform(0, 6), 0.8, (0.50, 0.62, 0.44), (0.30, 0.44, 0.34))
    for _ in range(rng.integers(2, 5)):
        x, r = rng.choice([rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)]), rng.uniform(0.03, 0.05)
        y = rng.uniform(0.74, 0.94)
        b.blob((x - r, y), (x - 0.5 * r, y - 0.9 * r), (x + 0.5 * r, y - 0.8 * r), (x + r, y), (x, y + 0.25 * r)).fill((0.62, 0.62, 0.68))


def peak(b, x, y, h, colour):
    w = 0.78 * h
    b.poly((x, y - h), (x + w, y), (x - w, y)).fill(lighter(colour, 0.1), colour)
    b.poly((x, y - h), (x + w, y), (x + 0.10 * w, y), (x - 0.06 * w, y - 0.45 * h)).fill(darker(colour, 0.18), darker(colour, 0.22), edge=False)
    b.poly((x, y - h), (x + 0.36 * w, y - 0.64 * h), (x + 0.14 * w, y - 0.70 * h), (x, y - 0.58 * h), (x - 0.14 * w, y - 0.70 * h),
           (x - 0.36 * w, y - 0.64 * h)).fill((0.98, 0.98, 1.0), (0.88, 0.91, 0.98), edge=False)


def city(b, rng, time, boat):
    walls = {"day": (0.60, 0.66, 0.78), "sunset": (0.52, 0.40, 0.58), "night": (0.42, 0.40, 0.62)}[time]
    x = -0.06
    while x < 1.0:
        w = rng.uniform(0.10, 0.13)
        centre = abs(x + w / 2 - 0.5) < 0.25
        tower(b, rng, x, w, rng.uniform(0.26, 0.36) if centre else rng.uniform(0.32, 0.50), mix(walls, (0.75, 0.72, 0.80), rng.uniform(0, 0.4)), time)
        x += w + 0.012
    b.box(-0.05, HORIZON + 0.10, 1.1, 0.5).fill((0.56, 0.55, 0.60), (0.40, 0.39, 0.46))
    b.box(-0.05, HORIZON + 0.08, 1.1, 0.045).fill((0.78, 0.76, 0.76))
    for i in range(5):
        b.box(0.02 + 0.22 * i, 0.925, 0.11, 0.026, 0.01).fill((0.97, 0.93, 0.75), edge=False)


def tower(b, rng, x, w, h, colour, time):
    base = HORIZON + 0.11
    b.box(x, base - h, w, h).fill(colour)
    pane = (1.0, 0.85, 0.42) if time != "day" else (0.84, 0.93, 0.99)
    for row in range(int(h / 0.085)):
        for col in (0.16, 0.56):
            lit = time == "day" or rng.random() < 0.8
            b.box(x + col * w, base - h + 0.028 + 0.085 * row, 0.29 * w, 0.046).fill(
                pane if lit else darker(colour, 0.4), mix(pane, (1.0, 0.7, 0.3), 0.2) if lit else darker(colour, 0.5), raw=lit and time != "day", edge=False)


def forest(b, rng, time, boat):
    b.box(-0.05, HORIZON - 0.12, 1.1, 0.6).fill((0.30, 0.50, 0.36), (0.16, 0.34, 0.22))
    for i in range(7):
        round_tree(b, -0.02 + i * 0.17 + rng.uniform(-0.03, 0.03), HORIZON + 0.04, rng.uniform(0.32, 0.40), (0.30, 0.54, 0.38))
    for x in (rng.uniform(-0.02, 0.06), rng.uniform(0.14, 0.22), rng.uniform(0.78, 0.86), rng.uniform(0.94, 1.02)):
        round_tree(b, x, HORIZON + 0.13, rng.uniform(0.48, 0.60), (0.20, 0.46, 0.24))
    hill(b, HORIZON + 0.10, 0.016, rng.uniform(0, 6), 1.0, (0.32, 0.52, 0.24), (0.18, 0.34, 0.18))
    for _ in range(rng.integers(1, 4)):
        toadstool(b, rng.choice([rng.uniform(0.04, 0.24), rng.uniform(0.76, 0.96)]), rng.uniform(0.82, 0.96), rng.uniform(0.055, 0.075))


def round_tree(b, x, y, h, colour):
    r = 0.22 * h
    b.box(x - 0.05 * h, y - 0.45 * h, 0.10 * h, 0.45 * h).fill((0.40, 0.27, 0.19))
    b.ovals((x, y - h + r, r), (x - 0.8 * r, y - h + 1.9 * r, 0.95 * r), (x + 0.8 * r, y - h + 1.9 * r, 0.95 * r), (x, y - h + 2.1 * r, r)).fill(
        lighter(colour, 0.10), darker(colour, 0.22), edge=False)


def toadstool(b, x, y, h):
    b.box(x - 0.17 * h, y - 0.6 * h, 0.34 * h, 0.6 * h, 0.12 * h).fill((0.97, 0.93, 0.84))
    b.blob((x - 0.6 * h, y - 0.48 * h), (x - 0.42 * h, y - 0.88 * h), (x, y - 1.05 * h), (x + 0.42 * h, y - 0.88 * h), (x + 0.6 * h, y - 0.48 * h)).fill((0.85, 0.20, 0.18))


def pond(b, x, w):
    """Water for a boat where there is none."""
    b.oval(x, GROUND - 0.02, w, 0.105).fill((0.36, 0.68, 0.86), (0.20, 0.48, 0.74))


PLACES = {"meadow": meadow, "desert": desert, "snow": snow, "sea": sea, "mountains": mountains, "city": city, "forest": forest}
