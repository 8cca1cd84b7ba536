"""What a JPEG leaves of an image, to the bit what TensorFlow and libjpeg-turbo leave, without writing one.

Only the colour conversion, chroma if it is halved, and the rounded frequencies lose anything; the entropy coding behind
them does not. OpenCV writes the same file, but reads it with the slow integer transform, and TensorFlow with the fast
one: up to 18 levels lie between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.jpeg_blocks import code_plane, quantization
from omnivla_vision.images.rgb import Image

Plane = NDArray[np.uint8]

# What is worked on stays in the processor's cache.
_PIXELS_AT_A_TIME = 32_768
_HALF = 1 << 15


def jpeg_round_trip(image: Image, quality: int, *, halved: bool = True) -> Image:
    """What `tf.io.decode_image` makes of what `tf.io.encode_jpeg` wrote: RGB uint8 [H, W, 3] -> the same shape.

    Args:
        image: RGB, uint8, [H, W, 3].
        quality: 1..100, as libjpeg counts it.
        halved: whether chroma is halved both ways (4:2:0), else it is whole (4:4:4, `chroma_downsampling=False`).
    """
    height, width = image.shape[:2]
    rows = 2 * max(1, _PIXELS_AT_A_TIME // (2 * width))
    scale = 2 if halved else 1
    sides = (-(-height // 2), -(-width // 16) * 8) if halved else (height, width)
    luma, chroma = np.empty((height, width), np.uint8), np.empty((2, *sides), np.uint8)
    for start in range(0, height, rows):
        strip = image[start : start + rows]
        luma[start : start + rows], full = _to_ycc(strip)
        chroma[:, start // scale : (start + rows) // scale] = _halved(full, sides[1]) if halved else full
    luma = code_plane(luma, quantization(quality, chroma=False))
    table = quantization(quality, chroma=True)
    planes = [code_plane(plane, table)[:, : -(-width // scale)] for plane in chroma]
    out = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        blue, red = (_widened(p, start, stop, width) if halved else p[start:stop] for p in planes)
        out[start:stop] = _to_rgb(luma[start:stop], blue, red)
    return out


def _fixed(value: float) -> int:
    return int(value * 65536 + 0.5)


def _to_ycc(image: Image) -> tuple[Plane, Plane]:
    """Luma [H, W] and chroma [2, H, W], by the JFIF standard in 16 bits of fraction."""
    red, green, blue = image.astype(np.int32).transpose(2, 0, 1)
    luma = _fixed(0.299) * red + _fixed(0.587) * green + _fixed(0.114) * blue + _HALF >> 16
    centre = (128 << 16) + _HALF - 1
    to_blue = _fixed(0.5) * blue - _fixed(0.16874) * red - _fixed(0.33126) * green + centre >> 16
    to_red = _fixed(0.5) * red - _fixed(0.41869) * green - _fixed(0.08131) * blue + centre >> 16
    return luma.astype(np.uint8), np.stack([to_blue, to_red]).astype(np.uint8)


def _halved(chroma: Plane, width: int) -> Plane:
    """[2, H, W] -> [2, ceil(H / 2), width]: means of 2x2, rounded down and up in turn; the edges are repeated."""
    rows, columns = chroma.shape[1:]
    whole = np.pad(chroma, ((0, 0), (0, rows % 2), (0, 2 * width - columns)), mode="edge").astype(np.uint16)
    sums = whole[:, ::2, ::2] + whole[:, ::2, 1::2] + whole[:, 1::2, ::2] + whole[:, 1::2, 1::2]
    sums += np.arange(width, dtype=np.uint16) % 2 + 1
    return (sums >> 2).astype(np.uint8)


def _widened(half: Plane, start: int, stop: int, width: int) -> Plane:
    """Rows start..stop of a plane at full size: three quarters of the near sample, one of the next, on both axes.

    libjpeg's `fancy upsampling`; where the half has one or two columns, it repeats samples instead.
    """
    lines = np.arange(start, stop)
    near = half[lines // 2].astype(np.int32)
    if half.shape[1] <= 2:
        return near.repeat(2, axis=1)[:, :width].astype(np.uint8)
    other = half[(lines // 2 + np.where(lines % 2, 1, -1)).clip(0, len(half) - 1)]
    sums = 3 * near + other
    around = np.pad(sums, ((0, 0), (1, 1)), mode="edge")
    out = np.empty((len(lines), 2 * half.shape[1]), np.uint8)
    out[:, ::2] = 3 * sums + around[:, :-2] + 8 >> 4
    out[:, 1::2] = 3 * sums + around[:, 2:] + 7 >> 4
    return out[:, :width]


def _to_rgb(luma: Plane, blue: Plane, red: Plane) -> Image:
    light, to_blue, to_red = luma.astype(np.int32), blue.astype(np.int32) - 128, red.astype(np.int32) - 128
    out = np.empty((*luma.shape, 3), np.uint8)
    out[..., 0] = (light + (_fixed(1.402) * to_red + _HALF >> 16)).clip(0, 255)
    out[..., 1] = (light + (_HALF - _fixed(0.34414) * to_blue - _fixed(0.71414) * to_red >> 16)).clip(0, 255)
    out[..., 2] = (light + (_fixed(1.772) * to_blue + _HALF >> 16)).clip(0, 255)
    return out
