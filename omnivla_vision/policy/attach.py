"""Tokens in the place of a model's own vision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from omnivla_vision.policy.errors import ModelError, NotTokensError, SeveralOutputsError
from omnivla_vision.policy.expectation import Expectation, expect
from omnivla_vision.policy.port import Port
from omnivla_vision.policy.token_input import TokenInput
from omnivla_vision.tokens.layout import FUSED, PROJECTED

# Relative L2. A conversion to bfloat16 loses 0.2 %, PEFT's merging in bfloat16 as much.
_SAME_PROJECTOR = 0.01


def attach(
    model: nn.Module,
    *,
    checkpoint: str | Path,
    images: Sequence[str] = ("current", "goal"),
    space: str = FUSED,
    pool: str = "",
    allow_random: bool = False,
    **options: Any,
) -> Port:
    """Let a model of OpenVLA's family take tokens as its `pixel_values`.

    Its `vision_backbone` is replaced and its memory free afterwards, if there was any (`without_vision`); in projected
    space its `projector` becomes an identity. The arguments are those of `expect`.

    Returns:
        What checks tokens against the checkpoint, and brings them to the model's device and number format.

    Raises:
        ModelError: the model is not built as expected, or not of this checkpoint.
        SeveralOutputsError: the preset has several outputs.
        VisionError: see `expect`.
    """
    expected = expect(checkpoint, images=images, space=space, pool=pool, allow_random=allow_random, **options)
    owner = _owner(model)
    _check_outputs(expected)
    _check_sizes(owner, expected)
    _check_projector(owner, expected)
    layout = expected.layout
    owner.vision_backbone = TokenInput(
        expected.preset,
        images=len(layout.image_names),
        tokens_per_image=layout.tokens_per_image,
        width=layout.width,
    )
    if space == PROJECTED:
        owner.projector = nn.Identity()
    owner.register_forward_pre_hook(_check_call, with_kwargs=True)
    return Port(expected, model)


def _check_call(model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Without images these models answer from the prompt alone, and nobody notices.

    Raises:
        NotTokensError: no tokens where a sequence begins.
    """
    begins = named.get("past_key_values") is None
    if begins and len(arguments) < 3 and named.get("pixel_values") is None:
        raise NotTokensError("found no pixel_values; expected tokens; give the model what port.read returns")


def _owner(model: nn.Module) -> nn.Module:
    """The module that the backbone is a child of, whatever is around it (PEFT, DDP)."""
    for module in model.modules():
        if {"vision_backbone", "projector"} <= dict(module.named_children()).keys():
            return module
    raise ModelError(
        f"found {type(model).__name__} without `vision_backbone` and `projector`; expected a model of OpenVLA's "
        "family; for another policy take Port(expect(...)) and give it what `read` returns"
    )


def _check_projector(owner: nn.Module, expected: Expectation) -> None:
    """By its projector a model shows whether it was loaded from the checkpoint; where that is quantized or wrapped it
    cannot be told.
    """
    found = owner.get_submodule("projector").state_dict().get("fc1.weight")
    rows = expected.projector_rows
    if rows is None or found is None or not found.is_floating_point() or found.shape[1:] != rows.shape[1:]:
        return
    here, there = found[: len(rows)].detach().float().cpu(), rows.float()
    difference = float((here - there).norm() / there.norm())
    if not difference <= _SAME_PROJECTOR:
        raise ModelError(
            f"found a model whose projector differs from the checkpoint's by {difference:.1%} (first rows, relative); "
            "expected the same one; give the checkpoint that the model was loaded from"
        )


def _check_outputs(expected: Expectation) -> None:
    outputs = expected.layout.outputs
    if len(outputs) > 1:
        raise SeveralOutputsError(
            f"found preset {expected.preset.name} with outputs {', '.join(output.name for output in outputs)}; "
            "expected one, which a model of OpenVLA's family takes as its pixel_values; for another policy take "
            "omnivla_vision.tokens.unpack_outputs_torch"
        )


def _check_sizes(owner: nn.Module, expected: Expectation) -> None:
    """A model of another checkpoint may have other widths."""
    width = getattr(owner.vision_backbone, "embed_dim", expected.preset.width)
    if width != expected.preset.width:
        raise ModelError(
            f"found a model whose vision has {width} features; expected {expected.preset.width}, as preset "
            f"{expected.preset.name} of the checkpoint; give the checkpoint that the model was loaded from"
        )
    language = getattr(owner.projector, "llm_dim", None)
    if expected.layout.space == PROJECTED and language not in (None, expected.layout.width):
        raise ModelError(
            f"found a model whose language model takes {language} features; expected {expected.layout.width}, the "
            "width of the checkpoint's projector; give the checkpoint that the model was loaded from"
        )
