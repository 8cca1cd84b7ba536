"""What of a LoRA adapter was merged, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from omnivla_vision.checkpoint.adapt import SavedTensor
from omnivla_vision.checkpoint.lora import MergedTensor
from omnivla_vision.checkpoint.stored import Source


@dataclass(frozen=True, kw_only=True)
class MergedAdapter:
    """An adapter as it is in the weights.

    Attributes:
        path: its folder, or the checkpoint's file that holds it.
        ranks, alphas, scales: those that occur in what is executed; B @ A is multiplied with the scale.
        layers: encoder, or "projector" -> how many layers were merged.
        saved: likewise, how many tensors were taken whole.
        ignored: one phrase per part of the adapter that is not executed.
    """

    path: str
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    scales: tuple[float, ...]
    layers: dict[str, int]
    saved: dict[str, int]
    ignored: tuple[str, ...]


def merged_adapter(plan: Mapping[str, Source], folder: str, ignored: tuple[str, ...]) -> MergedAdapter | None:
    """What a plan has of an adapter; None if it has nothing of one and none was asked for.

    Args:
        plan: the executed tensors by name, the projector's under "projector.".
        folder: the adapter's, or "": then it can only be in the checkpoint itself.
        ignored: what of it does not run.
    """
    merged = {name: source for name, source in plan.items() if isinstance(source, MergedTensor)}
    saved = [name for name, source in plan.items() if isinstance(source, SavedTensor)]
    if not merged and not folder:
        return None
    return MergedAdapter(
        path=folder or str(next(iter(merged.values())).a.file),
        ranks=tuple(sorted({source.a.shape[0] for source in merged.values()})),
        alphas=tuple(sorted({source.alpha for source in merged.values()})),
        scales=tuple(sorted({source.scale for source in merged.values()})),
        layers=dict(Counter(map(_part, merged))),
        saved=dict(Counter(map(_part, saved))),
        ignored=ignored,
    )


def _part(name: str) -> str:
    return name.removeprefix("encoders.").partition(".")[0]
