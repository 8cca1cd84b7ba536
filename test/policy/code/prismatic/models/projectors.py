"""The goal's pose as a token."""

from __future__ import annotations

from torch import Tensor, nn


class ProprioProjector(nn.Module):
    """[B, proprio_dim] -> [B, llm_dim]."""

    def __init__(self, llm_dim: int, proprio_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(proprio_dim, llm_dim)
        self.fc2 = nn.Linear(llm_dim, llm_dim)

    def forward(self, proprio: Tensor) -> Tensor:
        """Of a pose."""
        projected: Tensor = self.fc2(self.fc1(proprio).relu())
        return projected
