"""What the tokens of a goal depend on, apart from its picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from omnivla_vision.encoder import VisionEncoder
from omnivla_vision.goal_sequence.errors import ForeignGoalSequenceError


@dataclass(frozen=True, kw_only=True)
class MadeBy:
    """The encoder that a sequence was encoded with; the names are those of VisualTokens.msg.

    What is behind the fusion of the encoders (projector, poolings) is computed anew, and so is not among them.
    """

    preset: str
    backbone_fingerprint: str
    preprocessing_id: str
    engine: str
    precision: str
    grid: str
    width: int

    @classmethod
    def of(cls, encoder: VisionEncoder) -> MadeBy:
        """An encoder's."""
        provenance, preset = encoder.provenance, encoder.preset
        return cls(
            preset=provenance.preset,
            backbone_fingerprint=provenance.backbone_fingerprint,
            preprocessing_id=provenance.preprocessing_id,
            engine=provenance.engine,
            precision=provenance.precision,
            grid=str(preset.grid),
            width=preset.width,
        )

    def check(self, path: Path, encoder: VisionEncoder) -> str:
        """Refuse an encoder whose tokens are others than those in `path`; another engine is allowed, and said.

        Raises:
            ForeignGoalSequenceError: other weights, or another preprocessing.
        """
        found, expected = asdict(self), asdict(MadeBy.of(encoder))
        other = [f"{name} {found[name]}, expected {expected[name]}" for name in found if found[name] != expected[name]]
        if any(found[name] != expected[name] for name in found if name not in ("engine", "precision")):
            raise ForeignGoalSequenceError(
                f"found the goal sequence {path} encoded with {'; '.join(other)}; encode its images again: "
                "`omnivla-vision goals encode`, with this checkpoint and these options"
            )
        return f"{path} was encoded with {'; '.join(other)}: equal within the gate's limits" if other else ""
