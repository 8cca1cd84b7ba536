"""Engine bundles: folders named by a hash of everything that their content depends on, checked before they are used.

Inside are the engine's files, the reference tokens, `manifest.json` with the SHA-256 of each, and `manifest.sha256`.
Nothing in a bundle is ever unpickled. What is executed (a shared library, a GPU engine) is protected by ownership: a
checksum shows damage, not malice.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnivla_vision.engine.base import EngineError

# 2: the reference's channels and bfloat16's loss lie beside its tokens. 3: its tokens are kept by encoder.
FORMAT = 3
MANIFEST = "manifest.json"
MANIFEST_SUM = "manifest.sha256"
CHUNK = 1 << 20
# Names stay readable; 64 bits of the hash are in them, all of it in the manifest.
NAME_DIGITS = 16


class BundleError(EngineError):
    """Base of the reasons for which a bundle is not used."""


class DamagedBundleError(BundleError):
    """A file is missing, changed or cannot be read."""


class ForeignBundleError(BundleError):
    """Not made by this user (or root) alone, or holding something that the manifest does not name."""


class StaleBundleError(BundleError):
    """Made for other weights, another engine, other versions or another machine."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle. `key` is what its content depends on; `notes` what was measured when it was built."""

    path: Path
    key: dict[str, Any]
    notes: dict[str, Any]


def key_hash(key: Mapping[str, Any]) -> str:
    """SHA-256 of a key's canonical JSON."""
    return hashlib.sha256(_canonical(key)).hexdigest()


def bundle_name(key: Mapping[str, Any]) -> str:
    """The folder's name: for people, and for finding it again."""
    words = [str(key[part]) for part in ("preset_name", "engine", "precision") if part in key]
    return "-".join([*words, key_hash(key)[:NAME_DIGITS]])


def seal(folder: Path, key: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write the manifest of a folder whose other files are complete, and force all of it to the disk."""
    files = _hash_files(folder, sorted(path.name for path in folder.iterdir()))
    content = {"format": FORMAT, "key": dict(key), "notes": dict(notes), "files": files}
    manifest = json.dumps(content, indent=1, sort_keys=True).encode()
    (folder / MANIFEST).write_bytes(manifest)
    (folder / MANIFEST_SUM).write_text(hashlib.sha256(manifest).hexdigest())
    for path in folder.iterdir():
        path.chmod(0o600)
        sync(path)
    sync(folder)


def check(folder: Path, key: Mapping[str, Any] | None = None) -> Bundle:
    """Check everything about a bundle that can be checked without running it.

    Args:
        folder: the bundle.
        key: what it is expected to be; None takes it for what it says it is.

    Raises:
        ForeignBundleError: others could have written it, or it holds more than its manifest names.
        DamagedBundleError: a file is missing or not what the manifest says.
        StaleBundleError: its key is another one, or its format is.
    """
    content = read_manifest(folder)
    if key is not None and _canonical(content["key"]) != _canonical(key):
        raise StaleBundleError(f"{folder} was built for {_difference(content['key'], key)}; build it anew")
    names = {path.name for path in folder.iterdir()} - {MANIFEST, MANIFEST_SUM}
    if names - set(content["files"]):
        extra = ", ".join(sorted(names - set(content["files"])))
        raise ForeignBundleError(f"{folder} holds {extra}, which its manifest does not name; build it anew")
    _check_files(folder, content["files"])
    return Bundle(path=folder, key=content["key"], notes=content["notes"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """A bundle's `key`, `notes` and `files` (by name the `sha256` and `bytes`); the files are not looked into.

    Raises:
        ForeignBundleError, DamagedBundleError, StaleBundleError: as `check`.
    """
    try:
        _check_ownership(folder)
        manifest = (folder / MANIFEST).read_bytes()
        expected_sum = (folder / MANIFEST_SUM).read_bytes()
    except OSError as error:
        raise DamagedBundleError(f"{folder}: it, or its manifest, cannot be read ({error}); build it anew") from error
    if hashlib.sha256(manifest).hexdigest().encode() != expected_sum:
        raise DamagedBundleError(f"{folder / MANIFEST} is not what {MANIFEST_SUM} says; build the bundle anew")
    content = json.loads(manifest)
    if content.get("format") != FORMAT:
        raise StaleBundleError(
            f"{folder}: found a bundle of format {content.get('format')}, built by another version of omnivla_vision; "
            f"expected format {FORMAT}; build it anew"
        )
    return dict(content)


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        found = _hash_files(folder, files)
    except OSError as error:
        raise DamagedBundleError(f"{folder}: a file cannot be read ({error}); build it anew") from error
    for name, expected in files.items():
        if found[name] != expected:
            raise DamagedBundleError(
                f"{folder / name}: found {found[name]['bytes']} bytes with SHA-256 {found[name]['sha256'][:12]}..., "
                f"expected {expected['bytes']} with {expected['sha256'][:12]}...; build the bundle anew"
            )


def _check_ownership(folder: Path) -> None:
    """Nobody but this user and root may be able to change what will be executed."""
    if not folder.is_dir():
        raise DamagedBundleError(f"found no bundle at {folder}; build one with `omnivla-vision build`")
    check_owner(folder, is_folder=True)
    for path in folder.iterdir():
        check_owner(path)


def check_owner(path: Path, *, is_folder: bool = False) -> None:
    """Make sure that a folder, or an ordinary file, is this user's or root's, and that no other may write it.

    Raises:
        ForeignBundleError: it is another user's, open to others, or a link or another kind of file.
        OSError: it cannot be looked at.
    """
    status = path.lstat()
    is_kind = stat.S_ISDIR if is_folder else stat.S_ISREG
    if not is_kind(status.st_mode):
        raise ForeignBundleError(f"{path} is neither the bundle's folder nor an ordinary file in it")
    if status.st_uid not in (0, os.geteuid()):
        raise ForeignBundleError(
            f"{path} belongs to user {status.st_uid}; expected {os.geteuid()} (this process) or root; "
            "build the bundle as this user"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignBundleError(
            f"{path} has mode {stat.S_IMODE(status.st_mode):o}: others may write it; expected 700; build it anew"
        )


def _hash_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, in parallel: hashlib lets go of the interpreter's lock."""
    names = list(names)
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda name: _hash_file(folder / name), names), strict=True))


def _hash_file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        return {"sha256": digest.hexdigest(), "bytes": file.tell()}


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The entries in which two keys differ, in words."""
    names = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    return "; ".join(f"{name} {found.get(name)!r}, expected {expected.get(name)!r}" for name in names)


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
