"""What the matchers' graphs share: attention, and the matches of an assignment.

Tokens of an image are (N, dim). N may be 0: nothing here is reshaped by a length that is left open,
and no maximum is taken over nothing.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

T = TypeVar("T")


class Held(nn.Module, Generic[T]):
    """Arranged weights, whose tensors are the module's own: so they are written once each.

    Args:
        weights: tuples of tensors and numbers.
    """

    def __init__(self, weights: T) -> None:
        super().__init__()
        self._values, self._form = tree_flatten(weights)
        for place, value in enumerate(self._values):
            if isinstance(value, Tensor):
                self.register_buffer(f"weight{place}", value.detach().contiguous())

    def forward(self) -> T:
        """The weights."""
        values = [
            getattr(self, f"weight{place}") if isinstance(value, Tensor) else value
            for place, value in enumerate(self._values)
        ]
        found: T = tree_unflatten(values, self._form)
        return found


def real_rows(descriptors: Tensor) -> Tensor:
    """Which descriptors (N, D) are no padding: (N,) bool."""
    return descriptors.abs().sum(-1) > 0.0


def attention(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """Messages (N, H·C) to queries (N, H, C) from keys and values (M, H, C).

    Args:
        q, k, v: heads apart.
        keys: (M,) bool, False at padding; None: there is none. Nothing but padding is attended to
            as if it were none: what comes of it is finite, and nothing looks at it.
    """
    heads, channels = q.shape[1], q.shape[2]
    q, k, v = (values.transpose(0, 1) for values in (q, k, v))
    weights = (q * channels**-0.5) @ k.transpose(1, 2)
    if keys is not None:
        there = keys | ~keys.any()
        weights = torch.where(there, weights, -1e30)
    message: Tensor = (weights.softmax(-1) @ v).transpose(0, 1)
    return message.reshape(q.shape[1], heads * channels)


def mutual_matches(
    scores: Tensor, threshold: float, real0: Tensor | None, real1: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Mutual maxima of log probabilities (M, N) over a threshold.

    Args:
        scores: without dustbins.
        threshold: probability that a match must exceed.
        real0, real1: (M,) and (N,) bool, False at padding; None: there is none.

    Returns:
        (S, 2) int64 rows, ordered by the first, and their probabilities (S,).
    """
    if real0 is not None and real1 is not None:
        scores = torch.where(real0[:, None] & real1, scores, -1e30)
    scores = torch.nn.functional.pad(scores, (0, 1, 0, 1), value=-1e30)
    best, partner = scores.max(1)
    mutual = scores.argmax(0)[partner] == torch.arange(scores.shape[0])
    probability = best.exp()
    (rows,) = torch.nonzero(mutual & (probability > threshold), as_tuple=True)
    return torch.stack([rows, partner[rows]], 1), probability[rows]
