"""Actions as the last words of the vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class ActionTokenizer:
    """256 bins from -1 to 1."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, action: NDArray[np.float64]) -> str | list[str]:
        """One action as a text, several as a list of them."""
        ids = self.tokenizer.vocab_size - np.digitize(np.clip(action, -1, 1), np.linspace(-1, 1, 256))
        return self.tokenizer.decode(ids) if ids.ndim == 1 else [self.tokenizer.decode(row) for row in ids]
