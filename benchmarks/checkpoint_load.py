"""Memory and time of loading the full pair in bfloat16 from a folder of OmniVLA's real size.

The folder is synthetic: real names, shapes and shard sizes; the language model's tensors are holes in sparse files, so
that its 15 GB take 1.7 GB of disk. Every figure comes from a process of its own, with the files in the page cache:

- ours: `load_checkpoint`, which maps the tensors, checks every value and computes the fingerprint;
- safetensors: the same tensors with the safetensors library alone, each in memory of its own;
- limited: ours once more, in a process that may have no more than 8 GB of address space, mappings included.

    python benchmarks/checkpoint_load.py --json benchmarks/results/checkpoint_load.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
GB = 10**9
# openvla-7b's shards: 6.95, 6.97 and 1.16 GB. The vision backbone and the projector lie in the first.
SHARD_BYTES = (6_948_961_960, 6_971_232_040, 1_162_406_824)
EIGHT_GB = 8 * 2**30
# A Llama-2 7B feed-forward matrix, of which the language model's bytes are made here.
LANGUAGE_SHAPE = (11008, 4096)
RUNS = 5


@dataclass(frozen=True)
class Entry:
    """A tensor of a shard to be written; without data it is a hole."""

    name: str
    shape: tuple[int, ...]
    data: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """In bfloat16."""
        return 2 * math.prod(self.shape)


def write_folder(folder: Path, *, holes: bool = False) -> None:
    """Write format A at its real size; with `holes` the vision's bytes are holes too: zeros, but no disk is used."""
    weight_map: dict[str, str] = {}
    for number, size in enumerate(SHARD_BYTES, start=1):
        name = f"model-{number:05}-of-{len(SHARD_BYTES):05}.safetensors"
        entries = list(vision_entries(holes=holes)) if number == 1 else []
        missing = size - sum(entry.nbytes for entry in entries)
        layers = missing // (2 * math.prod(LANGUAGE_SHAPE))
        entries += [
            Entry(f"language_model.shard{number}.layers.{layer}.weight", LANGUAGE_SHAPE) for layer in range(layers)
        ]
        write_shard(folder / name, entries)
        weight_map |= {entry.name: name for entry in entries}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def vision_entries(*, holes: bool) -> Iterator[Entry]:
    """Both encoders whole, as far as they have blocks and a norm, and the projector."""
    from omnivla_vision.network.presets import get_preset
    from omnivla_vision.network.projector import Projector, projector_widths
    from omnivla_vision.network.vit import VisionTransformer

    preset = get_preset("dinosiglip-224")
    with torch.device("meta"):
        modules = {
            f"vision_backbone.{prefix}": VisionTransformer(replace(spec, skipped_blocks=0, final_norm=True))
            for prefix, spec in zip(("featurizer", "fused_featurizer"), preset.encoders, strict=True)
        } | {"projector": Projector(projector_widths(preset.width, 2))}
    generator = torch.Generator().manual_seed(0)
    for prefix, module in modules.items():
        for name, parameter in module.state_dict().items():
            shape = tuple(parameter.shape)
            data = None if holes else torch.empty(shape).uniform_(-0.05, 0.05, generator=generator).bfloat16()
            yield Entry(f"{prefix}.{name.replace('.gamma', '.scale_factor')}", shape, data)


def write_shard(file: Path, entries: list[Entry]) -> None:
    """Write a .safetensors file; what has no data stays a hole."""
    header: dict[str, Any] = {}
    end = 0
    for entry in entries:
        header[entry.name] = {"dtype": "BF16", "shape": entry.shape, "data_offsets": [end, end + entry.nbytes]}
        end += entry.nbytes
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for entry in entries:
            if entry.data is not None:
                stream.seek(8 + len(text) + header[entry.name]["data_offsets"][0])
                stream.write(entry.data.view(torch.int16).numpy().data)
        stream.truncate(8 + len(text) + end)


