"""As much of transformers as a policy on tokens needs: its tokenizer, one token a character, as Llama's for actions."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

# Private characters stand for the last words of the vocabulary.
_FIRST, _PRIVATE = 31_700, 0xE000


class AutoTokenizer:
    """Of 32,000 words."""

    vocab_size = 32_000

    @classmethod
    def from_pretrained(cls, path: str) -> AutoTokenizer:
        """The same for every folder."""
        return cls()

    def decode(self, ids: Iterable[int]) -> str:
        """Of actions."""
        return "".join(chr(_PRIVATE + int(number) - _FIRST) for number in ids)

    def __call__(self, text: str, add_special_tokens: bool) -> SimpleNamespace:
        """With the beginning's token, and one for the end."""
        body = text.removesuffix("</s>")
        words = [ord(c) - _PRIVATE + _FIRST if ord(c) >= _PRIVATE else ord(c) for c in body]
        return SimpleNamespace(input_ids=[1, *words, *([2] if body != text else [])])
