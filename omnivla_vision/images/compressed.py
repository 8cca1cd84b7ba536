"""JPEG, PNG and WebP files -> RGB uint8 [H, W, 3]; kind, size and completeness are checked before decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from omnivla_vision.images.codecs import codec_of, title
from omnivla_vision.images.containers import Container, read_container, undecodable
from omnivla_vision.images.encodings import DEPTH, ENCODINGS
from omnivla_vision.images.opencv import swap_red_and_blue
from omnivla_vision.images.raw import MAX_PIXELS, DepthImageError, UndecodableImageError, check_size

Image = NDArray[np.uint8]

# What every part of an H.264 or H.265 stream begins with.
_VIDEO_STARTS = (b"\0\0\0\1", b"\0\0\1")


class VideoPacketError(UndecodableImageError):
    """A packet of a video stream, which is no picture without those before it."""


@dataclass(frozen=True, kw_only=True)
class CompressedImage:
    """The fields of a sensor_msgs/CompressedImage, without ROS, and how many pixels it may have.

    `format` only tells depth images and video apart: drivers write many things into it. What the bytes are is read from
    them. Bytes after the end of the file are left alone.
    """

    data: bytes | bytearray | memoryview | NDArray[np.uint8]
    format: str = ""
    max_pixels: int = MAX_PIXELS

    def check(self) -> None:
        """Read the size from the file's header and compare it with the limit; decodes nothing.

        Raises:
            DepthImageError: `format` says that it is a depth image, or it is a PNG of one channel of 16 bits and
                `format` names no encoding of pictures.
            VideoPacketError: H.264 or the like.
            UndecodableImageError: no JPEG, PNG or WebP file, or one that is cut off.
            ImageSizeError, ImageTooLargeError, ImageShapeError: no pixels, more than `max_pixels`, or too long a side.
        """
        _ = self._container

    def rgb(self) -> Image:
        """Decode; an EXIF rotation is not applied, since the encoder sees what the camera sent.

        A JPEG whose middle is damaged but whose structure is whole decodes to a wrong picture: the format has no
        checksum.

        Returns:
            uint8 [height, width, 3]; grey is spread over three channels, transparency is dropped, 16 bits become 8.

        Raises:
            ImageError: see `check`; UndecodableImageError also if the file is corrupt.
        """
        data = np.frombuffer(self.data, np.uint8)
        container = self._container
        try:
            bgr = cv2.imdecode(data[: container.end], cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            bgr = None
        if bgr is None:
            raise undecodable(data.tobytes(), "that do not decode")
        if bgr.shape[:2] != (container.height, container.width):
            expected, found = f"{container.width}x{container.height}", f"{bgr.shape[1]}x{bgr.shape[0]}"
            raise undecodable(data.tobytes(), f"whose header says {expected} and whose picture is {found}")
        return swap_red_and_blue(np.asarray(bgr, dtype=np.uint8))

    @cached_property
    def _container(self) -> Container:
        """Checked once: a camera's image when it arrives, and not again when its turn comes."""
        content = np.frombuffer(self.data, np.uint8).tobytes()
        # image_transport writes "<encoding of the source>; <kind> compressed <encoding inside>".
        encoding = self.format.partition(";")[0].strip()
        if "compresseddepth" in self.format.lower() or (DEPTH.fullmatch(encoding) and encoding not in ENCODINGS):
            raise DepthImageError(
                f"found compressed image format {self.format!r}: distances, not colours; connect the colour camera"
            )
        codec = codec_of(self.format)
        if codec or content.startswith(_VIDEO_STARTS):
            raise VideoPacketError(
                f"found {title(codec) if codec else 'H.264 or H.265'} video in a compressed image of format "
                f"{self.format!r}; expected JPEG, PNG or WebP pictures, each by itself; let the camera's driver send "
                "these, or decode the stream upstream, for example with image_transport's republish"
            )
        container = read_container(content)
        if container.grey16 and encoding not in ENCODINGS:
            raise DepthImageError(
                f"found a PNG of one channel of 16 bits, format {self.format!r}, which is how depth images are stored: "
                "distances, not colours; connect the colour camera, and if it is a grey picture, send 8 bits or name "
                "mono16 in its format"
            )
        check_size(container.width, container.height, self.max_pixels)
        return container
