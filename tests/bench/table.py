"""Times tinct, against a peer's command line where its path is given, and how time and memory grow. Python alone.

    table.py BUILD CHECKPOINT [--precision fp32|fast] [--peer SD] [--peer-arguments "..."] [--rounds 3] [--quick]
             [--parts pictures,steps,decodes,loras] [--sizes 256,512] [--results FILE] [--write]

BUILD is tinct's build folder. SD is stable-diffusion.cpp's program (sd): both paint the same prompt from the same checkpoint at
the same size, seed, sampler and steps, in turns A B A B, whole processes from start to PNG; the ratio of the bests is the figure.
Growth: time, peak memory and time per FLOP of each kind of op for 256 to 1024 pixels and batches of 1 to 8; 1 to 8 LoRAs of rank 32.
--quick: small sizes only, to see that it works. --results FILE: what was measured is kept there, so that --parts may be run one by one.
--write: the tables go into README.md beside this file, between its marks, and the plot into growth.svg. All on one machine that does
nothing else; nothing here is a test.
"""
import argparse
import json
import os
import random
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import time

import plot

HERE = os.path.dirname(os.path.abspath(__file__))
PROMPT = "a castle at dusk, oil painting"
KINDS = ("convolution", "linear", "attention")


# ---- programs ----------------------------------------------------------------

class Program:
    """One that answers a line with a line "ok ...", after "ready ..."."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline().strip()
        if not self.ready.startswith("ready"):
            sys.exit(f"{command[0]} did not start")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = []
        while not (answer := self.process.stdout.readline()).startswith("ok"):
            if not answer or answer.startswith("failed"):
                sys.exit(f"{line}: {answer}")
            said.append(answer.split())
        return answer.split()[1:], said

    def peak_mib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def run(command, env=None):
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return time.perf_counter() - begin


# ---- against a peer ------------------------------------------------------------

def race(a, sides, folder):
    """Whole pictures, tinct's second start: its first packs the weights and keeps them."""
    rows = []
    env = dict(os.environ, XDG_CACHE_HOME=os.path.join(folder, "cache"))
    os.makedirs(env["XDG_CACHE_HOME"], exist_ok=True)
    for side in sides:
        steps = 2 if a.quick else 20
        same = ["-m", a.checkpoint, "-W", str(side), "-H", str(side), "--steps", str(steps), "-s", "42", "--cfg-scale", "7"]
        tinct = [f"{a.build}/tinct", PROMPT, *same, "--precision", a.precision, "--sampling-method", "DPM++ 2M", "-q", "--force", "-o",
                 os.path.join(folder, "tinct.png")]
        peer = a.peer and [a.peer, "-p", PROMPT, *same, "--sampling-method", "dpm++2m", "-t", str(os.cpu_count()), "-o",
                           os.path.join(folder, "peer.png"), *shlex.split(a.peer_arguments)]
        first, ours, theirs = run(tinct, env), [], []
        for _ in range(a.rounds):
            ours.append(run(tinct, env))
            if peer:
                theirs.append(run(peer))
        row = {"side": side, "steps": steps, "first": first, "tinct": min(ours), "peer": min(theirs) if peer else None}
        rows.append(row)
        print("picture", row, flush=True)
    return rows


# ---- growth ----------------------------------------------------------------------

def stage(a):
    return Program(f"{a.build}/tests/parity/stage", a.checkpoint, a.device, a.precision)


def step(a, side, batch):
    """One step with guidance of so many pictures, in a process of its own: its peak is the step's."""
    n = side // 8
    with stage(a) as s:
        answer, _ = s.ask(f"time {2 * batch} {n} {n} 77 {a.rounds}")
        peak = s.peak_mib()
        said = [line for _ in range(a.rounds) for line in s.ask(f"kinds {2 * batch} {n} {n} 77")[1]]
    kinds = {kind: {"ms": min(float(ms) for k, ms, _ in said if k == kind), "gflop": float(gflop)} for kind, _, gflop in said}
    row = {"side": side, "batch": batch, "s": float(answer[0]), "mib": peak, "kinds": kinds}
    print("step", row, flush=True)
    return row


def decode(a, side):
    n = side // 8
    with stage(a) as s:
        open_mib = s.peak_mib()
        answer, _ = s.ask(f"timedecode {n} {n} 1")
        row = {"side": side, "s": float(answer[0]), "mib": s.peak_mib(), "model_mib": open_mib}
    print("decode", row, flush=True)
    return row


# ---- LoRAs -------------------------------------------------------------------------

LAYER = re.compile(r"model\.diffusion_model\.(.*(?:attn[12]\.to_(?:q|k|v|out\.0)|ff\.net\.(?:0\.proj|2)|proj_in|proj_out))\.weight$")


