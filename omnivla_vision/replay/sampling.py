"""A few items out of a stream, evenly spaced, without knowing how long it will be."""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")


class EvenlySpaced(Generic[Item]):
    """Keeps every n-th item of a stream, `limit / 2` to `limit` of them; n doubles whenever there are too many.

    Attributes:
        kept: index in the stream -> item.
    """

    def __init__(self, limit: int) -> None:
        self.kept: dict[int, Item] = {}
        self._limit = limit
        self._stride = 1

    def wants(self, index: int) -> bool:
        """Whether the item with that index will be kept, for now."""
        return index % self._stride == 0

    def add(self, index: int, item: Item) -> None:
        """Keep an item, if it is wanted."""
        if not self.wants(index):
            return
        self.kept[index] = item
        while len(self.kept) > self._limit:
            self._stride *= 2
            self.kept = {index: item for index, item in self.kept.items() if self.wants(index)}
