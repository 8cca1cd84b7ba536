"""Models of OpenVLA's family without their vision transformers: 0.73 of 7.5 billion parameters."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import nn

from omnivla_vision.checkpoint.identify import encoder_of_timm_id, preset_of_timm_ids
from omnivla_vision.policy.errors import ModelError
from omnivla_vision.policy.token_input import TokenInput, no_transformers

# The name of the class in the modules of OpenVLA, OpenVLA-OFT and OmniVLA, `prismatic/extern/hf/modeling_prismatic.py`.
BACKBONE = "PrismaticVisionBackbone"
_IGNORED = "_keys_to_ignore_on_load_unexpected"


@contextmanager
def without_vision(code: ModuleType | type | None = None) -> Iterator[None]:
    """Inside, models are built, and load their checkpoints, without vision transformers; one thread at a time.

    Args:
        code: the module that defines the model, or a class of it: its backbone's class is replaced. None for
            `trust_remote_code`, which runs that module anew with every model it loads: timm's `create_model` is
            replaced.

    Raises:
        ModelError: the module has no `PrismaticVisionBackbone`, timm cannot be imported, or nothing was built without
            its vision.
    """
    built: list[nn.Module] = []

    def backbone(fused: bool, sizes: Sequence[int], timm_ids: Sequence[str], *_: Any, **__: Any) -> nn.Module:
        """Called as the class would be, with what config.json says."""
        built.append(TokenInput(preset_of_timm_ids(timm_ids, sizes)))
        return built[-1]

    def featurizer(timm_id: str, *_: Any, img_size: int, **__: Any) -> nn.Module:
        """Called as timm's function would be."""
        built.append(_Featurizer(timm_id, img_size))
        return built[-1]

    module = sys.modules[code.__module__] if isinstance(code, type) else code
    owner, name, value = (_timm(), "create_model", featurizer) if module is None else (module, BACKBONE, backbone)
    if not hasattr(owner, name):
        raise ModelError(
            f"found no {name} in {owner.__name__}; expected the module that defines a model of OpenVLA's family; give "
            "modeling_prismatic, or the model's class"
        )
    with ExitStack() as stack:
        stack.enter_context(_replaced(owner, name, value))
        # Their weights are in the checkpoint all the same, and transformers would print 685 names.
        for model in _models(module):
            ignored = [*(getattr(model, _IGNORED) or []), r"^vision_backbone\."]
            stack.enter_context(_replaced(model, _IGNORED, ignored))
        yield
    if not built:
        raise ModelError(
            "found no model that was built without its vision; expected one of OpenVLA's family, loaded inside; give "
            "without_vision the module that defines it, or nothing for trust_remote_code"
        )


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except Exception as error:  # its torchvision raises whatever it likes
        raise ModelError(
            f"cannot import timm ({error!r}); expected what the policy's own code builds its vision with; install the "
            "versions that the policy names"
        ) from error


class _Featurizer(nn.Module):
    """What the backbone's constructor reads of timm's model; `attach` replaces both."""

    def __init__(self, timm_id: str, image_size: int) -> None:
        super().__init__()
        spec = encoder_of_timm_id(timm_id, image_size)
        self.embed_dim = spec.width
        self.blocks = range(spec.depth)
        self.patch_embed = SimpleNamespace(num_patches=spec.grid.tokens)

    @property
    def num_features(self) -> int:
        """Read by FiLM's wrapper alone.

        Raises:
            ConditionedVisionError: always.
        """
        raise no_transformers()

    def get_intermediate_layers(self, *_: Any, **__: Any) -> Any:
        """Only its name is needed.

        Raises:
            ModelError: always.
        """
        raise ModelError("found a model without vision that was given pixels; expected attach before its first use")


def _models(module: ModuleType | None) -> list[type]:
    """The classes that say which tensors of a checkpoint may be left over."""
    own = [
        value
        for value in vars(module or ModuleType("")).values()
        if isinstance(value, type) and _IGNORED in vars(value)
    ]
    base = getattr(sys.modules.get("transformers"), "PreTrainedModel", None)
    return [*own, *([base] if base is not None else [])]


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
