"""What people have in place of a checkpoint that can be loaded, told as what it is, with the way out."""

from __future__ import annotations

from pathlib import Path

from omnivla_vision.checkpoint.errors import AdapterWithoutBaseError, PickledWeightsError

# As Hugging Face's libraries called weights before safetensors: one file, shards, and their index.
PICKLED = "pytorch_model*.bin*"
ADAPTER, ADAPTER_FOLDER = "adapter_model.safetensors", "lora_adapter"


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
        AdapterWithoutBaseError: it has a LoRA adapter and nothing that it could adapt.
    """
    if pickled := sorted(folder.glob(PICKLED)):
        refuse_pickled(folder, pickled[0].name)
    for file in (folder / ADAPTER, folder / ADAPTER_FOLDER / ADAPTER):
        if file.is_file():
            refuse_adapter(file)


def refuse_adapter(file: Path) -> None:
    """A LoRA adapter as PEFT saves it, without its base.

    Raises:
        AdapterWithoutBaseError: always.
    """
    raise AdapterWithoutBaseError(
        file,
        found="a LoRA adapter alone",
        expected="the weights that it adapts, too",
        advice="give the base model as the checkpoint, and the adapter's folder with --lora-adapter (parameter "
        "lora_adapter)",
    )


def adapter_beside(folder: Path) -> Path | None:
    """The folder of the adapter that lies beside shards, if there is one."""
    adapter = folder / ADAPTER_FOLDER
    return adapter if adapter.is_dir() else None


def beside_warnings(beside: Path | None, used: Path | None) -> tuple[str, ...]:
    """What must be said of an adapter beside shards, merged into them or not: their tensors' names are the same.

    Args:
        beside: its folder.
        used: the folder of the adapter that is merged, if one is.
    """
    if beside is None:
        return ()
    merged = "training merged the adapter into them, as OpenVLA-OFT does by default"
    if used is None:
        sentence = (
            f"{beside} is not used: the shards beside it are taken as they are. That is right if {merged}. If they are "
            "the base model's, the tokens are not those of the policy: give it with --lora-adapter (parameter "
            "lora_adapter)"
        )
        return (sentence,)
    if used.resolve() == beside.resolve():
        return (f"{beside} is merged into the shards beside it. If {merged}, it counts twice: do not give it",)
    return ()
