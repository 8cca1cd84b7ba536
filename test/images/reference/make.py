"""Makes image_paths.npz, in an environment that has TensorFlow, JAX, Pillow and openpi's client:

    pip install tensorflow-cpu jax pillow
    PYTHONPATH=OPENPI/packages/openpi-client/src python test/images/reference/make.py

Not a test: it is run again only to compare with other versions. The inputs are the pictures of resource/parity, cut by
`cases`, which the tests call, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

HERE = Path(__file__).parent
FILE = HERE / "image_paths.npz"
AREA, SIZE = 0.9, 224
# Of the rest of the results every so many-th row is kept: enough to see a wrong pixel, and small.
KEPT_WHOLE = ("oft-crop:room", "openpi:wide", "jpeg:odd", "jpeg:narrow")
EVERY = 37


def cases(pictures: dict[str, Image]) -> dict[str, Image]:
    """Images of the shapes that matter, from the four pictures of 256x256 by their names."""
    room, stream, sunset, gravel = (pictures[name] for name in ("room", "stream", "sunset", "gravel"))
    return {
        "room": room,  # as LIBERO renders
        "wide": np.concatenate([room, stream], axis=1)[:240, :427],
        "tall": np.concatenate([stream, sunset])[:, 50:183],
        "small": gravel[:61, :90],
        "right size": sunset[:SIZE, :SIZE],
        "odd": room[:41, :67],
        "narrow": stream[16:26, 234:238],
        "line": room[100:101, :117],
        "pixel": room[:1, :1],
    }


def kept(name: str, image: Image) -> Image:
    """What is stored of a result."""
    return image if name in KEPT_WHOLE else np.ascontiguousarray(image[::EVERY])


def paths() -> dict[str, Callable[[Image], Image]]:
    """What each path makes of an image, by the libraries that the policies call."""
    import jax
    import tensorflow as tf
    from openpi_client.image_tools import resize_with_pad

    def jpeg(image: Image) -> Any:
        return tf.io.decode_image(tf.image.encode_jpeg(image), expand_animations=False, dtype=tf.uint8)

    def oft(image: Image) -> Image:
        if image.shape == (SIZE, SIZE, 3):
            return image
        resized = tf.image.resize(jpeg(image), (SIZE, SIZE), method="lanczos3", antialias=True)
        return np.asarray(tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8))

    def crop(image: Image) -> Image:
        side = tf.reshape(tf.clip_by_value(tf.sqrt(AREA), 0, 1), (1,))
        corner = (1 - side) / 2
        box = tf.stack([corner, corner, corner + side, corner + side], axis=1)
        unit = tf.image.convert_image_dtype(image, tf.float32)[None]
        cropped = tf.image.crop_and_resize(unit, box, [0], (SIZE, SIZE))[0]
        return np.asarray(tf.image.convert_image_dtype(tf.clip_by_value(cropped, 0, 1), tf.uint8, saturate=True))

    def squash(image: Image, method: str, antialias: bool) -> Image:
        resized = tf.image.resize(image, (SIZE, SIZE), method=method, antialias=antialias)
        return np.asarray(tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8))

    def jax_squash(image: Image) -> Image:
        resized = jax.image.resize(image, (SIZE, SIZE, 3), "bilinear")
        return np.asarray(jax.numpy.round(resized).clip(0, 255).astype(np.uint8))

    return {
        "jpeg": lambda image: np.asarray(jpeg(image)),
        "jpeg-444": lambda image: np.asarray(tf.io.decode_image(tf.io.encode_jpeg(image, chroma_downsampling=False))),
        "oft": oft,
        "crop": crop,
        "oft-crop": lambda image: crop(oft(image)),
        "openpi": lambda image: np.asarray(resize_with_pad(image, SIZE, SIZE)),
        "bilinear": jax_squash,
        "bicubic": lambda image: squash(image, "bicubic", True),
        "bilinear without antialias": lambda image: squash(image, "bilinear", False),
    }


def main() -> None:
    import jax
    import PIL
    import tensorflow as tf
    from PIL import Image as PilImage

    folder = HERE.parents[2] / "resource" / "parity"
    pictures = {path.stem: np.asarray(PilImage.open(path).convert("RGB")) for path in folder.glob("*.png")}
    versions = f"TensorFlow {tf.__version__}, JAX {jax.__version__}, Pillow {PIL.__version__}, NumPy {np.__version__}"
    results = {
        f"{path}:{case}": kept(f"{path}:{case}", run(image))
        for path, run in paths().items()
        for case, image in cases(pictures).items()
    }
    np.savez_compressed(FILE, versions=np.array(versions), **results)
    print(f"{FILE}: {versions}, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
