"""PEFT's adapter_config.json: which factor each layer's adapter has, and which kinds of adapter are no plain LoRA."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivla_vision.checkpoint.errors import ConfigError, LoraError, UnsupportedAdapterError
from omnivla_vision.checkpoint.json_file import read_json
from omnivla_vision.checkpoint.stored import StoredTensor

ADAPTER_CONFIG = "adapter_config.json"
# Settings of PEFT 0.11 to 0.21 with which a merged weight is another one than base + scale * B @ A.
_VARIANTS = (
    "use_dora",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "target_parameters",
)
# The initializations that leave the base's weights as they are; the others (PiSSA, OLoRA, CorDA, LoftQ) take something
# out of them, which is in no file.
_INITIALIZATIONS = (None, True, False, "gaussian", "eva", "orthogonal")
_NUMBER = (int, float)


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """What B @ A is multiplied with: `alpha / r`, or `alpha / sqrt(r)` for rank-stabilized LoRA.

    Attributes:
        file: the configuration; None if only `alpha` is known, which the user gave.
        r: None if it is not known.
        rank_pattern: regular expression at the end of a module's name -> its `r`; of PEFT's `alpha_pattern` likewise.
        bias: "none", "all" or "lora_only": which biases were trained, too.
        base_model: the name of the model that was adapted, or "".
    """

    alpha: float
    file: Path | None = None
    r: int | None = None
    rank_stabilized: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    bias: str = "none"
    base_model: str = ""

    def alpha_of(self, module: str, a: StoredTensor) -> float:
        """The alpha of a module, named as in the whole model, whose `A` is given.

        Raises:
            LoraError: its rank is not the configured one, or versions of PEFT read the patterns differently.
        """
        rank = a.shape[0]
        readings = self._readings(module)
        alphas = {alpha for r, alpha in readings if r in (None, rank)}
        if len(alphas) == 1:
            return alphas.pop()
        if alphas:
            values = " or ".join(f"{alpha:g}" for alpha in sorted(alphas))
            raise LoraError(
                self.file or a.file,
                key=a.key,
                found=f"patterns that give it alpha {values}, by PEFT's version",
                expected="one alpha",
                advice="write the patterns as ends of names, the same in both, with the values that training had",
            )
        raise LoraError(
            a.file,
            key=a.key,
            found=f"rank {rank}",
            expected=f"r = {' or '.join(sorted({str(r) for r, _ in readings}))}, as {ADAPTER_CONFIG} says",
            advice=f"the {ADAPTER_CONFIG} belongs to another adapter; restore its own, or remove it from beside a .pt "
            "file and give --lora-alpha",
        )

    def factor(self, rank: int, alpha: float) -> float:
        """What B @ A is multiplied with."""
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)

    def _readings(self, module: str) -> list[tuple[int | None, float]]:
        """(r, alpha) as PEFT 0.11 finds them, where one key serves both, and as later versions do, one key for each."""
        keys = [*self.rank_pattern, *self.alpha_pattern]
        key = next((key for key in keys if re.match(rf".*\.{key}$", module)), module)
        r_key, alpha_key = (
            next((key for key in pattern if re.match(rf"(.*\.)?({key})$", module)), module)
            for pattern in (self.rank_pattern, self.alpha_pattern)
        )
        return [
            (self.rank_pattern.get(r, self.r), self.alpha_pattern.get(alpha, self.alpha))
            for r, alpha in ((key, key), (r_key, alpha_key))
        ]


def read_config(file: Path, alpha: float | None = None) -> LoraConfig:
    """Read an adapter_config.json; `alpha` is what the user gave, which may only be the same.

    Raises:
        ConfigError: the file is broken, or contradicts `alpha`.
        UnsupportedAdapterError: it describes something that is not plain LoRA.
    """
    config = read_json(file)
    _refuse_variants(file, config)
    found, r = config.get("lora_alpha"), config.get("r")
    if not isinstance(found, _NUMBER) or not isinstance(r, int) or r <= 0:
        raise _broken(file, "", f"lora_alpha {found!r}, r {r!r}", "two numbers")
    if alpha not in (None, found):
        raise ConfigError(
            file, key="lora_alpha", found=f"{found}", expected=f"{alpha:g}, as given", advice="give no alpha"
        )
    return LoraConfig(
        file=file,
        alpha=float(found),
        r=r,
        rank_stabilized=bool(config.get("use_rslora", False)),
        rank_pattern=_pattern(file, config, "rank_pattern"),
        alpha_pattern=_pattern(file, config, "alpha_pattern"),
        bias=str(config.get("bias") or "none"),
        base_model=str(config.get("base_model_name_or_path") or ""),
    )


def _refuse_variants(file: Path, config: Mapping[str, Any]) -> None:
    odd = {key: config[key] for key in _VARIANTS if config.get(key)}
    if config.get("peft_type") not in (None, "LORA"):
        odd["peft_type"] = config["peft_type"]
    if config.get("init_lora_weights") not in _INITIALIZATIONS:
        odd["init_lora_weights"] = config["init_lora_weights"]
    for key, value in odd.items():
        raise UnsupportedAdapterError(
            file,
            key=key,
            found=f"{value}",
            expected="plain LoRA, whose weights are base + scale * B @ A",
            advice="merge it with PEFT (merge_and_unload, then save_pretrained) and give the merged folder",
        )


def _pattern(file: Path, config: Mapping[str, Any], key: str) -> dict[str, Any]:
    pattern = config.get(key) or {}
    try:
        if all(isinstance(value, _NUMBER) and value > 0 and re.compile(name) for name, value in pattern.items()):
            return dict(pattern)
    except (AttributeError, re.error):
        pass
    raise _broken(file, key, f"{pattern!r}", "regular expressions with a number each")


def _broken(file: Path, key: str, found: str, expected: str) -> ConfigError:
    return ConfigError(file, key=key, found=found, expected=expected, advice="restore it, or remove it")
