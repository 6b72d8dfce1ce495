"""One whole picture, from the start of a process to the PNG on disk: tinct, and diffusers as people call it (fp32, NCHW), in turns,
best of each, and their ratio. 20 steps of DPM++ 2M Karras, CFG 7.

    peer_picture.py TINCT_PROGRAM CHECKPOINT VOCABULARY_GZ [--size 512] [--prompt TEXT] [--rounds 1]
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity"))
NEGATIVE, STEPS, CFG = "blurry", 20, 7.0


def theirs(a):
    import reference
    from diffusers import DPMSolverMultistepScheduler
    pipe = reference.pipeline(a.checkpoint, a.vocabulary)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe(a.prompt, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=CFG, width=a.size, height=a.size).images[0].save(a.out)


def seconds(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tinct"); p.add_argument("checkpoint"); p.add_argument("vocabulary")
    p.add_argument("--size", type=int, default=512); p.add_argument("--prompt", default="a red house in a meadow at sunset")
    p.add_argument("--rounds", type=int, default=1); p.add_argument("--out", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.out:
        return theirs(a)
    with tempfile.TemporaryDirectory() as folder:
        out, size = os.path.join(folder, "picture.png"), str(a.size)
        ours = [a.tinct, "paint", a.prompt, "-n", NEGATIVE, "-m", a.checkpoint, "--steps", str(STEPS), "--cfg-scale", str(CFG), "-W", size, "-H", size,
                "--sampling-method", "DPM++ 2M", "--scheduler", "Karras", "--device", "cpu", "--precision", "fp32", "-s", "42", "-q", "--force", "-o", out]
        others = [sys.executable, os.path.abspath(__file__), a.tinct, a.checkpoint, a.vocabulary, "--size", size, "--prompt", a.prompt, "--out", out]
        times = [(seconds(ours), seconds(others)) for _ in range(a.rounds)]
    mine, other = (min(column) for column in zip(*times))
    print(f"picture {size}x{size}: tinct {mine:.1f} s   diffusers {other:.1f} s   ratio {mine / other:.2f}")


if __name__ == "__main__":
    main()
