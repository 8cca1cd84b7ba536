"""OpenVLA's prompt."""

from __future__ import annotations


class PurePromptBuilder:
    """A question and its answer."""

    def __init__(self, model_family: str) -> None:
        self.prompt = ""

    def add_turn(self, role: str, message: str) -> None:
        """Of "human", then of "gpt"."""
        self.prompt += f"In: {message}\nOut: " if role == "human" else f"{message}</s>"

    def get_prompt(self) -> str:
        """All of it."""
        return self.prompt
