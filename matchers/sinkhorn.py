"""Entropy-regularised optimal transport with dustbins, SuperGlue's optimal matching layer (§3.2).

Sinkhorn's iterations scale the rows and columns of exp(scores) in turn until both have the sums
that are asked for. In the log domain that is safe for any scores, and slow: an exponential of
every score in every half iteration. Where no gradient is needed and the scores' range leaves room
in the type's exponent, the exponential is taken once and an iteration is two matrix-vector
products. The scalings' logarithms then differ by no more than that range, so nothing can
overflow, and no score is lost.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROOM = {torch.float32: 40.0, torch.float64: 340.0}
"""Largest half range of scores that are iterated in the linear domain: exp(2 · room) is finite."""


def log_optimal_transport(
    scores: Tensor,
    bin_score: Tensor,
    iterations: int,
    mask0: Tensor | None = None,
    mask1: Tensor | None = None,
) -> Tensor:
    """The log assignment that maximises the total score, with entropy 1 (§3.2).

    A keypoint has mass 1, and each dustbin as much as the other image has keypoints.

    Args:
        scores: (B, M, N) float.
        bin_score: scalar, of every dustbin entry.
        iterations: of Sinkhorn's algorithm, each of rows and then columns.
        mask0, mask1: (B, M) and (B, N) bool, False at padding; None: no padding.

    Returns:
        (B, M+1, N+1) log probabilities, of the scores' type. Padding takes no part: its rows and
        columns are the type's most negative number. Where an image has no keypoint, all of the
        other's are unmatched.
    """
    b, m, n = scores.shape
    border = bin_score.to(scores)
    couplings = torch.cat(
        [
            torch.cat([scores, border.expand(b, m, 1)], 2),
            border.expand(b, 1, n + 1),
        ],
        1,
    )
    there0 = _present(mask0, b, m, scores)
    there1 = _present(mask1, b, n, scores)
    count0, count1 = there0[:, :-1].sum(1), there1[:, :-1].sum(1)
    # The last row and column are the dustbins.
    mass0 = torch.cat([there0[:, :-1].to(scores), count1[:, None].to(scores)], 1)
    mass1 = torch.cat([there1[:, :-1].to(scores), count0[:, None].to(scores)], 1)
    there0[:, -1], there1[:, -1] = count1 > 0, count0 > 0
    present = there0[:, :, None] & there1[:, None, :]
    found = None
    if not (torch.is_grad_enabled() and couplings.requires_grad):
        found = _linear(couplings, mass0, mass1, present, iterations)
    if found is None:
        found = _logarithmic(couplings, mass0, mass1, present, iterations)
    return found.masked_fill(~present, torch.finfo(scores.dtype).min)


def _present(mask: Tensor | None, batch: int, count: int, like: Tensor) -> Tensor:
    """(B, N+1) bool, True at keypoints and at the dustbin."""
    there = torch.ones((batch, count + 1), dtype=torch.bool, device=like.device)
    if mask is not None:
        there[:, :-1] = mask
    return there


def _logarithmic(
    couplings: Tensor, mass0: Tensor, mass1: Tensor, present: Tensor, iterations: int
) -> Tensor:
    """In the log domain; gradients pass."""
    lowest = torch.finfo(couplings.dtype).min
    z = couplings.masked_fill(~present, lowest)
    rows, columns = present.any(2), present.any(1)
    log0 = mass0.clamp(min=1e-30).log().masked_fill(~rows, 0.0)
    log1 = mass1.clamp(min=1e-30).log().masked_fill(~columns, 0.0)
    u, v = torch.zeros_like(log0), torch.zeros_like(log1)
    for _ in range(iterations):
        u = (log0 - torch.logsumexp(z + v[:, None, :], 2)).masked_fill(~rows, 0.0)
        v = (log1 - torch.logsumexp(z + u[:, :, None], 1)).masked_fill(~columns, 0.0)
    return z + u[:, :, None] + v[:, None, :]


def _linear(
    couplings: Tensor, mass0: Tensor, mass1: Tensor, present: Tensor, iterations: int
) -> Tensor | None:
    """In the linear domain, None where the scores' range is too large for it."""
    if couplings.dtype not in _ROOM or not present.any():
        return None
    real = couplings[present] if not bool(present.all()) else couplings
    low, high = (float(value) for value in torch.aminmax(real))
    half = (high - low) / 2.0
    kind = couplings.dtype
    if half > _ROOM[kind] and couplings.device.type != "mps":
        kind = torch.float64
    if not math.isfinite(half) or half > _ROOM[kind]:
        return None
    middle = (high + low) / 2.0
    kernel = (couplings - middle).to(kind).clamp_(-half, half).exp_().masked_fill_(~present, 0.0)
    back = kernel.transpose(1, 2)
    a0, a1 = mass0.to(kind)[:, :, None], mass1.to(kind)[:, :, None]
    # Rows and columns that are not there have no mass: 0 / 1 keeps their scaling at 0.
    empty0 = (~present.any(2)).to(kind)[:, :, None]
    empty1 = (~present.any(1)).to(kind)[:, :, None]
    v = 1.0 - empty1
    u = a0
    for _ in range(iterations):
        u = a0 / torch.baddbmm(empty0, kernel, v)
        v = a1 / torch.baddbmm(empty1, back, u)
    log_u, log_v = (u + empty0).log(), (v + empty1).log()
    scaled = couplings - middle + log_u.to(couplings) + log_v.transpose(1, 2).to(couplings)
    return scaled
