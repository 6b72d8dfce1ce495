"""The tiny checkpoint in every layout that real files have: each must paint the pixels of the plain one. Prints TAP.

    layouts.py TINCT_PROGRAM
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "tiny", "make_tiny.py")
LAYOUTS = ["extras", "text", "positions", "mixed", "vae-flat", "vae-to", "split", "diffusers"]


def paint(tinct, folder, layout):
    model, picture = os.path.join(folder, layout + ".safetensors"), os.path.join(folder, layout + ".png")
    subprocess.run([sys.executable, MAKE, model, "--layout", layout], check=True, stdout=subprocess.DEVNULL)
    vae = [os.path.join(folder, f) for f in os.listdir(folder) if layout == "split" and "vae" in f and f.endswith(".safetensors")]
    subprocess.run([tinct, "paint", "a lovely cat", "-m", model, "--device", "cpu", "-W", "128", "-H", "64", "--steps", "4", "-s", "1",
                    "-q", "-o", picture] + (["--vae", vae[0]] if vae else []), check=True, stdout=subprocess.DEVNULL)
    return np.asarray(Image.open(picture).convert("RGB"))


def main():
    with tempfile.TemporaryDirectory() as folder:
        plain = paint(sys.argv[1], folder, "plain")
        for i, layout in enumerate(LAYOUTS, 1):
            same = np.array_equal(paint(sys.argv[1], folder, layout), plain)
            print(f"{'ok' if same else 'not ok'} {i} - layout {layout}: the pixels of the plain file", flush=True)
    print(f"1..{len(LAYOUTS)}")


if __name__ == "__main__":
    main()
