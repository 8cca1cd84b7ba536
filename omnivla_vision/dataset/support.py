"""The libraries of the extras `dataset` and `ray`, which nothing else needs: imported when a dataset is used."""

from __future__ import annotations

from types import ModuleType

from omnivla_vision.dataset.errors import DatasetSupportMissingError, RaySupportMissingError


def import_lance() -> ModuleType:
    """Lance.

    Raises:
        DatasetSupportMissingError: it is not installed.
    """
    try:
        import lance
        import lance.fragment
    except ImportError as error:
        raise DatasetSupportMissingError(
            f"found no Lance to read and write datasets ({error}); install the extra: "
            "pip install 'omnivla-vision[dataset]'"
        ) from error
    module: ModuleType = lance
    return module


def import_ray() -> ModuleType:
    """Ray.

    Raises:
        RaySupportMissingError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise RaySupportMissingError(
            f"found no Ray ({error}); install the extra here and on every node: "
            "pip install 'omnivla-vision[dataset,ray]', or run without --ray"
        ) from error
    module: ModuleType = ray
    return module
