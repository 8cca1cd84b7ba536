"""Makes the adapters in this folder with PEFT itself, and what PEFT merges them to.

    PYTHONPATH=. python test/checkpoint/by_peft/make.py   # in an environment of its own, with peft==0.11.1

The model has the names of OpenVLA's classes and is a few kilobytes small; `test_lora_adapter.py` reads it all.
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import Tensor, nn

from test.checkpoint.tiny import TINY
from test.checkpoint.writers import make_model, openvla_state

MERGED = "merged.safetensors"
HERE = Path(__file__).parent
LAYERS = ["qkv", "proj", "fc1", "fc2", "q", "q_proj", "lm_head"]
ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": LAYERS},
    "patterns": {
        "r": 4,
        "lora_alpha": 16,
        "target_modules": ["qkv", "proj", "q_proj"],
        "modules_to_save": ["projector", "norm1"],
        "use_rslora": True,
        "fan_in_fan_out": True,
        "rank_pattern": {r"blocks\.\d+\.attn\.qkv": 2, "patch_embed.proj": 3},
        "alpha_pattern": {
            r"blocks\.\d+\.attn\.qkv": 6,
            "patch_embed.proj": 5,
            "fused_featurizer.blocks.0.attn.proj": 7,
        },
    },
    "biases": {"r": 2, "lora_alpha": 2, "target_modules": ["fc1", "proj"], "bias": "all"},
}


def module_of(state: dict[str, Tensor]) -> nn.Module:
    """Modules of the kinds that the names and shapes have, so that PEFT sees linear layers and convolutions."""
    root = nn.Module()
    for name, tensor in state.items():
        *path, leaf = name.split(".")
        parent, module = root, root
        for part in path:
            parent, module = module, getattr(module, part, None) or nn.Module()
            if part not in parent._modules:
                parent.add_module(part, module)
        if leaf == "weight" and tensor.dim() in (2, 4):
            bias = name.replace(".weight", ".bias") in state
            layer: nn.Module = (
                nn.Linear(tensor.shape[1], tensor.shape[0], bias=bias)
                if tensor.dim() == 2
                else nn.Conv2d(tensor.shape[1], tensor.shape[0], tensor.shape[2:], tensor.shape[2:], bias=bias)
            )
            layer.register_parameter("weight", nn.Parameter(tensor.clone()))
            parent.add_module(path[-1], layer)
        elif leaf == "bias" and isinstance(module, (nn.Linear, nn.Conv2d)):
            module.register_parameter("bias", nn.Parameter(tensor.clone()))
        else:
            module.register_parameter(leaf, nn.Parameter(tensor.clone()))
    assert {name: t.shape for name, t in root.state_dict().items()} == {name: t.shape for name, t in state.items()}
    return root


def main() -> None:
    torch.manual_seed(0)
    base = openvla_state(make_model(TINY, dtype=torch.float32, out_width=8))
    del base["language_model.model.embed_tokens.weight"]
    save_file({name: tensor.contiguous() for name, tensor in base.items()}, HERE / "model.safetensors")
    for name, options in ADAPTERS.items():
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        model = get_peft_model(module_of(base), LoraConfig(init_lora_weights=False, **options))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        merged = PeftModel.from_pretrained(module_of(base), folder).merge_and_unload().state_dict()
        assert merged.keys() == base.keys()
        changed = {key: tensor for key, tensor in merged.items() if not torch.equal(tensor, base[key])}
        save_file({key: t for key, t in changed.items() if not key.startswith("language")}, folder / MERGED)
        print(name, len(changed), "tensors changed")
    versions = {package: version(package) for package in ("peft", "torch", "safetensors")}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
