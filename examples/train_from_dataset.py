#!/usr/bin/env python3
"""Train a small action head on a dataset of tokens: the frame's tokens and a goal's in, the next velocities out.

    omnivla-vision dataset drives/ --out drives.lance --topics /cmd_vel
    python examples/train_from_dataset.py drives.lance --velocity /cmd_vel

The goal is a frame 5 to 50 rows ahead in the same drive: nobody had to name it, and its tokens are in the dataset. A
velocity is the struct that has `linear` and `angular`: /odom.twist.twist of an Odometry, /cmd_vel.twist of a
TwistStamped.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from omnivla_vision.dataset import Hindsight, TokenDataset

AHEAD = 8  # velocities that are predicted, one a row


class ActionHead(nn.Module):
    """Forward and turning velocity of the next rows.

    Args:
        width: of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 1)
        self.velocities = nn.Sequential(nn.Linear(2 * width, 128), nn.GELU(), nn.Linear(128, AHEAD * 2))

    def forward(self, tokens: Tensor, goal: Tensor) -> Tensor:
        """Tokens of both, [batch, tokens, width], in; [batch, AHEAD, 2] out."""
        pooled = [self.pool(images.float()) for images in (tokens, goal)]
        return self.velocities(torch.cat(pooled, dim=1)).unflatten(1, (AHEAD, 2))

    def pool(self, tokens: Tensor) -> Tensor:
        """[batch, tokens, width] in, [batch, width] out."""
        tokens = self.norm(tokens)
        return (self.attention(tokens).softmax(dim=1) * tokens).sum(dim=1)


def train(dataset: TokenDataset, velocity: str, *, epochs: int, batch_size: int, workers: int) -> list[float]:
    """Mean squared error of each epoch."""
    head = ActionHead(dataset.description.outputs[0].width)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    kept = {"multiprocessing_context": "forkserver", "persistent_workers": True} if workers else {}
    loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=workers, **kept)
    losses = []
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        total, count = 0.0, 0
        for batch in loader:
            linear, angular = batch[f"{velocity}.linear"][..., 0], batch[f"{velocity}.angular"][..., 2]
            wanted = torch.stack([linear, angular], dim=-1).float()
            known = batch["window_valid"] & wanted.isfinite().all(dim=-1)  # NaN: before the topic's first message
            errors = (head(batch["tokens"], batch["goal"]) - wanted)[known].square()
            optimizer.zero_grad()
            errors.mean().backward()
            optimizer.step()
            total, count = total + float(errors.sum()), count + errors.numel()
        losses.append(total / count)
        print(f"epoch {epoch}: mean squared error {losses[-1]:.4f}")
    return losses


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--velocity", default="/cmd_vel", help="what is predicted (/cmd_vel)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2, help="processes that read (2)")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    dataset = TokenDataset(
        arguments.dataset, goal=Hindsight(frames=(5, 50)), columns=[arguments.velocity], window=range(AHEAD)
    )
    train(
        dataset,
        arguments.velocity,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
    )


if __name__ == "__main__":
    main()
