"""The encodings of sensor_msgs/image_encodings.hpp: how each lies in memory, and what makes RGB of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.opencv import swap_red_and_blue

Image = NDArray[np.uint8]
Samples = NDArray[Any]

# One channel of more than 8 bits, or of floats, is a depth image in every ROS driver.
DEPTH = re.compile(r"(8S|16U|16S|32S|32F|64F)C[1-4]")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one encoding lies in memory.

    Attributes:
        channels: samples per pixel in a row (two for the packed YUV formats: luma and one of the chromas).
        to_rgb: samples [rows, W, channels] -> uint8 [H, W, 3].
        bits: per sample, 8 or 16.
        half_rows: rows of memory per two rows of picture; planar YUV has its chroma below the luma.
        padding: whether rows may be padded.
        width_multiple, height_multiple: what the picture's size must be divisible by.
    """

    channels: int
    to_rgb: Callable[[Samples], Image]
    bits: int = 8
    half_rows: int = 2
    padding: bool = True
    width_multiple: int = 1
    height_multiple: int = 1

    @property
    def row_bytes(self) -> int:
        """Bytes that one pixel takes in a row."""
        return self.channels * self.bits // 8

    def rows(self, height: int) -> int:
        """Rows of `step` bytes in memory for a picture of that height."""
        return height * self.half_rows // 2

    def samples(self, rows: Image, width: int, is_bigendian: bool) -> Samples:
        """[rows, step] bytes -> [rows, width, channels] samples in the machine's byte order, without the padding."""
        used = rows[:, : width * self.row_bytes]
        if self.bits == 16:
            words = np.ascontiguousarray(used).view(">u2" if is_bigendian else "<u2")
            return words.astype(np.uint16).reshape(len(rows), width, self.channels)
        return used.reshape(len(rows), width, self.channels)


def _view(samples: Samples) -> Image:
    return samples


def _convert(code: int) -> Callable[[Samples], Image]:
    def to_rgb(samples: Samples) -> Image:
        # OpenCV wants whole rows, so a padded image is made dense first.
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(samples), code), dtype=np.uint8)

    return to_rgb


def _to_8_bits(samples: Samples) -> Image:
    return np.asarray(cv2.convertScaleAbs(samples, alpha=255 / 65535), dtype=np.uint8).reshape(samples.shape)


def _wide(to_rgb: Callable[[Samples], Image]) -> Callable[[Samples], Image]:
    """16 bits: to 8 first, which every conversion but Bayer's may do without loss of what the network sees."""
    return lambda samples: to_rgb(_to_8_bits(samples))


def _bayer16(code: int) -> Callable[[Samples], Image]:
    # Interpolated in 16 bits, and rounded once.
    return lambda samples: _to_8_bits(np.asarray(cv2.cvtColor(samples, code)))


def _nv24(samples: Samples) -> Image:
    """Full-size chroma, which OpenCV has no code for. BT.601 in video range, as its other YUV conversions."""
    height, width = len(samples) // 3, samples.shape[1]
    luma = samples[:height].reshape(height, width)
    chroma = np.ascontiguousarray(samples[height:]).reshape(height, width, 2)
    yuv = np.dstack([luma, chroma]).astype(np.float32) - np.array([16, 128, 128], np.float32)
    rgb = cv2.transform(yuv, _BT601)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), dtype=np.uint8)


_BT601 = np.array([[1.164, 0, 1.596], [1.164, -0.391, -0.813], [1.164, 2.018, 0]], np.float32)

_RGB, _BGR, _RGBA, _BGRA = (
    _view,
    swap_red_and_blue,
    _convert(cv2.COLOR_RGBA2RGB),
    _convert(cv2.COLOR_BGRA2RGB),
)
_GREY = _convert(cv2.COLOR_GRAY2RGB)
_UYVY = Encoding(channels=2, to_rgb=_convert(cv2.COLOR_YUV2RGB_UYVY), width_multiple=2)
_YUYV = Encoding(channels=2, to_rgb=_convert(cv2.COLOR_YUV2RGB_YUY2), width_multiple=2)

# ROS names a Bayer pattern by its first two rows, OpenCV by the second and third pixel of the second row.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding(channels=3, to_rgb=_RGB),
    "bgr8": Encoding(channels=3, to_rgb=_BGR),
    "rgba8": Encoding(channels=4, to_rgb=_RGBA),
    "bgra8": Encoding(channels=4, to_rgb=_BGRA),
    "mono8": Encoding(channels=1, to_rgb=_GREY),
    "rgb16": Encoding(channels=3, to_rgb=_wide(_RGB), bits=16),
    "bgr16": Encoding(channels=3, to_rgb=_wide(_BGR), bits=16),
    "rgba16": Encoding(channels=4, to_rgb=_wide(_RGBA), bits=16),
    "bgra16": Encoding(channels=4, to_rgb=_wide(_BGRA), bits=16),
    "mono16": Encoding(channels=1, to_rgb=_wide(_GREY), bits=16),
    # OpenCV's own names; whoever publishes a cv::Mat without saying more has BGR.
    "8UC1": Encoding(channels=1, to_rgb=_GREY),
    "8UC3": Encoding(channels=3, to_rgb=_BGR),
    "8UC4": Encoding(channels=4, to_rgb=_BGRA),
    **{
        f"bayer_{pattern}8": Encoding(channels=1, to_rgb=_convert(code), width_multiple=2, height_multiple=2)
        for pattern, code in _BAYER.items()
    },
    **{
        f"bayer_{pattern}16": Encoding(channels=1, to_rgb=_bayer16(code), bits=16, width_multiple=2, height_multiple=2)
        for pattern, code in _BAYER.items()
    },
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "nv12": Encoding(
        channels=1, to_rgb=_convert(cv2.COLOR_YUV2RGB_NV12), half_rows=3, width_multiple=2, height_multiple=2
    ),
    "nv21": Encoding(
        channels=1, to_rgb=_convert(cv2.COLOR_YUV2RGB_NV21), half_rows=3, width_multiple=2, height_multiple=2
    ),
    # No one says how its chroma rows, twice as long as the others, would be padded.
    "nv24": Encoding(channels=1, to_rgb=_nv24, half_rows=6, padding=False),
}
