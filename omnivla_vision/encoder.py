"""The whole pipeline without ROS: images in, fused tokens out, the goal's and past frames' kept from call to call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import compress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnivla_vision.engine.base import Engine
from omnivla_vision.errors import VisionError
from omnivla_vision.goal import EncodedGoal, Goal, KnownGoal
from omnivla_vision.history.past_frames import PastFrames
from omnivla_vision.images.preprocess import Preprocessor
from omnivla_vision.network.features import Features, fuse
from omnivla_vision.network.projector import Projector
from omnivla_vision.network.spec import Preset
from omnivla_vision.network.views import WHOLE
from omnivla_vision.tokens.layout import GOAL, image_names
from omnivla_vision.tokens.preset_layout import token_layout
from omnivla_vision.tokens.provenance import Provenance
from omnivla_vision.tokens.token_set import TokenSet

Image = NDArray[np.uint8]


class ImageCountError(VisionError):
    """An encoder was given more or fewer images than it has cameras, or a goal although it takes none."""


class VisionEncoder:
    """Encodes camera frames against a goal that is set now and then.

    Not thread-safe: one thread calls it. The goal goes through the network in a batch of its own, so that its cached
    tokens are bit-equal to freshly computed ones.

    Args:
        engine: runs the preset's backbone on one image.
        preset: what the engine runs, with the normalization in force, and the past frames that are given
            (`network.with_history`).
        weights: "random" or "checkpoint".
        fingerprint: of the weights.
        backbone_fingerprint: the same without the projector's; None if there is none.
        cameras: what `encode` is given, one name per image: one for OmniVLA and OpenVLA, several for OpenVLA-OFT.
        takes_goal: whether the goal's rows follow; OpenVLA has none.
        projector: brings the tokens to the language model's width; None leaves them fused.
        batch_engine: runs the backbone on the images of all cameras at once; `engine` if None.

    Raises:
        ViewError: a region or a mask of the preset is for no image, or leaves nothing of one.
        PoolingError, ClassTokenError, ProjectedOutputError: an output of the preset cannot be made.
    """

    def __init__(
        self,
        engine: Engine,
        preset: Preset,
        *,
        weights: str,
        fingerprint: str,
        backbone_fingerprint: str | None = None,
        cameras: Sequence[str] = ("current",),
        takes_goal: bool = True,
        projector: Projector | None = None,
        batch_engine: Engine | None = None,
    ) -> None:
        names = image_names(cameras, takes_goal=takes_goal)
        self.preset = preset = replace(preset, views=preset.views.among(names))
        self.goal_encodes = 0
        self.cameras = tuple(cameras)
        self.takes_goal = takes_goal
        self._engine = engine
        self._batch_engine = batch_engine or engine
        self._projector = projector
        self._preprocess = Preprocessor(preset)
        self._goal: EncodedGoal | None = None
        self.layout = token_layout(
            preset,
            names,
            None if projector is None else projector.out_width,
            preset.history.image_names(cameras),
        )
        self._unsettled: Callable[[], None] | None = None
        self._past = PastFrames(preset, self.layout.frame_shapes(len(self.cameras)))
        self.provenance = Provenance(
            preset=preset.name,
            weights=weights,
            fingerprint=fingerprint,
            backbone_fingerprint=fingerprint if backbone_fingerprint is None else backbone_fingerprint,
            preprocessing_id=self._preprocess.id,
            engine=engine.name,
            precision=engine.precision,
            notice=engine.notice,
        )

    def warm_up(self) -> None:
        """Run the network once, so that the first frame is not slower than the others."""
        black = np.zeros((*self.preset.inputs[0].size, 3), np.uint8)
        whole = Preprocessor(replace(self.preset, views=WHOLE))  # a mask fits its camera's images only
        inputs = _inputs(whole, self._batch_engine, [black] * len(self.cameras), self.cameras)
        self._pool(fuse(self._batch_engine(inputs), self.preset), {})

    def set_goal(self, goal: Goal | None) -> bool:
        """Replace or clear the goal; the tokens of a new picture are computed now, those of the same one kept.

        Returns:
            Whether the network ran.

        Raises:
            ImageCountError: the encoder takes no goal.
            MaskSizeError: the goal has another size than its mask.
        """
        if goal is not None and self._goal is not None and self._goal.goal.id == goal.id:
            return False
        # The old goal stays in force until the new one is complete, also when encoding it fails.
        self.use_goal(None if goal is None else self.encode_goal(goal))
        return goal is not None

    def encode_goal(self, goal: Goal) -> EncodedGoal:
        """Compute a goal's tokens; the goal in force stays.

        Raises:
            ImageCountError: the encoder takes no goal.
            MaskSizeError: the goal has another size than its mask.
        """
        if not self.takes_goal:
            raise ImageCountError(
                "found a goal image; expected none: this encoder was made for the cameras "
                f"{', '.join(self.cameras)} alone; make one with takes_goal=True"
            )
        features = self._encode(self._engine, [goal.rgb], (GOAL,), {})
        self.goal_encodes += 1
        return self.recall_goal(goal, features.patches.flatten(0, 1), features.class_tokens)

    def recall_goal(self, goal: KnownGoal, fused: Tensor, class_tokens: Tensor | None = None) -> EncodedGoal:
        """The goal again whose features were kept, an `EncodedGoal`'s `fused` and `class_tokens`, without running the
        network.
        """
        features = Features(patches=fused.unsqueeze(0), class_tokens=class_tokens, grid=self.preset.grid)
        return EncodedGoal(goal=goal, fused=fused, class_tokens=class_tokens, outputs=self._pool(features, {}))

    def use_goal(self, goal: EncodedGoal | None) -> None:
        """Put a goal in force that this encoder encoded, or none."""
        self._goal = goal

    def forget(self) -> None:
        """Past frames are no longer before those that follow; the goal stays."""
        self._unsettled = None
        self._past.forget()

    def settle(self) -> None:
        """Pool and keep the last frame for those that follow; for when its tokens are on their way.

        `encode` does it where nobody did; then its frame waits for it.
        """
        unsettled, self._unsettled = self._unsettled, None
        if unsettled is not None:
            unsettled()

    def encode(
        self, images: Image | Sequence[Image], stage_ms: dict[str, float] | None = None, *, stamp_ns: int = 0
    ) -> TokenSet:
        """Encode one frame of every camera, in one batch, and put past frames' tokens and the goal's after them.

        A stamp that goes back, and images of another size, make the history start over; a new goal does not.

        Args:
            images: uint8 [H, W, 3], one per camera in their order; or one array, for one camera.
            stage_ms: timings of earlier stages, which the returned token set continues.
            stamp_ns: the frame's; 0 if it has none.

        Raises:
            MissingStampError: no stamp, and past frames are found by theirs.
            NotAnRgbImageError: an image is something else.
            MaskSizeError: an image has another size than its mask.
            ImageCountError: not one image per camera.
        """
        frames = [images] if isinstance(images, np.ndarray) else list(images)
        if len(frames) != len(self.cameras):
            raise ImageCountError(
                f"found {len(frames)} image(s); expected {len(self.cameras)}, one for each of {', '.join(self.cameras)}"
            )
        self.settle()
        self._past.check(stamp_ns)
        stage_ms = {} if stage_ms is None else stage_ms
        features = self._encode(self._batch_engine, frames, self.cameras, stage_ms)
        pooled = self._pool(features, stage_ms)
        with stage(stage_ms, "history") if self._past.frames else nullcontext():
            past = self._past.find(stamp_ns, [frame.shape for frame in frames])
        if self._past.frames:
            self._unsettled = partial(self._keep, stamp_ns, features, pooled)
        goal = self._goal
        return TokenSet(
            outputs=self._outputs(pooled, past.tokens, goal),
            fused_blocks=self._with_goal(
                (features.patches.flatten(0, 1),), self.preset.tokens_per_image, None if goal is None else goal.fused
            ),
            layout=self.layout,
            goal=None if goal is None else goal.goal,
            provenance=self.provenance,
            # Of one camera's images each; those of a frame have its stamp.
            past_stamps_ns=tuple(ns for ns in past.stamps_ns for _ in frames),
            past_valid=tuple(valid for valid in past.valid for _ in frames),
            stage_ms=stage_ms,
        )

    def _encode(
        self, engine: Engine, images: Sequence[Image], names: Sequence[str], stage_ms: dict[str, float]
    ) -> Features:
        with stage(stage_ms, "preprocess"):
            inputs = _inputs(self._preprocess, engine, images, names)
        with stage(stage_ms, "encode"):
            return fuse(engine(inputs), self.preset)

    def _pool(self, features: Features, stage_ms: dict[str, float]) -> tuple[Tensor, ...]:
        """For each output [images * tokens, width], pooled first and then projected; empty for those of past frames."""
        present = [output.images != "past" for output in self.preset.outputs]
        poolings = list(compress((output.pooling for output in self.preset.outputs), present))
        if any(pooling.kind != "none" for pooling in poolings):
            with stage(stage_ms, "pool"):
                pooled = [features.pool(pooling).flatten(0, 1) for pooling in poolings]
        else:
            pooled = [features.patches.flatten(0, 1)] * len(poolings)
        if self._projector is not None:
            with stage(stage_ms, "project"), torch.inference_mode():
                pooled = [self._projector(tokens) for tokens in pooled]
        made = iter(pooled)
        return tuple(next(made) if wanted else features.patches[0, :0] for wanted in present)

    def _keep(self, stamp_ns: int, features: Features, pooled: Sequence[Tensor]) -> None:
        """Keep a frame for those that follow; `pooled` are its tokens for outputs that have present images."""
        tokens = list(pooled)
        for place, output in enumerate(self.preset.outputs):
            if output.images == "past":
                tokens[place] = features.pool(output.pooling).flatten(0, 1)
                if self._projector is not None:
                    with torch.inference_mode():
                        tokens[place] = self._projector(tokens[place])
        self._past.keep(stamp_ns, tokens)

    def _outputs(
        self, present: Sequence[Tensor], past: Sequence[Tensor], goal: EncodedGoal | None
    ) -> tuple[tuple[Tensor, ...], ...]:
        """The blocks of every output: whose rows it has, in their order."""
        goals: Sequence[Tensor | None] = [None] * len(present) if goal is None else goal.outputs
        blocks: list[tuple[Tensor, ...]] = []
        for output, layout, now, before, goal_tokens in zip(
            self.preset.outputs, self.layout.outputs, present, past, goals, strict=True
        ):
            if output.images == "past":
                blocks.append((before,))
            else:
                tokens = (now, before) if output.images == "all" and len(before) else (now,)
                blocks.append(self._with_goal(tokens, layout.tokens_per_image, goal_tokens))
        return tuple(blocks)

    def _with_goal(self, tokens: tuple[Tensor, ...], goal_rows: int, goal: Tensor | None) -> tuple[Tensor, ...]:
        """The goal's rows, or as many zeros, after those of the cameras."""
        if not self.takes_goal:
            return tokens
        zeros = tokens[0].new_zeros(1, tokens[0].shape[1]).expand(goal_rows, -1)
        return (*tokens, zeros if goal is None else goal)


def _inputs(
    preprocess: Preprocessor, engine: Engine, images: Sequence[Image], names: Sequence[str]
) -> tuple[Tensor, ...]:
    return preprocess.pixels(images, names) if engine.entry == "uint8" else preprocess(images, names)


@contextmanager
def stage(stage_ms: dict[str, float], name: str) -> Iterator[None]:
    """Add the milliseconds spent inside to `stage_ms[name]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        stage_ms[name] = stage_ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3
