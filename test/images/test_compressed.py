"""JPEG, PNG and WebP: sizes read before decoding, and what is refused."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnivla_vision.images.compressed import CompressedImage, VideoPacketError
from omnivla_vision.images.containers import read_container
from omnivla_vision.images.raw import (
    DepthImageError,
    ImageError,
    ImageSizeError,
    ImageTooLargeError,
    UndecodableImageError,
)

LOSSLESS_WEBP = (cv2.IMWRITE_WEBP_QUALITY, 101)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


def encode(rgb: NDArray[np.uint8], suffix: str, *options: int) -> NDArray[np.uint8]:
    channels = [2, 1, 0] + ([3] if rgb.shape[2] == 4 else [])
    _, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[..., channels]), options)
    return data.reshape(-1)


def decode(data: NDArray[np.uint8], image_format: str = "") -> NDArray[np.uint8]:
    return CompressedImage(data=data, format=image_format).rgb()


def size(data: NDArray[np.uint8]) -> tuple[int, int]:
    container = read_container(data.tobytes())
    assert container.end == data.size
    return container.width, container.height


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
        (".png", ()),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 80)),
        (".webp", LOSSLESS_WEBP),
    ],
)
def test_sizes_of_every_kind(picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...]) -> None:
    for height, width in ((48, 64), (1, 1), (33, 17)):
        data = encode(np.ascontiguousarray(picture[:height, :width]), suffix, *options)
        assert size(data) == (width, height)
        assert decode(data).shape == (height, width, 3)


def test_transparent_webp(picture: NDArray[np.uint8]) -> None:
    transparent = np.dstack([picture, np.full((48, 64), 128, np.uint8)])
    data = encode(transparent, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)
    assert data[12:16].tobytes() == b"VP8X"
    assert decode(data).shape == (48, 64, 3)


@pytest.mark.parametrize(("suffix", "options"), [(".png", ()), (".webp", LOSSLESS_WEBP)])
def test_lossless_kinds_are_exact(picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...]) -> None:
    assert np.array_equal(decode(encode(picture, suffix, *options)), picture)


# Fixed-size buffers of drivers, lines' ends, fillings, a phone's clip, the buffer's last picture.
TAILS = {
    "zeros": bytes(100_000),
    "line end": b"\r\n",
    "fill": b"\xff" * 4096,
    "clip": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40,
    "noise": np.random.default_rng(3).bytes(5000),
    "ends again": b"\xff\xd9" + b"\0\0\0\0IEND\xae\x42\x60\x82",
    "starts again": b"\xff\xd8\xff\xc0",
}
KINDS = [
    (".jpg", ()),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    (".jpg", (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
    (".png", ()),
    (".webp", LOSSLESS_WEBP),
]


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize(("suffix", "options"), KINDS)
def test_what_follows_the_end_does_not_matter(
    picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...], tail: bytes
) -> None:
    data = encode(picture, suffix, *options)
    longer = np.concatenate([data, np.frombuffer(tail, np.uint8)])
    assert read_container(longer.tobytes()).end == data.size
    assert np.array_equal(decode(longer), decode(data))


@pytest.mark.parametrize("tail", ["zeros", "line end", "fill", "clip"])
@pytest.mark.parametrize(("suffix", "options"), KINDS[:-1])
def test_what_is_cut_off_is_refused_whatever_follows(
    picture: NDArray[np.uint8], suffix: str, options: tuple[int, ...], tail: str
) -> None:
    """Not so a WebP that is filled up to the length that it states, and a JPEG that something ends: without a checksum
    that is like any other damage."""
    data = encode(picture, suffix, *options)
    for keep in (data.size // 2, data.size - 20):
        with pytest.raises(UndecodableImageError):
            decode(np.concatenate([data[:keep], np.frombuffer(TAILS[tail], np.uint8)]))


def test_the_end_of_a_thumbnail_is_not_the_end(picture: NDArray[np.uint8]) -> None:
    """As a camera's EXIF holds one: a whole JPEG inside a segment."""
    data, thumbnail = encode(picture, ".jpg").tobytes(), encode(picture[:8, :8], ".jpg").tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    whole = data[:2] + segment + data[2:]
    assert read_container(whole).end == len(whole)
    assert np.array_equal(decode(np.frombuffer(whole, np.uint8)), decode(np.frombuffer(data, np.uint8)))
    for keep in (2 + len(segment), len(whole) - 2):
        with pytest.raises(UndecodableImageError, match="cut off"):
            CompressedImage(data=whole[:keep]).check()


def test_millions_of_empty_parts_are_no_picture() -> None:
    """Each costs a step, not a look at the whole rest of the file."""
    for data in (
        b"\xff\xd8" + b"\xff\xff\xe0\0\2" * 4_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 200_000,
        b"\xff\xd8" + b"\xff" * 3_000_000 + b"\xd9",
    ):
        with pytest.raises(UndecodableImageError, match="damaged JPEG"):
            CompressedImage(data=data).check()


