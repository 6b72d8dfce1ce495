"""A brush over a cairo surface: shapes in, a style's way of painting them out.

Coordinates are those of a unit square, y down. A drawing routine never asks which
style it is drawn in: it traces a path and calls `fill`, and the brush decides what
becomes of it. So a style redraws the very same scene.

    base     a soft vertical gradient
    arcane   graded to teal shadows and magenta light, broad strokes, ink outlines
    sketch   pencil tones and hatching on paper, pencil outlines

Nothing here is finer than 8 pixels of a 256x256 picture, apart from outlines: what is
finer does not survive a VAE with factor 8.
"""
import math

import numpy as np

try:
    import cairo
except ImportError:         # the same calls without a compiler: slower, and as good
    import cairocffi as cairo

INK = (0.06, 0.04, 0.11)
PAPER = (0.95, 0.92, 0.85)
GRAPHITE = (0.24, 0.23, 0.25)

# What the light of a time of day does to a colour: factor and lift for each channel.
LIGHT = {
    "day": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "sunset": ((1.0, 0.86, 0.80), (0.05, 0.01, 0.03)),
    "night": ((0.56, 0.62, 0.84), (0.01, 0.02, 0.07)),
}


def mix(a, b, t):
    """a at t = 0, b at t = 1, channel by channel."""
    return tuple(x + (y - x) * t for x, y in zip(a, b))


def lighter(c, t):
    return mix(c, (1.0, 0.98, 0.90), t)


def darker(c, t):
    """Towards a cool violet: shadows in picture books are never grey."""
    return mix(c, (0.12, 0.08, 0.26), t)


def luminance(c):
    return 0.30 * c[0] + 0.59 * c[1] + 0.11 * c[2]


def arcane_grade(c):
    """Teal where it is dark, magenta where it is light, a good part of the own hue kept."""
    v = min(max(luminance(c), 0.0), 1.0)
    stops = [(0.0, (0.01, 0.10, 0.15)), (0.35, (0.02, 0.38, 0.42)), (0.65, (0.72, 0.20, 0.58)), (1.0, (1.0, 0.72, 0.86))]
    for (v0, c0), (v1, c1) in zip(stops, stops[1:]):
        if v <= v1:
            toned = mix(c0, c1, (v - v0) / (v1 - v0))
            break
    warm = min(max(1.2 * (c[0] - (c[1] + c[2]) / 2), 0.0), 0.9)
    vivid = max(c) - min(c)
    return mix(c, mix(toned, (0.88, 0.14, 0.42), warm), 0.70 - 0.28 * vivid)      # warm colours go to crimson: over teal they would be mud


