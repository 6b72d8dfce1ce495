"""Small JPEG and WebP pictures that tests/image/test_photo.c knows the pixels of: r = 8 x, g = 12 y, b = 128, 32 x 20.

    python make_photos.py          writes beside itself; Pillow 13.0.0
"""
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
W, H = 32, 20


def main():
    picture = Image.new("RGB", (W, H))
    picture.putdata([(8 * x, 12 * y, 128) for y in range(H) for x in range(W)])
    picture.save(HERE / "usual.jpg", quality=95)
    picture.save(HERE / "progressive.jpg", quality=95, progressive=True)
    picture.convert("L").save(HERE / "grey.jpg", quality=95)
    picture.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
    picture.save(HERE / "lossless.webp", lossless=True)
    picture.save(HERE / "lossy.webp", quality=95)
    clear = picture.convert("RGBA")
    clear.putalpha(100)
    clear.save(HERE / "clear.webp", lossless=True, exact=True)
    picture.save(HERE / "film.webp", save_all=True, append_images=[picture.rotate(180)], lossless=True)


main()
