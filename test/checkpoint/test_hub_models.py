"""Whole models by their name on the hub, with huggingface_hub's own client against a server on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")

from omnivla_vision.checkpoint import load_checkpoint
from test.checkpoint.hub_server import serving
from test.checkpoint.refusals import INDEX
from test.checkpoint.writers import Model, openvla_preprocessor, openvla_state, write_openvla

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# huggingface_hub reads its environment when it is imported: hence a process of its own.
LOAD = """
import json, sys
from omnivla_vision.checkpoint import load_checkpoint
from omnivla_vision.errors import VisionError
from test.presets import shallow
try:
    loaded = load_checkpoint(sys.argv[1], preset=shallow("small", depth=2), projector=True)
    print(json.dumps([loaded.fingerprint, loaded.format, loaded.sources]))
except VisionError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


@pytest.fixture
def repository(small_model: Model, tmp_path: Path) -> Path:
    preprocessor = openvla_preprocessor(input_sizes=None, tvf_resize_params=None, tvf_crop_params=None)
    return write_openvla(tmp_path / "hub" / "openvla" / "openvla-7b", small_model, preprocessor=preprocessor)


def load(spec: str, endpoint: str, cache: Path, **environment: str) -> list[Any]:
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    result = subprocess.run(
        [sys.executable, "-c", LOAD, spec],
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout))


def test_a_sharded_model_and_only_what_is_needed_of_it(repository: Path, small_model: Model, tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as (endpoint, fetched):
        found = load("hub:openvla/openvla-7b", endpoint, tmp_path / "cache")
    local = load_checkpoint(repository, preset=small_model.preset, projector=True)
    assert "of a model of the hub only the shards are here" in found[2]["image_path"]
    assert found == [local.fingerprint, local.format, local.sources | {"image_path": found[2]["image_path"]}]
    shards = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2)]
    assert sorted(fetched) == [*shards, INDEX, "preprocessor_config.json"]
    # From the cache, when there is no network; also that there is no config.json is known.
    again = load("hub:openvla/openvla-7b", "http://127.0.0.1:9", tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert again == found


def test_a_single_file_and_a_revision(repository: Path, small_model: Model, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for file in repository.glob("model*"):
        file.unlink()
    save_file(openvla_state(small_model), repository / "model.safetensors")
    with serving(tmp_path / "hub") as (endpoint, _):
        found = load("hub:openvla/openvla-7b@v1", endpoint, tmp_path / "cache")
        assert found[0] == load_checkpoint(repository, preset=small_model.preset, projector=True).fingerprint
        name, message = load("hub:openvla/openvla-7b@v2", endpoint, tmp_path / "cache")
    assert name == "HubError"
    assert "RevisionNotFoundError" in message


def test_pickled_weights_are_named(repository: Path, tmp_path: Path) -> None:
    for file in repository.glob("model*"):
        file.unlink()
    for file in ("pytorch_model.bin", "pytorch_model.bin.index.json"):
        (repository / file).write_text("{}")
        with serving(tmp_path / "hub") as (endpoint, fetched):
            name, message = load("hub:openvla/openvla-7b", endpoint, tmp_path / "cache")
        assert name == "PickledWeightsError"
        assert f"openvla/openvla-7b: found {file}: pickled weights of a whole model; " in message
        assert file not in fetched
        (repository / file).unlink()
        shutil.rmtree(tmp_path / "cache")


def test_no_network_is_not_taken_for_no_configuration(repository: Path, tmp_path: Path) -> None:
    name, message = load("hub:openvla/openvla-7b", "http://127.0.0.1:9", tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert name == "HubError"
    assert "check the id and the network" in message


def test_an_index_that_leaves_its_folder(repository: Path, tmp_path: Path) -> None:
    index = json.loads((repository / INDEX).read_text())
    index["weight_map"]["vision_backbone.featurizer.pos_embed"] = "../../secret.safetensors"
    (repository / INDEX).write_text(json.dumps(index))
    with serving(tmp_path / "hub") as (endpoint, fetched):
        name, _ = load("hub:openvla/openvla-7b", endpoint, tmp_path / "cache")
    assert name == "PathEscapeError"
    assert not [file for file in fetched if file.endswith(".safetensors")]
