#!/usr/bin/env python3
"""Make the JPEG files of this folder, and beside each what Pillow decodes from it, as PNG.

    pip install numpy pillow
    make.py
"""
import io
import pathlib

import numpy as np
from PIL import Image

here = pathlib.Path(__file__).parent
w, h = 45, 29
y, x = np.mgrid[0:h, 0:w]
rgb = np.stack([127 + 120 * np.sin(x / 6.0), 127 + 120 * np.cos(y / 5.0), (x * 255 / (w - 1) + y * 255 / (h - 1)) / 2], -1).astype(np.uint8)
picture = Image.fromarray(rgb)
cmyk = Image.fromarray(np.concatenate([rgb, ((x * 5 + y * 3) % 160)[..., None].astype(np.uint8)], -1), "CMYK")


def write(name, image, **options):
    image.save(here / f"{name}.jpg", **options)
    Image.open(here / f"{name}.jpg").convert("RGB").save(here / f"{name}.png", optimize=True)


write("baseline", picture, quality=88)
write("full", picture, quality=95, subsampling=0)
write("progressive", picture, quality=85, progressive=True)
write("grey", picture.convert("L"), quality=90)
write("cmyk", cmyk, quality=92)
write("restart", picture, quality=80, restart_marker_blocks=2)

# Four channels that are YCCK: the same data with Adobe's marker saying so.
data = bytearray((here / "cmyk.jpg").read_bytes())
at = data.index(b"Adobe")
data[at + 11] = 2
(here / "ycck.jpg").write_bytes(data)
Image.open(io.BytesIO(data)).convert("RGB").save(here / "ycck.png", optimize=True)