class Brush:
    def __init__(self, size, style, time, rng):
        """size: pixels of a side; style: None, "arcane" or "sketch"; rng: numpy Generator."""
        self.surface = cairo.ImageSurface(cairo.FORMAT_RGB24, size, size)
        self.ctx = cairo.Context(self.surface)
        self.ctx.scale(size, size)
        self.ctx.set_line_cap(cairo.LINE_CAP_ROUND)
        self.ctx.set_line_join(cairo.LINE_JOIN_ROUND)
        self.size, self.style, self.rng = size, style, rng
        self.factor, self.lift = LIGHT[time]

    def soften_light(self):
        """From here on the time of day counts for less: subjects keep their colours at night."""
        self.factor = mix((1.0,) * 3, self.factor, 0.32)
        self.lift = mix((0.0,) * 3, self.lift, 0.32)

    def lit(self, c):
        """Colour c in the light of the scene's time."""
        return tuple(min(x * f + l, 1.0) for x, f, l in zip(c, self.factor, self.lift))

    # Paths. Each begins a new one, in the coordinates of the current transform.

    def oval(self, x, y, rx, ry=None):
        self.ctx.new_path()
        self._oval(x, y, rx, ry or rx)
        return self

    def ovals(self, *list_of_xyr):
        """Several discs as one shape (a tree's crown, a cloud)."""
        self.ctx.new_path()
        for x, y, r in list_of_xyr:
            self.ctx.new_sub_path()
            self._oval(x, y, r, r)
        return self

    def _oval(self, x, y, rx, ry):
        self.ctx.save()
        self.ctx.translate(x, y)
        self.ctx.scale(rx, ry)
        self.ctx.arc(0, 0, 1, 0, 2 * math.pi)
        self.ctx.close_path()
        self.ctx.restore()

    def poly(self, *points):
        self.ctx.new_path()
        for p in points:
            self.ctx.line_to(*p)
        self.ctx.close_path()
        return self

    def box(self, x, y, w, h, r=0.0):
        """A rectangle with rounded corners of radius r, (x, y) its upper left."""
        c = self.ctx
        c.new_path()
        if r <= 0:
            c.rectangle(x, y, w, h)
            return self
        c.arc(x + w - r, y + r, r, -math.pi / 2, 0)
        c.arc(x + w - r, y + h - r, r, 0, math.pi / 2)
        c.arc(x + r, y + h - r, r, math.pi / 2, math.pi)
        c.arc(x + r, y + r, r, math.pi, 1.5 * math.pi)
        c.close_path()
        return self

    def blob(self, *points):
        """A closed smooth curve through the points (Catmull-Rom)."""
        c, n = self.ctx, len(points)
        p = np.array(points, float)
        c.new_path()
        c.move_to(*p[0])
        for i in range(n):
            a, b, d, e = p[i - 1], p[i], p[(i + 1) % n], p[(i + 2) % n]
            c.curve_to(*(b + (d - a) / 6), *(d - (e - b) / 6), *d)
        c.close_path()
        return self

    def wing(self, root, top, tips):
        """A bat's wing: from the root up to the top, then in hollow curves from tip to tip and back."""
        c = self.ctx
        c.new_path()
        c.move_to(*root)
        c.line_to(*top)
        at = top
        for tip in [*tips, root]:
            hollow = ((at[0] + tip[0]) * 0.40 + root[0] * 0.20, (at[1] + tip[1]) * 0.40 + root[1] * 0.20)
            if at == top:
                hollow = (0.55 * (top[0] + tip[0]), 0.55 * (top[1] + tip[1]))     # the leading edge bulges
            c.curve_to(*hollow, *hollow, *tip)
            at = tip
        c.close_path()
        return self

    def limb(self, points, width):
        """A round-ended stroke through the points, as a shape to be filled with `stroke`."""
        c = self.ctx
        c.new_path()
        c.move_to(*points[0])
        if len(points) == 3:
            a, b, d = (np.array(q, float) for q in points)
            control = 2 * b - (a + d) / 2          # passes through the elbow
            control = b + (control - b) * 0.55     # a little tighter than a parabola
            c.curve_to(*(a + (control - a) * 0.67), *(d + (control - d) * 0.67), *d)
        else:
            for q in points[1:]:
                c.line_to(*q)
        self.width = width
        return self

    # Paint. Each consumes the current path.

    def fill(self, colour, to=None, raw=False, edge=True):
        """Fills the path from colour (top) to `to` (bottom; by default a little darker).

        raw: light of its own, untouched by the time of day. edge: outlined by styles.
        """
        top = colour if raw else self.lit(colour)
        low = (to or darker(colour, 0.22)) if raw else self.lit(to or darker(colour, 0.22))
        if self.style == "sketch":
            return self._pencil(mix(top, low, 0.5), edge)
        if self.style == "arcane":
            top, low = (mix(c, arcane_grade(c), 0.5 if raw else 1.0) for c in (top, low))
        if self.style == "arcane" and edge:
            self._outline(INK, 0.034)
        x0, y0, x1, y1 = self.ctx.path_extents()
        g = cairo.LinearGradient(x0 + 0.2 * (x1 - x0), y0, x0, y1)
        g.add_color_stop_rgb(0, *top)
        g.add_color_stop_rgb(1, *low)
        self.ctx.set_source(g)
        self.ctx.fill_preserve()
        if self.style == "arcane":
            self._strokes((x0, y0, x1, y1), top, low)
        self.ctx.new_path()

    def stroke(self, colour, raw=False):
        """Paints the last limb in one colour."""
        tone = colour if raw else self.lit(colour)
        line = {"arcane": (INK, 0.017), "sketch": (GRAPHITE, 0.015)}.get(self.style)
        if line:
            self.ctx.set_source_rgb(*line[0])
            self.ctx.set_line_width(self.width + 2 * self._user(line[1]))
            self.ctx.stroke_preserve()
            tone = mix(tone, arcane_grade(tone), 0.35 if raw else 1.0) if self.style == "arcane" else self._tone(tone)
        self.ctx.set_source_rgb(*tone)
        self.ctx.set_line_width(self.width)
        self.ctx.stroke()

    def glow(self, x, y, r, colour, strength=1.0):
        """A soft light, densest in the middle."""
        if self.style == "sketch":
            colour, strength = (1.0, 0.99, 0.94), strength * 0.7
        elif self.style == "arcane":
            colour = mix(colour, (1.0, 0.25, 0.75), 0.5)
        g = cairo.RadialGradient(x, y, 0, x, y, r)
        g.add_color_stop_rgba(0, *colour, strength)
        g.add_color_stop_rgba(0.45, *colour, strength * 0.38)
        g.add_color_stop_rgba(1, *colour, 0)
        self.ctx.set_source(g)
        self.ctx.rectangle(x - r, y - r, 2 * r, 2 * r)
        self.ctx.fill()

    def shadow(self, x, y, rx, ry, strength=0.42):
        """A soft shadow on the ground."""
        c = self.ctx
        c.save()
        c.translate(x, y)
        c.scale(rx, ry)
        g = cairo.RadialGradient(0, 0, 0.1, 0, 0, 1)
        shade = {"sketch": (0.3, 0.3, 0.32), "arcane": (0.0, 0.10, 0.14)}.get(self.style, (0.06, 0.05, 0.22))
        g.add_color_stop_rgba(0, *shade, strength)
        g.add_color_stop_rgba(0.55, *shade, strength * 0.7)
        g.add_color_stop_rgba(1, *shade, 0)
        c.set_source(g)
        c.arc(0, 0, 1, 0, 2 * math.pi)
        c.fill()
        c.restore()

    # What the styles do with a filled path.

    def _user(self, width):
        """A width in the unit square, in units of the current transform."""
        dx, dy = self.ctx.device_to_user_distance(width * self.size, 0)
        return math.hypot(dx, dy)

    def _outline(self, colour, width):
        """Before the fill, which hides its inner half: so several discs get one outline."""
        self.ctx.set_source_rgb(*colour)
        self.ctx.set_line_width(self._user(width))
        self.ctx.stroke_preserve()

    def _strokes(self, extents, top, low):
        """Broad strokes across the path, lighter above and darker below."""
        x0, y0, x1, y1 = extents
        w, h = x1 - x0, y1 - y0
        broad = self._user(0.040)
        if min(w, h) < broad * 1.2:
            return
        path = self.ctx.copy_path()
        self.ctx.save()
        self.ctx.clip()
        for _ in range(min(int(2 + 2.2 * (w * h) ** 0.5 / broad), 26)):
            x, y = x0 + w * self.rng.random(), y0 + h * self.rng.random()
            t = (y - y0) / h
            own = mix(top, low, t)
            light = mix(own, (1.0, 0.52, 0.82), 0.42)
            shade = (own[0] * 0.62, own[1] * 0.78 + 0.03, own[2] * 0.82 + 0.05)
            tone = light if self.rng.random() > 0.35 + 0.5 * t else shade
            slope, length = self.rng.normal(-0.7, 0.25), broad * self.rng.uniform(1.2, 3.2)
            dx, dy = length * math.cos(slope) / 2, length * math.sin(slope) / 2
            self.ctx.move_to(x - dx, y - dy)
            self.ctx.line_to(x + dx, y + dy)
            self.ctx.set_source_rgba(*tone, 0.75)
            self.ctx.set_line_width(broad * self.rng.uniform(0.6, 1.0))
            self.ctx.stroke()
        self.ctx.restore()
        self.ctx.new_path()
        self.ctx.append_path(path)

    @staticmethod
    def _tone(c):
        """Paper, darkened as pencil would; a breath of the colour is left."""
        v = 0.32 + 0.74 * min(luminance(c), 1.0)
        return mix(tuple(min(p * v, 1.0) for p in PAPER), c, 0.06)

    def _pencil(self, colour, edge):
        if edge:
            self._outline(GRAPHITE, 0.030)
        self.ctx.set_source_rgb(*self._tone(colour))
        self.ctx.fill_preserve()
        x0, y0, x1, y1 = self.ctx.path_extents()
        v, gap = luminance(colour), self._user(0.056)
        if v < 0.62 and min(x1 - x0, y1 - y0) > 1.5 * gap:
            path = self.ctx.copy_path()
            self.ctx.save()
            self.ctx.clip()
            self.ctx.set_source_rgba(*GRAPHITE, 0.30 + 0.35 * (0.62 - v))
            self.ctx.set_line_width(self._user(0.021))
            reach = y1 - y0
            x = x0 - reach + gap * self.rng.random()
            while x < x1:
                self.ctx.move_to(x, y1)
                self.ctx.line_to(x + reach, y0)
                x += gap
            self.ctx.stroke()
            self.ctx.restore()
            self.ctx.new_path()
            self.ctx.append_path(path)
        self.ctx.new_path()

    def pixels(self):
        """[size, size, 3] uint8, red first."""
        self.surface.flush()
        rows = np.ndarray((self.size, self.size, 4), np.uint8, self.surface.get_data(), strides=(self.surface.get_stride(), 4, 1))
        return np.ascontiguousarray(rows[:, :, 2::-1])

    def backdrop(self, stops):
        """A whole sky: colours at heights, (at, colour) from above."""
        g = cairo.LinearGradient(0, 0, 0, 1)
        for at, c in stops:
            g.add_color_stop_rgb(at, *(arcane_grade(c) if self.style == "arcane" else c))
        self.ctx.set_source(g)
        self.ctx.paint()
        if self.style == "arcane":
            self._washes(stops)

    def _washes(self, stops):
        """Long strokes across a sky that is already painted."""
        for _ in range(16):
            y = self.rng.uniform(0.0, 0.65)
            below = [c for at, c in stops if at <= y][-1]
            tone = mix(arcane_grade(below), (1.0, 0.45, 0.80) if self.rng.random() < 0.5 else (0.02, 0.30, 0.38), 0.22)
            x, length = self.rng.uniform(-0.2, 1.0), self.rng.uniform(0.2, 0.5)
            self.ctx.move_to(x, y)
            self.ctx.line_to(x + length, y - self.rng.uniform(0.02, 0.12))
            self.ctx.set_source_rgba(*tone, 0.7)
            self.ctx.set_line_width(self.rng.uniform(0.035, 0.065))
            self.ctx.stroke()
