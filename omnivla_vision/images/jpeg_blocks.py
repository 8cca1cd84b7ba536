"""The lossy part of a JPEG's 8x8 blocks: integer transform, rounding to the quantization table, fast transform back.

Both transforms are libjpeg's to the bit (as its SIMD code is): `jpeg_fdct_islow`, after Loeffler, Ligtenberg and
Moschytz, and `jpeg_idct_ifast`, after Arai, Agui and Nakajima. The tables are those of the standard's annex K.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
Integers = NDArray[np.int32]

# Annex K.1 and K.2, row by row.
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99"""

# What is worked on stays in the processor's cache.
_BLOCKS_AT_A_TIME = 512


def _slow_transform() -> NDArray[np.float64]:
    """One pass in units of 2**-13, [frequency, sample]; the second half of the samples mirrors the first.

    libjpeg's butterflies round nothing on their way, so this is what they add up to: a cosine table, off by one here
    and there.
    """
    half = np.array(
        [
            [8192, 8192, 8192, 8192],
            [11363, 9633, 6437, 2260],
            [10703, 4433, -4433, -10703],
            [9633, -2259, -11362, -6436],
            [8192, -8192, -8192, 8192],
            [6437, -11362, 2261, 9633],
            [4433, -10704, 10704, -4433],
            [2260, -6436, 9633, -11363],
        ],
        np.float64,
    )
    return np.hstack([half, half[:, ::-1] * np.array([[1], [-1]] * 4)])


def _fast_scales() -> NDArray[np.int64]:
    """What the fast transform leaves to the table, in units of 2**-14: 1, or cos(k pi / 16) sqrt(2), on either axis."""
    scales = np.array([1.0, *(np.cos(k * np.pi / 16) * np.sqrt(2) for k in range(1, 8))])
    return np.round(np.outer(scales, scales) * (1 << 14)).astype(np.int64)


_SLOW = _slow_transform()
_SCALES = _fast_scales()


def quantization(quality: int, *, chroma: bool) -> Integers:
    """The steps of the 8x8 frequencies at a quality of 1..100, as libjpeg scales the standard's: [8, 8]."""
    table = np.array((_CHROMA if chroma else _LUMA).split(), np.int32).reshape(8, 8)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(((table * percent + 50) // 100).clip(1, 255), np.int32)


def code_plane(plane: Plane, table: Integers) -> Plane:
    """A plane as it comes back from its blocks: [H, W] -> [H, W], sides filled up to whole blocks and cut again."""
    height, width = plane.shape
    across = -(-width // 8)
    out = np.empty((height, width), np.uint8)
    at_a_time = 8 * max(1, _BLOCKS_AT_A_TIME // across)
    for top in range(0, height, at_a_time):
        rows = plane[top : top + at_a_time]
        down = -(-len(rows) // 8)
        whole = np.pad(rows, ((0, down * 8 - len(rows)), (0, across * 8 - width)), mode="edge")
        blocks = whole.reshape(down, 8, across, 8).transpose(1, 3, 0, 2)  # [row, column, block, block]
        coded = _inverse(_quantized(blocks.reshape(8, 8, -1), table), table).reshape(8, 8, down, across)
        out[top : top + len(rows)] = coded.transpose(2, 0, 3, 1).reshape(down * 8, -1)[: len(rows), :width]
    return out


def _quantized(blocks: Plane, table: Integers) -> Integers:
    """Samples -> the integers that the file would hold, int32 [8, 8, N]."""
    # float64 holds all these integers, and multiplies matrices several times as fast as int32 does.
    centred = blocks.astype(np.float64) - 128
    rows = np.floor(np.einsum("kn,rnb->rkb", _SLOW, centred, optimize=True) / (1 << 11) + 0.5)
    both = np.floor(np.tensordot(_SLOW, rows, 1) / (1 << 15) + 0.5)
    steps = table[:, :, None] * 8.0  # the transform's output is eight times the frequency
    return np.asarray(np.sign(both) * np.floor((np.abs(both) + np.floor(steps / 2)) / steps), np.int32)


def _inverse(coded: Integers, table: Integers) -> Plane:
    """The file's integers -> samples, [8, 8, N]."""
    steps = (table * _SCALES + (1 << 11)) >> 12  # two bits of fraction are left
    frequencies = coded * steps[:, :, None].astype(np.int32)
    columns = _fast_pass(list(frequencies))
    rows = _fast_pass([np.stack([line[k] for line in columns]) for k in range(8)])
    samples = np.stack(rows, axis=1) >> 5
    return np.asarray((samples + 128).clip(0, 255), np.uint8)


def _fast_pass(d: list[Integers]) -> list[Integers]:
    """One dimension of the fast transform; every product is cut off at 8 bits of fraction, as libjpeg does it."""
    sum04, difference04, sum26 = d[0] + d[4], d[0] - d[4], d[2] + d[6]
    turned26 = ((d[2] - d[6]) * 362 >> 8) - sum26  # 1.414
    even = sum04 + sum26, difference04 + turned26, difference04 - turned26, sum04 - sum26

    sum53, difference53, sum17, difference17 = d[5] + d[3], d[5] - d[3], d[1] + d[7], d[1] - d[7]
    shared = (difference53 + difference17) * 473 >> 8  # 1.848
    odd0 = sum17 + sum53
    odd1 = (difference53 * -669 >> 8) + shared - odd0  # -2.613
    odd2 = ((sum17 - sum53) * 362 >> 8) - odd1
    odd3 = (difference17 * 277 >> 8) - shared + odd2  # 1.082
    return [
        even[0] + odd0,
        even[1] + odd1,
        even[2] + odd2,
        even[3] - odd3,
        even[3] + odd3,
        even[2] - odd2,
        even[1] - odd1,
        even[0] - odd0,
    ]