def header_of(path):
    with open(path, "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


def write_lora(checkpoint, path, rank, seed):
    """As kohya's scripts name it, on all attention and linear layers of the UNet; its values are small and random."""
    noise, tensors, at = random.Random(seed), {}, 0
    block = struct.pack("<4096e", *(noise.gauss(0, 0.01) for _ in range(4096)))
    for name, tensor in header_of(checkpoint).items():
        found = LAYER.match(name)
        if not found:
            continue
        outputs, inputs = tensor["shape"][:2]
        layer, ones = "lora_unet_" + found[1].replace(".", "_"), [1] * (len(tensor["shape"]) - 2)
        for part, shape in (("lora_down", [rank, inputs, *ones]), ("lora_up", [outputs, rank, *ones])):
            size = 2 * shape[0] * shape[1]
            tensors[f"{layer}.{part}.weight"] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
            at += size
    text = json.dumps(tensors).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        while at:
            at -= f.write(block[:at])


def loras(a, counts, folder):
    files = [os.path.join(folder, f"lora{i}.safetensors") for i in range(max(counts))]
    for i, file in enumerate(files):
        write_lora(a.checkpoint, file, 32, i)
    rows = []
    with Program(f"{a.build}/bench/bench_loras", a.checkpoint, a.device) as p:
        for count in counts:
            times = []
            for weight in (0.8, 0.7, 0.6):                 # each time other weights: all of them are merged again
                answer, _ = p.ask("apply " + " ".join(f"{file} {weight}" for file in files[:count]))
                times.append(float(answer[1]) / 1e3)
            rows.append({"loras": count, "s": min(times), "mib": float(answer[2])})
            print("loras", rows[-1], flush=True)
    return rows


# ---- tables --------------------------------------------------------------------------

def table(head, rows):
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), line(["---"] * len(head)), *(line([str(c) for c in r]) for r in rows), ""])


def rate(row, kind):
    k = row["kinds"].get(kind)
    return k["gflop"] / k["ms"] * 1e3 if k and k["ms"] else 0


def spread(rows, kind):
    """The slowest's time per FLOP, as a multiple of the fastest's."""
    rates = [r for r in (rate(row, kind) for row in rows) if r]
    return max(rates) / min(rates) if rates else 0


def report(a, found):
    out = [f"{found['machine']}, `--precision {a.precision}`, {os.path.basename(a.checkpoint)} ({os.path.getsize(a.checkpoint) / 1e9:.1f} GB), "
           f"best of {a.rounds}, {time.strftime('%Y-%m-%d')}.\n"]
    if found["pictures"]:
        out.append("Whole pictures, from process start to PNG:\n")
        out.append(table(["size", "steps", "tinct, first start", "later starts", "peer", "ratio"],
                         [[r["side"], r["steps"], f"{r['first']:.1f} s", f"{r['tinct']:.1f} s", f"{r['peer']:.1f} s" if r["peer"] else "",
                           f"{r['tinct'] / r['peer']:.2f}" if r["peer"] else ""] for r in found["pictures"]]))
    if found["steps"]:
        out.append("One step with guidance; GFLOP/s by kind of op, and peak memory of the process:\n")
        out.append(table(["size", "batch", "time", *KINDS, "peak"],
                         [[r["side"], r["batch"], f"{r['s']:.2f} s", *(f"{rate(r, k):.0f}" for k in KINDS), f"{r['mib']:.0f} MiB"]
                          for r in found["steps"]]))
        out.append("Time per FLOP, slowest row over fastest: " + ", ".join(f"{k} {spread(found['steps'], k):.2f}" for k in KINDS) + ".\n")
    if found["decodes"]:
        out.append("VAE decode; memory beyond the model's:\n")
        out.append(table(["size", "time", "memory"],
                         [[r["side"], f"{r['s']:.2f} s", f"{r['mib'] - r['model_mib']:.0f} MiB"] for r in found["decodes"]]))
    if found["loras"]:
        out.append("LoRAs of rank 32 on all attention and linear layers of the UNet, merged into an open model:\n")
        out.append(table(["LoRAs", "time", "memory"], [[r["loras"], f"{r['s']:.2f} s", f"{r['mib']:.0f} MiB"] for r in found["loras"]]))
    return "\n".join(out)


def write(text, found):
    path, marks = os.path.join(HERE, "README.md"), ("<!-- table.py -->\n", "<!-- end -->\n")
    with open(path) as f:
        before, rest = f.read().split(marks[0])
    with open(path, "w") as f:
        f.write(before + marks[0] + text + "\n![growth](growth.svg)\n" + marks[1] + rest.split(marks[1])[1])
    with open(os.path.join(HERE, "growth.svg"), "w") as f:
        f.write(plot.growth(found))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build"); p.add_argument("checkpoint")
    p.add_argument("--precision", default="fp32", choices=["fp32", "fast"]); p.add_argument("--device", default="cpu")
    p.add_argument("--peer"); p.add_argument("--peer-arguments", default=""); p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--quick", action="store_true"); p.add_argument("--write", action="store_true")
    p.add_argument("--parts", default="pictures,steps,decodes,loras"); p.add_argument("--sizes"); p.add_argument("--results")
    a = p.parse_args()
    sides = [int(s) for s in a.sizes.split(",")] if a.sizes else [64, 128] if a.quick else [256, 384, 512, 640, 768, 896, 1024]
    batches, counts = ([2], [1, 2]) if a.quick else ([2, 4, 8], [1, 2, 4, 8])
    found = {"pictures": [], "steps": [], "decodes": [], "loras": []}
    if a.results and os.path.exists(a.results):
        with open(a.results) as f:
            found = json.load(f)
    with tempfile.TemporaryDirectory() as folder:
        with stage(a) as s:
            found["machine"] = s.ready.split(" ", 2)[2]
        for part in a.parts.split(","):
            found[part] = {"pictures": lambda: race(a, [s for s in sides if s <= 512 and s % 256 == 0] or sides[:1], folder),
                           "steps": lambda: [step(a, s, 1) for s in sides] + [step(a, sides[0], b) for b in batches],
                           "decodes": lambda: [decode(a, s) for s in sides], "loras": lambda: loras(a, counts, folder)}[part]()
    if a.results:
        with open(a.results, "w") as f:
            json.dump(found, f, indent=1)
    text = report(a, found)
    print(text)
    if a.write:
        write(text, found)


if __name__ == "__main__":
    main()