def measure(what: str, folder: Path) -> dict[str, float]:
    """In this process: seconds, bytes read, and growth of the resident set up to its peak."""
    from omnivla_vision.checkpoint import load_checkpoint

    if what == "limited":
        resource.setrlimit(resource.RLIMIT_AS, (EIGHT_GB, EIGHT_GB))
    names = executed_names(folder)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = status("VmRSS")
    start = time.perf_counter()
    if what == "safetensors":
        tensors = read_with_safetensors(folder, names)
        nbytes = sum(tensor.nbytes for tensor in tensors.values())
    else:
        checkpoint = load_checkpoint(folder)
        nbytes = sum(part.executed_bytes for part in checkpoint.parts)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": nbytes, "rss_growth_bytes": status("VmHWM") - before}


def executed_names(folder: Path) -> list[str]:
    """The keys of the tensors that the network executes."""
    from omnivla_vision.checkpoint.huggingface import read_folder
    from omnivla_vision.checkpoint.plan import plan_backbone
    from omnivla_vision.network.presets import get_preset

    return [source.key for source in plan_backbone(read_folder(folder), get_preset("dinosiglip-224")).values()]


def read_with_safetensors(folder: Path, names: list[str]) -> dict[str, Tensor]:
    """Read tensors by name into memory of their own, with nothing but the library."""
    from safetensors import safe_open

    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    tensors = {}
    for shard in sorted({weight_map[name] for name in names}):
        with safe_open(folder / shard, "pt") as file:
            tensors |= {name: file.get_tensor(name).clone() for name in names if weight_map[name] == shard}
    return tensors


def status(field: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def run_apart(what: str, folder: Path) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def warm_up(folder: Path) -> None:
    """Read the first shard's beginning, where the vision lies, into the page cache."""
    first = sorted(folder.glob("*.safetensors"))[0]
    with first.open("rb") as stream:
        for _ in range(16 * 110):
            stream.read(1 << 20)


def compare(folder: Path, runs: int) -> dict[str, Any]:
    """The figures, taken in turns: ours, safetensors, ours, ..."""
    warm_up(folder)
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "safetensors": []}
    for _ in range(runs):
        for what, results in taken.items():
            results.append(run_apart(what, folder))
    taken["limited"] = [run_apart("limited", folder)]
    figures = {
        what: {
            "seconds": round(statistics.median(result["seconds"] for result in results), 3),
            "all_seconds": [round(result["seconds"], 3) for result in results],
            "rss_growth_bytes": int(max(result["rss_growth_bytes"] for result in results)),
        }
        for what, results in taken.items()
    }
    executed = int(taken["ours"][0]["bytes"])
    return {
        "folder_bytes": sum(file.stat().st_size for file in folder.iterdir()),
        "executed_bytes": executed,
        **figures,
        "rss_growth_per_executed_byte": round(figures["ours"]["rss_growth_bytes"] / executed, 3),
        "seconds_per_safetensors_second": round(figures["ours"]["seconds"] / figures["safetensors"]["seconds"], 3),
        "address_space_limit_bytes": EIGHT_GB,
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ": ")
    return {
        "cpu": model.partition(": ")[2],
        "cores": os.cpu_count(),
        "ram_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load_average_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--runs", type=int, default=RUNS, help="processes of each kind (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is, or is to be written; temporary otherwise")
    parser.add_argument("--holes", action="store_true", help="write no vision bytes either: quick, all zeros")
    parser.add_argument("--measure", choices=["ours", "safetensors", "limited"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.folder)))
        return
    described = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "model.safetensors.index.json").exists():
            write_folder(folder, holes=arguments.holes)
        report = {
            "machine": described,
            "holes": arguments.holes,
            "runs": arguments.runs,
            **compare(folder, arguments.runs),
        }
    print(f"folder {report['folder_bytes'] / GB:.2f} GB, executed {report['executed_bytes'] / GB:.3f} GB in bfloat16")
    for what in ("ours", "safetensors", "limited"):
        figures = report[what]
        growth = figures["rss_growth_bytes"]
        print(
            f"{what:<12} {figures['seconds']:6.2f} s   peak growth {growth / GB:.3f} GB = "
            f"{growth / report['executed_bytes']:.3f} x executed"
        )
    print(f"time: {report['seconds_per_safetensors_second']:.2f} x safetensors alone")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
