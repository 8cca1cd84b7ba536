"""What an accepted image costs is bounded, and what costs more is refused with numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from omnivla_vision.images.compressed import CompressedImage
from omnivla_vision.images.raw import MAX_RATIO, MAX_SIDE, ImageShapeError, RawImage
from omnivla_vision.images.resize import resize
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.spec import Resize

SIZE = ImageSize.square(224)
REFUSED = [(1, 1_000_000), (1_000_000, 1), (1, MAX_RATIO + 1), (MAX_RATIO + 1, 1), (MAX_SIDE + 1, 1900)]
# The longest sides with the narrowest others, the most pixels at the longest side, and the smallest.
ACCEPTED = [(MAX_SIDE, 128), (128, MAX_SIDE), (MAX_SIDE, 1953), (1953, MAX_SIDE), (1, 128), (128, 1), (5656, 5656)]
# In a process of its own, whose memory may grow by the picture's size twice and 300 MB once everything is loaded;
# with a mask by that and a copy, too.
UNDER_A_LIMIT = """
import sys
import numpy as np, torch
from omnivla_vision.images.image_path import follow
from omnivla_vision.images.resize import resize
from omnivla_vision.images.view import look
from omnivla_vision.network.image_paths import IMAGE_PATHS
from omnivla_vision.network.image_size import ImageSize
from omnivla_vision.network.region import Region
from omnivla_vision.network.spec import Resize
from omnivla_vision.network.views import Mask, View
torch.set_num_threads(1)
height, width = map(int, sys.argv[1:])
strategies = [Resize(strategy=name, interpolation=how, fill=(200, 200, 200))
              for name in ("resize-naive", "letterbox", "resize-crop") for how in ("bicubic", "bilinear")]
for how in strategies:
    resize(np.zeros((300, 400, 3), np.uint8), ImageSize.square(384), how)
for path in IMAGE_PATHS.values():
    follow(np.zeros((300, 400, 3), np.uint8), path)
def a_mask(height, width):
    hidden = np.zeros((height, width), bool)
    hidden[height // 2 :, width // 2 :] = height * width > 1
    # Of the longer side, so that what is left is not too narrow.
    region = Region(x=0.01, width=0.98) if width > height else Region(y=0.01, height=0.98)
    return View(region=region, mask=Mask(hidden=hidden))
look(np.zeros((300, 400, 3), np.uint8), a_mask(300, 400), (1, 2, 3))
def resident(what):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024
# What is touched, at its highest; addresses that are only reserved, as threads do, take no memory.
open("/proc/self/clear_refs", "w").write("5")
limit = resident("VmRSS") + 2 * height * width * 3 + 300_000_000
def check(what):
    assert resident("VmHWM") < limit, f"{what}: {(resident('VmHWM') - limit) >> 20} MB over the limit"
image = np.full((height, width, 3), 200, np.uint8)
for how in strategies:
    pixels = resize(image, ImageSize.square(384), how)
    assert pixels.shape == (3, 384, 384) and bool((pixels == 200).all())
    check(how)
for path in IMAGE_PATHS.values():
    pixels = follow(image, path)
    assert pixels.max() == 200 and set(np.unique(pixels[::9, ::9])) <= {0, 200}, path.name
    check(path.name)
# A mask of a byte per pixel, and a copy of what the region leaves.
limit += 4 * height * width
view = a_mask(height, width)
seen = look(image, view, (200, 200, 200))
assert bool((resize(seen, ImageSize.square(384)) == 200).all())
assert bool((follow(seen, IMAGE_PATHS["openvla-oft-crop"]) == 200).all())
check("region and mask")
"""


@pytest.mark.parametrize(("height", "width"), REFUSED)
def test_what_no_camera_has_is_refused_before_it_is_resized(height: int, width: int) -> None:
    match = f"found an image of {width}x{height} pixels; expected sides of at most 16384 pixels, the longer at most 128"
    for check in (
        lambda: RawImage(data=bytes(height * width), height=height, width=width, encoding="mono8", step=width).check(),
        lambda: resize(np.zeros((height, width, 3), np.uint8), SIZE),
    ):
        with pytest.raises(ImageShapeError, match=match):
            check()


@pytest.mark.parametrize(("height", "width"), [(1, 1_000_000), (1_000_000, 1)])
def test_a_file_of_two_kilobytes(height: int, width: int) -> None:
    data = cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()
    for image in (CompressedImage(data=data).check, CompressedImage(data=data).rgb):
        with pytest.raises(ImageShapeError, match=f"{width}x{height}"):
            image()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize(("height", "width"), ACCEPTED)
def test_every_accepted_shape_takes_little_memory(height: int, width: int) -> None:
    subprocess.run([sys.executable, "-c", UNDER_A_LIMIT, str(height), str(width)], check=True, timeout=240)


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    "shape", [(480, 640), (640, 479), (101, 33), (3000, 2001), (16_384, 128), (128, 16_384), (1, 2)]
)
def test_a_letterbox_in_strips_is_the_whole_squares_to_the_bit(shape: tuple[int, int], interpolation: str) -> None:
    height, width = shape
    fill = (123, 116, 103)
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    above, before = (max(shape) - height) // 2, (max(shape) - width) // 2
    square = np.empty((height + 2 * above, width + 2 * before, 3), np.uint8)
    square[:] = fill
    square[above : above + height, before : before + width] = image
    sides = [int(224 * side / min(square.shape[:2])) for side in square.shape[:2]]
    planes = torch.from_numpy(square).permute(2, 0, 1).unsqueeze(0)
    expected = F.interpolate(planes, size=sides, mode=interpolation, antialias=True)[0]
    top, left = (round((side - 224) / 2) for side in sides)
    found = resize(image, SIZE, Resize(strategy="letterbox", interpolation=interpolation, fill=fill))  # type: ignore[arg-type]
    assert torch.equal(found, expected[:, top : top + 224, left : left + 224])
