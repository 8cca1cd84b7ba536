"""A dataset that is being added to: created, locked, checked, and committed to, one recording at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from omnivla_vision.dataset.columns import EPISODE_RECORD
from omnivla_vision.dataset.description import PREFIX, Description
from omnivla_vision.dataset.errors import (
    DatasetBusyError,
    DatasetWriteError,
    DifferentDatasetError,
    NotATokenDatasetError,
)
from omnivla_vision.dataset.lock import LOCK, alone_in
from omnivla_vision.dataset.recording import Episode
from omnivla_vision.dataset.support import import_lance

# In the schema's metadata: JSON, path of a recording -> why it could not be used.
BROKEN = f"{PREFIX}broken"
# Lance's folder of manifests.
_VERSIONS = "_versions"
# Lance's own default: so long one can go back to a version before a row was deleted by mistake.
KEPT_VERSIONS = timedelta(days=14)


def open_dataset(uri: str, storage_options: Mapping[str, str] | None = None) -> Any:
    """The Lance dataset, as it is now.

    Raises:
        DatasetSupportMissingError: Lance is not installed.
        NotATokenDatasetError: nothing is there, or something else.
    """
    lance = import_lance()
    try:
        return lance.dataset(uri, storage_options=dict(storage_options or {}) or None)
    except (ValueError, OSError) as error:
        raise NotATokenDatasetError(
            f"found no dataset at {uri} ({str(error).splitlines()[0]}); expected a folder that `omnivla-vision dataset "
            "--out` made"
        ) from error


def episodes_of(dataset: Any) -> list[Episode]:
    """What a dataset says of its episodes, in the order of its rows."""
    table = dataset.to_table(columns=[EPISODE_RECORD], filter=f"{EPISODE_RECORD} IS NOT NULL")
    return [Episode.from_json(text) for text in table[EPISODE_RECORD].to_pylist()]


def broken_of(dataset: Any) -> dict[str, str]:
    """Recordings that could not be used: path -> reason."""
    text = (dataset.schema.metadata or {}).get(BROKEN.encode())
    return {} if text is None else dict(json.loads(text))


def _require_ours(folder: Path) -> None:
    inside = {item.name for item in folder.iterdir()}
    # A run that was killed while it created the dataset may leave the others of Lance's folders.
    foreign = sorted(inside - {LOCK, "data", "_transactions"})
    if foreign and _VERSIONS not in foreign:
        raise NotATokenDatasetError(
            f"found {', '.join(foreign[:3])} in {folder}; expected an empty folder, none, or a dataset of tokens; name "
            "another place with --out"
        )


class TokenStore:
    """A dataset on a disk or in an object store (`s3://...`), held by one run.

    Args:
        uri: a folder, which need not exist, or a URI that Lance knows.
        storage_options: of an object store, see Lance.

    Attributes:
        dataset: Lance's; None until it was created.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.uri = uri
        self._storage_options = dict(storage_options or {}) or None
        self.dataset: Any = None

    @contextmanager
    def held(self) -> Iterator[TokenStore]:
        """Keep other runs out, and open what is there.

        Raises:
            DatasetBusyError: another run is at work in it.
            NotATokenDatasetError: the folder holds something else.
            DatasetWriteError: the folder cannot be made.
        """
        if self._is_remote:  # no locks there: see `append`
            self._open()
            yield self
            return
        folder = Path(self.uri)
        made = not folder.exists()
        with ExitStack() as stack:
            with self._writing():
                folder.mkdir(parents=True, exist_ok=True)
                _require_ours(folder)
                stack.enter_context(alone_in(folder))
            if (folder / _VERSIONS).exists():
                self._open()
                self._remove_leftovers()
            try:
                yield self
            finally:
                with suppress(DatasetWriteError):  # a full disk gets its room back, if it can
                    self._remove_leftovers()
                if self.dataset is None:  # nothing came of it
                    with suppress(OSError):
                        (folder / LOCK).unlink()
                        if made:
                            folder.rmdir()

    def create_or_join(self, description: Description, values: Mapping[str, pa.DataType], schema: pa.Schema) -> None:
        """Make sure that rows of this description may be appended.

        Raises:
            DifferentDatasetError: they may not.
            DatasetWriteError: the storage refuses.
        """
        if self.dataset is None:
            lance = import_lance()
            with self._writing():
                self.dataset = lance.write_dataset(
                    pa.Table.from_batches([], schema), self.uri, mode="create", storage_options=self._storage_options
                )
            return
        differences = Description.of(self.dataset.schema.metadata).differences(description)
        if not differences and not self.dataset.schema.equals(schema):
            differences = ["the columns' types"]
        if differences:
            raise DifferentDatasetError(
                f"found rows to append to {self.uri} that differ from those in it ({'; '.join(differences)}); expected "
                "rows of the same weights, preprocessing and options; name another place with --out, or repeat the "
                "options that the dataset was made with (`omnivla-vision dataset info` lists them)"
            )

    def append(self, fragments: Sequence[str]) -> None:
        """Commit a recording's rows, all at once.

        Raises:
            DatasetWriteError: the storage refuses.
            DatasetBusyError: another run has committed to an object store meanwhile.
        """
        lance = import_lance()
        if self._is_remote and self.dataset.latest_version != self.dataset.version:
            raise DatasetBusyError(
                f"found that another run has written into {self.uri} meanwhile; expected to be alone; run the command "
                "again when that one has ended: it does what is missing then"
            )
        parsed = [lance.fragment.FragmentMetadata.from_json(text) for text in fragments]
        with self._writing():
            self.dataset = lance.LanceDataset.commit(
                self.dataset,
                lance.LanceOperation.Append(parsed),
                read_version=self.dataset.version,
                storage_options=self._storage_options,
            )

    @property
    def _is_remote(self) -> bool:
        return "://" in self.uri

    @property
    def description(self) -> Description | None:
        """Of its rows; None until it was created."""
        return None if self.dataset is None else Description.of(self.dataset.schema.metadata)

    @property
    def episodes(self) -> list[Episode]:
        """Those that are in it."""
        return [] if self.dataset is None else episodes_of(self.dataset)

    @property
    def broken(self) -> dict[str, str]:
        """Recordings that could not be used: path -> reason."""
        return {} if self.dataset is None else broken_of(self.dataset)

    def keep_broken(self, broken: Mapping[str, str]) -> None:
        """Replace the list of recordings that could not be used.

        Raises:
            DatasetWriteError: the storage refuses.
        """
        if self.dataset is not None and dict(broken) != self.broken:
            with self._writing():
                self.dataset.update_schema_metadata({BROKEN: json.dumps(dict(broken))})

    def _open(self) -> None:
        try:
            self.dataset = open_dataset(self.uri, self._storage_options)
        except NotATokenDatasetError:
            if not self._is_remote:
                raise
        else:
            Description.of(self.dataset.schema.metadata)

    def _remove_leftovers(self) -> None:
        """Rows of runs that failed or were killed before they were committed, and versions that Lance does not keep."""
        if self.dataset is not None:
            with self._writing():
                if not self._is_remote:
                    for unfinished in Path(self.uri, "data").glob(".tmp*"):  # Lance leaves them
                        unfinished.unlink()
                self.dataset.cleanup_old_versions(
                    older_than=KEPT_VERSIONS, delete_unverified=True, error_if_tagged_old_versions=False
                )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatasetWriteError(
                f"cannot write {self.uri}: found {error.strerror or str(error).splitlines()[0]}; expected a place with "
                "room that can be written; free some space, correct the permissions, or name another place with --out"
            ) from error
