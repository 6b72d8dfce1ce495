"""An SVG of how time and memory grow, in colours that can be read on light and dark pages."""

WIDTH, HEIGHT, LEFT, TOP = 250, 150, 52, 34

STYLE = """<style>
text { font: 11px sans-serif; fill: #24292f } .title { font-weight: bold } .axis { stroke: #8c959f; fill: none }
.a { stroke: #0969da; fill: none; stroke-width: 2 } .b { stroke: #bc4c00; fill: none; stroke-width: 2 } .da { fill: #0969da } .db { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .axis { stroke: #6e7681 } .a { stroke: #58a6ff } .b { stroke: #f0883e } .da { fill: #58a6ff } .db { fill: #f0883e } }
</style>"""


def nice(top):
    """The first of 1, 2, 5, 10, 20 ... that is not below top."""
    unit = 10 ** (len(str(int(top))) - 1) if top >= 1 else 0.1
    while unit * 10 < top:
        unit *= 10
    return next(unit * m for m in (1, 2, 5, 10) if unit * m >= top)


def panel(left, title, unit, series, ticks):
    """series: [(name, [(x, y)])], at most two; ticks: where the x axis has numbers."""
    top = nice(max(y for _, points in series for _, y in points))
    least, most = min(ticks), max(ticks)
    place = lambda x, y: (left + LEFT + (x - least) / ((most - least) or 1) * WIDTH, TOP + HEIGHT - y / top * HEIGHT)
    out = [f'<text class="title" x="{left + LEFT}" y="14">{title}</text>',
           f'<path class="axis" d="M{left + LEFT},{TOP} v{HEIGHT} h{WIDTH}"/>']
    for share in (0, 0.5, 1):
        out.append(f'<text x="{left + LEFT - 6}" y="{place(least, top * share)[1] + 4:.0f}" text-anchor="end">{top * share:g}</text>')
    for x in ticks:
        out.append(f'<text x="{place(x, 0)[0]:.0f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{x}</text>')
    for (name, points), kind in zip(series, "ab"):
        at = [place(x, y) for x, y in points]
        out.append(f'<polyline class="{kind}" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in at) + '"/>')
        out += [f'<circle class="d{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
    legend = " ".join(f'<tspan class="d{kind}">&#9632;</tspan> {name}' for (name, _), kind in zip(series, "ab"))
    out.append(f'<text x="{left + LEFT}" y="{TOP + HEIGHT + 34}">{legend} ({unit})</text>')
    return "\n".join(out)


def growth(found):
    alone = [r for r in found["steps"] if r["batch"] == 1]
    first = alone[0]["side"]
    batches = [r for r in found["steps"] if r["side"] == first]
    sides = [r["side"] for r in alone if r["side"] % 256 == 0] or [r["side"] for r in alone]
    counts, wide = [r["loras"] for r in found["loras"]], WIDTH + LEFT + 22
    panels = [
        panel(0, "time by pixels a side", "s", [("one step with guidance", [(r["side"], r["s"]) for r in alone]),
                                                ("VAE decode", [(r["side"], r["s"]) for r in found["decodes"]])], sides),
        panel(wide, "memory by pixels a side", "GiB", [("step", [(r["side"], r["mib"] / 1024) for r in alone]),
                                                       ("VAE decode", [(r["side"], r["mib"] / 1024) for r in found["decodes"]])], sides),
        panel(2 * wide, f"batch at {first}, and LoRAs", "s", [("step of a batch", [(r["batch"], r["s"]) for r in batches]),
                                                             ("merging LoRAs", [(r["loras"], r["s"]) for r in found["loras"]])],
              sorted(set(counts) | {r["batch"] for r in batches})),
    ]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {3 * wide} {TOP + HEIGHT + 46}" width="{3 * wide}">\n{STYLE}\n'
            + "\n".join(panels) + "\n</svg>\n")
