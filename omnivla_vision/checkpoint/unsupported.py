"""What people have in place of a checkpoint that can be loaded, told as what it is, with the way out."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint.errors import LoraError, PickledWeightsError

# As Hugging Face's libraries called weights before safetensors: one file, shards, and their index.
PICKLED = "pytorch_model*.bin*"
ADAPTER, ADAPTER_FOLDER = "adapter_model.safetensors", "lora_adapter"
MERGE = (
    "merge it into its base (PEFT's merge_and_unload, or openvla-oft's vla-scripts/merge_lora_weights_and_save.py) "
    "and give the merged folder"
)


def refuse_pickled(path: Path, names: str) -> None:
    """A pickled state dict: a shard alone might look like vision weights of another format.

    Raises:
        PickledWeightsError: always.
    """
    raise PickledWeightsError(
        path,
        found=f"{names}: pickled weights of a whole model",
        expected=".safetensors, of which single tensors can be read without running code",
        advice="take the repository's .safetensors, or convert it: docs/checkpoints.md has the lines (Converting)",
    )


def refuse_known(folder: Path) -> None:
    """To be called for a folder in which no supported format was found.

    Raises:
        PickledWeightsError: it has pickled weights.
        LoraError: it has a LoRA adapter and nothing that it could adapt.
    """
    if pickled := sorted(folder.glob(PICKLED)):
        refuse_pickled(folder, pickled[0].name)
    for file in (folder / ADAPTER, folder / ADAPTER_FOLDER / ADAPTER):
        if file.is_file():
            refuse_adapter(file)


def refuse_adapter(file: Path) -> None:
    """A LoRA adapter as PEFT saves it, without its base.

    Raises:
        LoraError: always.
    """
    raise LoraError(file, found="a LoRA adapter alone", expected="the weights that it adapts, too", advice=MERGE)


def adapter_warnings(folder: Path) -> tuple[str, ...]:
    """What must be said of an adapter beside shards, merged into them or not: their tensors are the same."""
    adapter = folder / ADAPTER_FOLDER
    if not adapter.is_dir():
        return ()
    sentence = (
        f"{adapter} is not used: the shards beside it are taken as they are. That is right if training merged the "
        "adapter into them, as OpenVLA-OFT does by default. If they are the base model's, the tokens are not those of "
        f"the policy: {MERGE}"
    )
    return (sentence,)
