"""The gate: no engine is used before its tokens have been compared with the float32 reference, encoder by encoder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from omnivla_vision.engine.base import Engine, EngineError, EngineSpec
from omnivla_vision.images.files import read_rgb
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.backbone import Backbone
from omnivla_vision.network.presets import Preset
from omnivla_vision.resources import resource_path

Image = NDArray[np.uint8]

PHOTOGRAPHS = ("gravel", "room", "stream", "sunset")
NOISE_SEED = 0
NOISE_SIZE = (480, 640)
# At every start: the first photograph and the noise. All of them when a bundle is built or verified.
START_IMAGES = (0, len(PHOTOGRAPHS))


class ParityError(EngineError):
    """An engine's tokens are not those of the reference; the message holds the numbers and the limits."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an encoder's tokens must keep to, against the float32 reference.

    Cosines are per token; `relative_l2` is the norm of the difference over all tokens by the norm of the reference.
    """

    cosine_min: float
    cosine_mean: float
    relative_l2: float


# float32: the sum's order, and folded constants. bfloat16 has 8 bits of mantissa, float16 11: the full pair with random
# weights measures 1.2e-2 and 2e-3, cosines 0.9999 and above; a factor of three is left for real weights.
# int8: the cosine at which a policy's tokens are still called equal.
LIMITS = {
    "float32": Limits(cosine_min=0.999999, cosine_mean=0.9999999, relative_l2=1e-5),
    "bfloat16": Limits(cosine_min=0.999, cosine_mean=0.9995, relative_l2=3e-2),
    "float16": Limits(cosine_min=0.9999, cosine_mean=0.99995, relative_l2=1e-2),
    "mixed": Limits(cosine_min=0.9999, cosine_mean=0.99995, relative_l2=1e-2),
    "int8": Limits(cosine_min=0.998, cosine_mean=0.9995, relative_l2=5e-2),
}


@dataclass(frozen=True, kw_only=True)
class EncoderParity:
    """One encoder's distance from the reference."""

    encoder: str
    finite: bool
    cosine_min: float
    cosine_mean: float
    relative_l2: float

    def within(self, limits: Limits) -> bool:
        """Whether every number keeps to its limit; NaN never does."""
        return (
            self.finite
            and self.cosine_min >= limits.cosine_min
            and self.cosine_mean >= limits.cosine_mean
            and self.relative_l2 <= limits.relative_l2
        )

    def __str__(self) -> str:
        if not self.finite:
            return f"{self.encoder}: NaN or infinite values"
        return (
            f"{self.encoder}: token cosine min {self.cosine_min:.7f} mean {self.cosine_mean:.7f}, "
            f"relative L2 {self.relative_l2:.2e}"
        )


@lru_cache(maxsize=1)
def parity_images() -> tuple[Image, ...]:
    """The fixed images, uint8 [H, W, 3]: photographs that ship with the package, then seeded noise."""
    photographs = [read_rgb(resource_path(f"resource/parity/{name}.png")) for name in PHOTOGRAPHS]
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, (*NOISE_SIZE, 3), dtype=np.uint8)
    return (*photographs, noise)


def parity_images_id() -> str:
    """SHA-256 over the fixed images, so that a bundle's reference tokens are never compared with other images'."""
    digest = hashlib.sha256()
    for image in parity_images():
        digest.update(f"{image.shape}".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def reference_tokens(backbone: Backbone) -> Tensor:
    """What the network as it is written computes in float32: [images, tokens_per_image, width]."""
    preprocess = Preprocessor(backbone.preset)
    with torch.inference_mode():
        # One at a time: a batch of all of them would need several hundred megabytes of activations.
        return torch.cat([backbone(*preprocess([image])) for image in parity_images()])


def compare(tokens: Tensor, reference: Tensor, preset: Preset) -> tuple[EncoderParity, ...]:
    """Measure tokens against a reference of the same shape, [..., width], each encoder's segment by itself.

    The noise's and the photographs' tokens weigh the same; all arithmetic is float64.
    """
    segments = [spec.width for spec in preset.encoders]
    results = []
    parts = zip(tokens.double().split(segments, dim=-1), reference.double().split(segments, dim=-1), strict=True)
    for spec, (ours, theirs) in zip(preset.encoders, parts, strict=True):
        cosine = F.cosine_similarity(ours, theirs, dim=-1)
        results.append(
            EncoderParity(
                encoder=spec.name,
                finite=bool(ours.isfinite().all()),
                cosine_min=cosine.min().item(),
                cosine_mean=cosine.mean().item(),
                relative_l2=((ours - theirs).norm() / theirs.norm()).item(),
            )
        )
    return tuple(results)


def check(
    engine: Engine, spec: EngineSpec, reference: Tensor, images: tuple[int, ...] | None = None
) -> tuple[EncoderParity, ...]:
    """Run the fixed images through an engine and hold its tokens against the reference's.

    Args:
        engine: one built for `spec`.
        spec: its precision chooses the limits.
        reference: float32 [len(parity_images()), tokens_per_image, width].
        images: which of the fixed images; all of them if None.

    Raises:
        ParityError: an encoder is outside the limits of `spec.precision`.
    """
    chosen = tuple(range(len(parity_images()))) if images is None else images
    tokens = torch.cat([engine(batch) for batch in batches(spec, chosen)])[: len(chosen)]
    results = compare(tokens, reference[list(chosen)], spec.preset)
    limits = LIMITS[spec.precision]
    if not all(result.within(limits) for result in results):
        raise ParityError(
            f"{engine.name} in {spec.precision} does not compute the reference's tokens: "
            f"{'; '.join(map(str, results))}; expected cosine min >= {limits.cosine_min} mean >= {limits.cosine_mean}, "
            f"relative L2 <= {limits.relative_l2:g}; choose another precision or engine"
        )
    return results


def batches(spec: EngineSpec, chosen: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
    """The chosen images as inputs of an engine, in batches of `spec.images`; the last is filled up from the front."""
    preprocess = Preprocessor(spec.preset)
    pictures = [parity_images()[index] for index in chosen]
    batches = []
    for start in range(0, len(pictures), spec.images):
        batch = [pictures[index % len(pictures)] for index in range(start, start + spec.images)]
        batches.append(preprocess.pixels(batch) if spec.entry == "uint8" else preprocess(batch))
    return batches
