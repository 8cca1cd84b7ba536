"""Which video a message's `format` or `encoding` names: as drivers, ffmpeg's encoders and ffmpeg_image_transport do."""

from __future__ import annotations

import re

_CODECS = {
    "h264": re.compile(r"h\.?264|x264|\bavc", re.IGNORECASE),
    "hevc": re.compile(r"h\.?265|x265|hevc", re.IGNORECASE),
    "av1": re.compile(r"av1", re.IGNORECASE),
    "vp9": re.compile(r"vp9", re.IGNORECASE),
    "vp8": re.compile(r"vp8", re.IGNORECASE),
    "mpeg4": re.compile(r"mpeg-?4", re.IGNORECASE),
}
_TITLES = {"h264": "H.264", "hevc": "H.265", "mpeg4": "MPEG-4"}


def codec_of(name: str) -> str | None:
    """The codec by ffmpeg's name for it, or None if it is none of video."""
    return next((codec for codec, pattern in _CODECS.items() if pattern.search(name)), None)


def title(codec: str) -> str:
    """As people write it."""
    return _TITLES.get(codec, codec.upper())
