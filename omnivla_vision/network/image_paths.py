"""What a policy's own code does to an image in front of its encoders, as data: steps, and named paths made of them.

Sources: openvla/openvla (`experiments/robot/openvla_utils.py`, `vla-scripts/deploy.py`), moojink/openvla-oft
(`experiments/robot/openvla_utils.py`), Physical-Intelligence/openpi (`openpi_client/image_tools.py`), NHirose/OmniVLA
(`inference/run_omnivla.py`), InternRobotics/NavDP (`baselines/navdp/policy_agent.py`), huggingface/lerobot
(`policies/smolvla/modeling_smolvla.py`), ai4ce/CityWalker (`data/citywalk_dataset.py`, `model/citywalker.py`); the
crop without TensorFlow is that of openvla-mini and MolmoAct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omnivla_vision.errors import VisionError

Filter = Literal["bilinear", "bicubic", "lanczos3"]
Chroma = Literal["420", "444"]


class UnknownImagePathError(VisionError):
    """The image path's name is not in the table."""


@dataclass(frozen=True, kw_only=True)
class JpegRoundTrip:
    """What is left of an image after a JPEG that is decoded with the fast integer transform.

    So TensorFlow writes (`encode_jpeg`, whose defaults these are) and reads. Other programs read with the slow
    transform, which differs by up to 18 levels.

    Attributes:
        quality: 1..100, as libjpeg counts it.
        chroma: "420", halved both ways, or "444", whole (`chroma_downsampling=False`).
    """

    quality: int = 95
    chroma: Chroma = "420"

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"jpeg:{self.quality}:{self.chroma}:ifast"


@dataclass(frozen=True, kw_only=True)
class ResizeTo:
    """Squash to a square, resampled in float32 and rounded once, as `tf.image.resize` and `jax.image.resize` do it.

    Attributes:
        size: of the square, in pixels.
        filter: bicubic's a is -0.5.
        antialias: whether the filter grows with the scale where the image shrinks.
    """

    size: int
    filter: Filter
    antialias: bool = True

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"resize:{self.size}:{self.filter}{'-antialias' if self.antialias else ''}:float32"


@dataclass(frozen=True, kw_only=True)
class FitInto:
    """Resize all of the image into a square, its proportions kept, bilinear.

    Attributes:
        size: of the square, in pixels: the longer side's; the other is rounded down.
        antialias: as PIL does it, with a filter that grows where the image shrinks; without, four pixels are mixed
            whatever the scale, in float32 and rounded once.
    """

    size: int
    antialias: bool = True

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"fit:{self.size}:bilinear{'-antialias:uint8' if self.antialias else ':float32'}"


@dataclass(frozen=True, kw_only=True)
class PadTo:
    """Borders around a side shorter than `size` pixels; RGB, 0..255.

    Attributes:
        corner: the image is put into the last one, with all of the border above and on its left; else the borders are
            equal, one more at the end if they are odd.
    """

    size: int
    fill: tuple[int, int, int] = (0, 0, 0)
    corner: bool = False

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"pad:{self.size}:fill={','.join(map(str, self.fill))}{':corner' * self.corner}"


@dataclass(frozen=True, kw_only=True)
class CentreTo:
    """The centre of an image in its own pixels: black borders where it is smaller, cut off where it is larger.

    Attributes:
        height, width: of the result, in pixels. An odd pixel of the border is behind; an odd one that is cut off is
            divided as torchvision's `center_crop` rounds.
    """

    height: int
    width: int

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"centre:{self.height}x{self.width}:fill=0,0,0"


@dataclass(frozen=True, kw_only=True)
class CropAndResize:
    """The centre of an image as TensorFlow's `crop_and_resize` takes it: corners aligned, bilinear, not antialiased.

    Attributes:
        area: of the crop, as a part of the image's.
        size: of the square that becomes of it, in pixels.
    """

    area: float
    size: int

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"crop-and-resize:{self.area:.9g}:{self.size}:bilinear"


@dataclass(frozen=True, kw_only=True)
class CropAndBack:
    """The centre of an image in whole pixels, and back to the image's own size, as PIL's `crop` and `resize` make it.

    Attributes:
        area: of the crop, as a part of the image's; its sides are rounded down.
    """

    area: float

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"crop-and-back:{self.area:.9g}:bilinear-antialias:uint8"


@dataclass(frozen=True, kw_only=True)
class UnlessSize:
    """Steps for images that are not `size` x `size` pixels yet; the others stay as they are."""

    size: int
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """The step with every number, as it stands in a preprocessing id."""
        return f"unless-{self.size}({steps_id(self.steps)})"


Step = JpegRoundTrip | ResizeTo | FitInto | PadTo | CentreTo | CropAndResize | CropAndBack | UnlessSize


@dataclass(frozen=True, kw_only=True)
class ImagePath:
    """Steps that an image goes through once, in this order, in front of the encoders' own resize."""

    name: str
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> str:
        """Every step with every number; two paths with the same id do the same, whatever their names."""
        return steps_id(self.steps)


def steps_id(steps: tuple[Step, ...]) -> str:
    """Steps with all their numbers, in order."""
    return ">".join(step.id for step in steps)


# RLDS data sets hold JPEGs of this size, so OFT makes one of whatever comes.
_AS_IN_RLDS = UnlessSize(size=224, steps=(JpegRoundTrip(), ResizeTo(size=224, filter="lanczos3")))
# Trained with random crops of 0.9 of the area, evaluated with the one in the middle.
_CENTRE = CropAndResize(area=0.9, size=224)

PLAIN = ImagePath(name="plain")
IMAGE_PATHS: dict[str, ImagePath] = {
    path.name: path
    for path in (
        PLAIN,
        ImagePath(name="omnivla"),
        ImagePath(name="openvla"),
        ImagePath(name="openvla-crop", steps=(_CENTRE,)),
        ImagePath(name="openvla-crop-pil", steps=(CropAndBack(area=0.9),)),
        ImagePath(name="openvla-oft", steps=(_AS_IN_RLDS,)),
        ImagePath(name="openvla-oft-crop", steps=(_AS_IN_RLDS, _CENTRE)),
        ImagePath(name="openpi", steps=(FitInto(size=224), PadTo(size=224))),
        ImagePath(name="navdp", steps=(FitInto(size=224, antialias=False), PadTo(size=224))),
        ImagePath(name="smolvla", steps=(FitInto(size=512, antialias=False), PadTo(size=512, corner=True))),
        ImagePath(name="citywalker", steps=(CentreTo(height=360, width=640), CentreTo(height=350, width=630))),
    )
}


def get_image_path(name: str) -> ImagePath:
    """Look a path up by its name.

    Raises:
        UnknownImagePathError: no such path; the message lists the known ones.
    """
    try:
        return IMAGE_PATHS[name]
    except KeyError:
        raise UnknownImagePathError(
            f"unknown image path {name!r}; expected one of {', '.join(IMAGE_PATHS)}; choose what the policy's own code "
            "does to its images"
        ) from None
