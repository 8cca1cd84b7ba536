"""`omnivla-vision inspect`: what a checkpoint is, and that it can be used, without a robot."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omnivla_vision.cli.options import add_checkpoint_options
from omnivla_vision.network.grid import Grid

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from omnivla_vision.checkpoint import Checkpoint


def add_parser(subparsers: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="check a checkpoint and say what is in it",
        description="Load a checkpoint exactly as the node does, and say: format, preset, sizes, normalization in "
        "force and where it came from, fingerprint, what is ignored, warnings. What the node would refuse is refused "
        "here, too.",
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a folder, a file, two files joined by +, hub:ORG/MODEL, hub:PRESET or hub:ID[+ID]",
    )
    add_checkpoint_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load and print."""
    # Here and not above: torch takes seconds to import, and --help should not.
    from omnivla_vision.checkpoint import load_checkpoint
    from omnivla_vision.checkpoint.errors import MissingProjectorError
    from omnivla_vision.weights import open_views

    views = open_views(arguments.region, arguments.mask)
    options: dict[str, Any] = {
        "preset": arguments.preset or None,
        "lora_alpha": arguments.lora_alpha or None,
        "lora_adapter": arguments.lora_adapter or None,
        "encoder_weights": arguments.encoder_weights or None,
        "image_path": arguments.image_path or None,
    }
    try:
        checkpoint = load_checkpoint(arguments.checkpoint, projector=True, **options)
    except MissingProjectorError:  # not everyone needs one; the line below then says so
        checkpoint = load_checkpoint(arguments.checkpoint, **options)
    report = describe(checkpoint)
    report["views"] = views.ids(checkpoint.preset.mean_colour)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything that is known of a loaded checkpoint, as JSON has it."""
    from omnivla_vision.checkpoint.ignored import ignored
    from omnivla_vision.tokens.preset_layout import token_layout

    preset = checkpoint.preset
    projector = checkpoint.projector()
    return {
        "path": checkpoint.path,
        "format": checkpoint.format,
        "preset": preset.name,
        "preset_from": checkpoint.sources["preset"],
        "tokens_per_image": preset.tokens_per_image,
        "grid": preset.grid,
        "width": preset.width,
        "outputs": [
            {
                "name": output.name,
                "pooling": str(output.pooling),
                "images": scope.images,
                "tokens_per_image": output.tokens_per_image,
                "grid": output.grid,
                "width": output.width,
            }
            for scope, output in zip(preset.outputs, token_layout(preset, ["image"], None).outputs, strict=True)
        ],
        "projected_width": None if projector is None else projector.out_width,
        "dtype": str(checkpoint.dtype).removeprefix("torch."),
        "parts": [
            {
                "name": part.name,
                "parameters_stored": part.stored_parameters,
                "parameters_executed": part.executed_parameters,
                "bytes_executed": part.executed_bytes,
            }
            for part in checkpoint.parts
        ],
        "normalization": {spec.name: {"mean": list(spec.mean), "std": list(spec.std)} for spec in preset.encoders},
        "normalization_from": checkpoint.sources["normalization"],
        "resize": {
            spec.name: {
                "size": spec.image_size.height if spec.image_size.is_square else list(spec.image_size),
                "strategy": spec.resize.strategy,
                "interpolation": spec.resize.interpolation,
                "fill": list(spec.resize.fill),
            }
            for spec in preset.encoders
        },
        "resize_from": checkpoint.sources["resize"],
        "image_path": preset.image_path.name,
        "image_path_steps": [step.id for step in preset.image_path.steps],
        "image_path_from": checkpoint.sources["image_path"],
        "lora": None if checkpoint.adapter is None else asdict(checkpoint.adapter),
        "fingerprint": checkpoint.fingerprint,
        "backbone_fingerprint": checkpoint.backbone_fingerprint,
        "ignored": list(ignored(checkpoint)),
        "warnings": list(checkpoint.warnings),
    }


def _print(report: dict[str, Any]) -> None:
    projected = report["projected_width"]
    per_image, grid = f"{report['tokens_per_image']} x", Grid(*report["grid"])
    lines = [
        ("checkpoint", report["path"]),
        ("format", report["format"]),
        ("preset", f"{report['preset']} (from {report['preset_from']})"),
        ("tokens", f"{per_image} {report['width']} per image, grid {grid}"),
        ("projected", "no projector" if projected is None else f"{per_image} {projected} per image"),
    ]
    if [output["pooling"] for output in report["outputs"]] != ["none"]:
        lines += [_output(output) for output in report["outputs"]]
    for part in report["parts"]:
        stored, executed = part["parameters_stored"] / 1e6, part["parameters_executed"] / 1e6
        size = f"{part['bytes_executed'] / 1e6:.1f} MB in {report['dtype']}"
        lines.append((part["name"], f"{stored:.2f} M parameters, {executed:.2f} M executed, {size}"))
    lines.append(("normalization", f"from {report['normalization_from']}"))
    for name, values in report["normalization"].items():
        lines.append((f"  {name}", f"mean {values['mean']}, std {values['std']}"))
    lines += [("looked at", text) for text in report["views"]]
    lines.append(("image path", f"{report['image_path']} ({report['image_path_from']})"))
    lines += [("", step) for step in report["image_path_steps"]]
    lines.append(("resize", f"from {report['resize_from']}"))
    for name, how in report["resize"].items():
        fill = f", fill {how['fill']}" if how["strategy"] == "letterbox" else ""
        lines.append((f"  {name}", f"{how['strategy']} to {how['size']}, {how['interpolation']}{fill}"))
    lines += [] if report["lora"] is None else _lora(report["lora"])
    lines.append(("fingerprint", report["fingerprint"]))
    if projected is not None:
        lines.append(("  fused space", report["backbone_fingerprint"]))
    lines += [("ignored", phrase) for phrase in report["ignored"]]
    for name, value in lines:
        print(f"{name:<15} {value}")
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)


def _output(output: dict[str, Any]) -> tuple[str, str]:
    """The line about one of a preset's outputs."""
    whose = {"present": "present image", "past": "past image", "all": "present or past image"}[output["images"]]
    size, grid = f"{output['tokens_per_image']} x {output['width']}", Grid(*output["grid"])
    return f"  {output['name']}", f"{size} per {whose}, grid {grid}, pooling {output['pooling']}"


def _lora(lora: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines about an adapter that was merged."""
    rank, alpha, scale = (
        ", ".join(f"{value:g}" for value in lora[key]) or "none" for key in ("ranks", "alphas", "scales")
    )
    lines = [("lora", lora["path"]), ("  scale", f"{scale} (rank {rank}, alpha {alpha})")]
    for title, key in (("  merged", "layers"), ("  saved whole", "saved")):
        lines.append((title, ", ".join(f"{part} {count}" for part, count in lora[key].items()) or "nothing"))
    return lines + [("  ignored", phrase) for phrase in lora["ignored"]]
