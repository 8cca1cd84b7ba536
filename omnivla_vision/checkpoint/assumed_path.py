"""Which image path a folder of the OpenVLA family asks for. No file names it, so this is what is assumed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivla_vision.network.image_paths import ImagePath, get_image_path
from omnivla_vision.network.spec import Preset

# What training leaves beside the shards: OmniVLA's alone has a projector of poses, OpenVLA-OFT's the others.
_OMNIVLA = ("pose_projector--*.pt",)
_OFT = ("action_head--*.pt", "proprio_projector--*.pt", "noisy_action_projector--*.pt", "vision_backbone--*.pt")
_OTHERS = "openvla-crop for OpenVLA fine-tuned with image augmentation, openvla-oft-crop where a JPEG comes first"


@dataclass(frozen=True, kw_only=True)
class AssumedPath:
    """A path's name, why it is assumed, and what a user must be told, if anything."""

    name: str
    reason: str
    warning: str = ""


@dataclass(frozen=True, kw_only=True)
class ChosenPath:
    """A path, where it came from, and what a user must be told, one sentence each."""

    path: ImagePath
    source: str
    warnings: tuple[str, ...] = ()


def choose_path(wanted: str | None, assumed: AssumedPath | None, preset: Preset) -> ChosenPath:
    """The path that was asked for, else the one that is assumed of the checkpoint, else the preset's.

    Raises:
        UnknownImagePathError: there is none of the name asked for.
    """
    if wanted:
        return ChosenPath(path=get_image_path(wanted), source="the request")
    if assumed is None:
        return ChosenPath(path=preset.image_path, source=f"preset {preset.name}")
    warnings = (assumed.warning,) if assumed.warning else ()
    return ChosenPath(path=get_image_path(assumed.name), source=f"assumed: {assumed.reason}", warnings=warnings)


def assumed_path(folder: Path, *, oft: bool = False) -> AssumedPath:
    """The path that the policy's own code takes by default, as far as the names in the folder tell which policy it is.

    Args:
        folder: of the checkpoint.
        oft: it is OpenVLA-OFT's, whatever else is there.
    """
    if found := _first(folder, _OMNIVLA):
        return AssumedPath(name="omnivla", reason=f"{found}, which only OmniVLA's training writes")
    found = _first(folder, _OFT)
    if oft or found:
        return AssumedPath(
            name="openvla-oft-crop",
            reason=f"{found or 'the vision backbone alone'}, as OpenVLA-OFT's training writes it, by default with "
            "random crops; no file says whether there were any",
            warning="image path openvla-oft-crop is assumed (JPEG, lanczos3, crop): so OpenVLA-OFT evaluates what "
            "was trained with image augmentation, its default, and no file says whether this was. Say it with "
            "--image-path (the node's image_path): openvla-oft-crop, or openvla-oft if image_aug was false",
        )
    return AssumedPath(
        name="openvla",
        reason="no file tells which policy it is, and OpenVLA and OmniVLA only resize; how it was trained decides: "
        f"--image-path {_OTHERS}",
    )


def adapted_path(assumed: AssumedPath | None, adapter: Path) -> AssumedPath | None:
    """The same with an adapter merged: its folder, or the run's around it, tells before the base does.

    Args:
        assumed: of the base.
        adapter: the adapter's folder.
    """
    for folder in (adapter, adapter.resolve().parent):
        found = assumed_path(folder)
        if found.name != "openvla":
            return found
    return assumed


def unseen_path(assumed: AssumedPath | None) -> AssumedPath | None:
    """The same for a model of the hub, of which only the shards are here: what would tell OpenVLA-OFT is not."""
    if assumed is None or assumed.name != "openvla":
        return assumed
    return AssumedPath(
        name="openvla",
        reason=f"of a model of the hub only the shards are here, which do not tell the policy; --image-path {_OTHERS}",
        warning="image path openvla is assumed (resize only): of a model of the hub only the shards are here, which do "
        f"not tell the policy. Say it with --image-path (the node's image_path): openvla or omnivla; {_OTHERS}",
    )


def _first(folder: Path, patterns: tuple[str, ...]) -> str:
    return next((path.name for pattern in patterns for path in sorted(folder.glob(pattern))), "")
