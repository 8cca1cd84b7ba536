"""Pictures out of a video stream that was recorded packet by packet: H.264, H.265, AV1, VP8 and VP9, with PyAV."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivla_vision.errors import VisionError
from omnivla_vision.images.raw import UndecodableImageError, check_size

# ffmpeg_image_transport_msgs/msg/FFMPEGPacket, which neither ROS nor rosbags ships.
VIDEO_PACKET_FIELDS = """
std_msgs/Header header
int32 width
int32 height
string encoding
uint64 pts
uint8 flags
bool is_bigendian
uint8[] data
"""


class VideoSupportMissingError(VisionError):
    """PyAV is not installed."""


class VideoStream:
    """Decodes the packets of one stream, each of which is one picture, in their order.

    Args:
        codec: as `codec_of` gives it.
        max_pixels: refuse larger pictures.

    Raises:
        VideoSupportMissingError: PyAV is not installed.
    """

    def __init__(self, codec: str, *, max_pixels: int) -> None:
        try:
            import av
        except ImportError as error:
            raise VideoSupportMissingError(
                f"found {codec} video, and no PyAV to decode it; install the extra: pip install 'omnivla-vision[video]'"
            ) from error
        self._av: Any = av
        self._codec = codec
        self._max_pixels = max_pixels
        self._context: Any = av.CodecContext.create(codec, "r")
        self._context.thread_count = 1  # several threads give each picture some packets late
        self._packets = 0

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The picture of the next packet, uint8 [H, W, 3]: colours as the stream says, BT.601 where it does not.

        Raises:
            UndecodableImageError: it is damaged, the key frame before it is not there, or the stream's pictures come in
                another order than its packets, whose stamps would then be another picture's.
            ImageSizeError, ImageTooLargeError, ImageShapeError: see `check_size`.
        """
        packet = self._av.Packet(bytes(data))
        packet.pts = packet.dts = self._packets
        self._packets += 1
        try:
            pictures = [picture for picture in self._context.decode(packet) if picture.pts == packet.pts]
        except self._av.FFmpegError as error:
            raise UndecodableImageError(
                f"found a {self._codec} packet that does not decode ({error}); expected a whole one, and a key frame "
                "before it"
            ) from error
        if not pictures:
            raise UndecodableImageError(
                f"found a {self._codec} packet without a picture of its own; expected a key frame before it, and no "
                "B-frames (zero latency); play from a key frame on"
            )
        check_size(pictures[0].width, pictures[0].height, self._max_pixels)
        return np.asarray(pictures[0].to_ndarray(format="rgb24"), dtype=np.uint8)