def png16(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.imencode(".png", picture[..., 0].astype(np.uint16) * 257)[1].reshape(-1)


def test_16_bit_grey_that_says_so(picture: NDArray[np.uint8]) -> None:
    for image_format in ("mono16; png compressed ", "mono16; png compressed mono16"):
        assert np.array_equal(decode(png16(picture), image_format), np.repeat(picture[..., :1], 3, axis=2))


def test_16_bit_colours(picture: NDArray[np.uint8]) -> None:
    data = cv2.imencode(".png", picture[..., ::-1].astype(np.uint16) * 257)[1].reshape(-1)
    assert np.array_equal(decode(data, "rgb16; png compressed "), picture)
    assert np.array_equal(decode(data), picture)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_cut_off_anywhere_is_refused(picture: NDArray[np.uint8], suffix: str) -> None:
    data = encode(picture, suffix)
    for keep in [*range(40), *range(40, data.size, max(1, data.size // 50))]:
        with pytest.raises(UndecodableImageError, match=f"found {keep} bytes"):
            CompressedImage(data=data[:keep].tobytes()).check()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_damaged_bytes_give_a_picture_or_a_refusal(picture: NDArray[np.uint8], suffix: str) -> None:
    random = np.random.default_rng(2)
    data = encode(picture, suffix)
    refused = 0
    for _ in range(200):
        damaged = data.copy()
        damaged[random.integers(0, data.size, 3)] = random.integers(0, 256, 3)
        try:
            assert decode(damaged).dtype == np.uint8
        except ImageError:
            refused += 1
    assert refused


def test_a_png_with_a_wrong_checksum_is_refused(picture: NDArray[np.uint8]) -> None:
    data = encode(picture, ".png")
    data[data.size // 2] ^= 0xFF
    with pytest.raises(UndecodableImageError, match="do not decode"):
        decode(data)


def bomb(kind: str, width: int, height: int) -> bytes:
    """The start of a file that claims a size, in a few bytes."""
    if kind == "png":
        return (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
            + struct.pack(">II", width, height)
            + b"\x08\x02\0\0\0"
            + bytes(4)
            + b"\0\0\0\0IEND\xae\x42\x60\x82"
        )
    if kind == "jpeg":
        return b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10) + b"\xff\xd9"
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + bytes(8) + (width - 1).to_bytes(3, "little") * 2


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_huge_claims_are_refused_before_decoding(kind: str) -> None:
    with pytest.raises(ImageTooLargeError, match="found an image of 65535x65535 pixels; expected at most 32000000"):
        CompressedImage(data=bomb(kind, 65535, 65535)).check()


def test_an_empty_size_is_refused() -> None:
    with pytest.raises(ImageSizeError, match="found an image of 0x7 pixels"):
        CompressedImage(data=bomb("jpeg", 0, 7)).check()


def test_the_limit_is_the_callers(picture: NDArray[np.uint8]) -> None:
    data = encode(picture, ".jpg")
    with pytest.raises(ImageTooLargeError, match="expected at most 3071 pixels"):
        CompressedImage(data=data, max_pixels=64 * 48 - 1).rgb()


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"GIF89a" + bytes(50), b"BM" + bytes(60), b"RIFF\x10\0\0\0AVI " + bytes(30)]
)
def test_other_kinds_are_refused(data: bytes) -> None:
    with pytest.raises(UndecodableImageError, match=r"expected a JPEG \(ff d8\)"):
        CompressedImage(data=data).check()


@pytest.mark.parametrize(
    "image_format",
    [
        "16UC1; compressedDepth png",
        "32FC1; compressedDepth rvl",
        "16UC1; png compressed ",
        "16UC1; jpeg compressed ",
        "16UC1;jpeg",
        "16UC1",
        "32FC1; jpeg compressed bgr8",
        "64FC1; png",
        "16SC2; png compressed ",
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_depth_is_refused_by_its_format(picture: NDArray[np.uint8], image_format: str, suffix: str) -> None:
    image = CompressedImage(data=encode(picture, suffix), format=image_format)
    for use in (image.check, image.rgb):
        with pytest.raises(DepthImageError, match="distances, not colours"):
            use()


@pytest.mark.parametrize("image_format", ["", "png", "PNG", "jpeg", "; png compressed"])
def test_16_bit_grey_that_does_not_say_so_is_depth(picture: NDArray[np.uint8], image_format: str) -> None:
    image = CompressedImage(data=png16(picture), format=image_format)
    for use in (image.check, image.rgb):
        with pytest.raises(DepthImageError, match=r"one channel of 16 bits.*connect the colour camera"):
            use()


@pytest.mark.parametrize("image_format", ["8UC1; png compressed ", "8UC3; jpeg compressed bgr8", "rgb8; jpeg", "jpg"])
def test_formats_of_pictures(picture: NDArray[np.uint8], image_format: str) -> None:
    assert np.array_equal(decode(encode(picture, ".png"), image_format), picture)


@pytest.mark.parametrize(
    ("image_format", "data", "name"),
    [
        ("h264", b"\0\0\0\1\x67", "H.264"),
        ("H.265", b"", "H.265"),
        ("hevc_nvenc; bgr8", b"\0\0\1", "H.265"),
        ("", b"\0\0\0\1\x67\x42", "H.264 or H.265"),
        ("av1", b"\x12\0", "AV1"),
    ],
)
def test_video_is_refused_by_its_name(image_format: str, data: bytes, name: str) -> None:
    with pytest.raises(VideoPacketError, match=f"found {name} video.*expected JPEG, PNG or WebP pictures"):
        CompressedImage(data=data, format=image_format).check()
