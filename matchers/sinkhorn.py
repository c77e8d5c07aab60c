"""Entropy-regularised optimal transport with dustbins, SuperGlue's optimal matching layer (§3.2).

Sinkhorn's iterations scale the rows and columns of exp(scores) in turn until both have the sums
that are asked for. In the log domain that is safe for any scores, and slow: an exponential of
every score in every half iteration. Where the scores' range leaves room in the type's exponent,
the exponential is taken once and an iteration is two matrix-vector products. The scalings'
logarithms then differ by no more than that range, so nothing can overflow, and no score is lost.

The gradient goes back through those iterations with two such products for each, and the outer
products that the kernel gets from each are one matrix product in the end.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from matchers.graphs import assumed
from matchers.precision import products

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
    """Iterate in the log domain; gradients pass."""
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
    """Iterate in the linear domain; None where the scores' range is too large for it."""
    if couplings.dtype not in _ROOM:
        return None
    real = couplings.detach()
    lowest = real.masked_fill(~present, torch.inf).amin()
    highest = real.masked_fill(~present, -torch.inf).amax()
    middle: Tensor | float
    kind = couplings.dtype
    if assumptions := assumed():
        kind = torch.promote_types(kind, assumptions.kind)
        bottom, top = lowest.double(), highest.double()
        assumptions.hold.append((top - bottom).abs() / 2.0 <= _ROOM[kind])
        middle = ((top + bottom) / 2.0).to(couplings)
    else:
        ends: list[float] = torch.stack([lowest, highest]).tolist()  # a GPU is waited for, once
        low, high = ends
        half = (high - low) / 2.0
        if half > _ROOM[kind] and couplings.device.type != "mps":
            kind = torch.float64
        if not math.isfinite(half) or half > _ROOM[kind]:
            return None
        middle = (high + low) / 2.0
    # Absent scores may be out of the range: 0 before the exponential, and after it.
    kernel = (couplings - middle).masked_fill(~present, 0.0).to(kind).exp()
    kernel = kernel.masked_fill(~present, 0.0)
    # Rows and columns that are not there have no mass; where it is 0, so is their scaling.
    a0, a1 = mass0.to(kind) * present.any(2), mass1.to(kind) * present.any(1)
    scalings: tuple[Tensor, Tensor] = _Scalings.apply(kernel, a0, a1, iterations)  # type: ignore[no-untyped-call]
    log_u, log_v = (scaling.to(couplings) for scaling in scalings)
    return couplings - middle + log_u[:, :, None] + log_v[:, None, :]


class _Scalings(torch.autograd.Function):
    """Logarithms of the scalings u (B, M) and v (B, N) of a kernel (B, M, N) to marginals a0, a1.

    0 where the marginal is 0. Gradients are the kernel's alone. Vectors are rows: a product of a
    row and a matrix takes a fifth of the time of one of a matrix and a column on a CPU.
    """

    @staticmethod
    def forward(
        ctx: Any, kernel: Tensor, a0: Tensor, a1: Tensor, iterations: int
    ) -> tuple[Tensor, Tensor]:
        back = kernel.transpose(1, 2)
        a0, a1 = a0[:, None], a1[:, None]
        empty0, empty1 = (a0 == 0.0).to(a0), (a1 == 0.0).to(a1)
        u, v = a0, 1.0 - empty1
        all_u, all_v = [], [v]
        with products(kernel.device, "highest"):
            for _ in range(iterations):
                u = a0 / torch.baddbmm(empty0, v, back)
                v = a1 / torch.baddbmm(empty1, u, kernel)
                if ctx.needs_input_grad[0]:
                    all_u.append(u)
                    all_v.append(v)
        if ctx.needs_input_grad[0] and iterations:
            ctx.save_for_backward(kernel, a0, a1, torch.cat(all_u, 1), torch.cat(all_v, 1))
        ctx.iterations = iterations
        return (u + empty0).log()[:, 0], (v + empty1).log()[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_log_u: Tensor, by_log_v: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.iterations:
            return None, None, None, None
        kernel, a0, a1, u, v = ctx.saved_tensors
        back = kernel.transpose(1, 2)
        # log u = log a0 - log(K v), so d log u = -(u / a0) (dK v + K dv); v likewise
        loss_u = torch.where(a0 > 0.0, -1.0 / a0, 0.0) * u
        loss_v = torch.where(a1 > 0.0, -1.0 / a1, 0.0) * v
        # du = u d log u, and dv likewise: what a product is multiplied with on its way back
        back_u, back_v = loss_u * u, loss_v * v
        r = by_log_v[:, None] * loss_v[:, -1:]
        by_s, by_r = [], []
        with products(kernel.device, "highest"):
            for t in reversed(range(ctx.iterations)):
                here = slice(t, t + 1)
                s = (r @ back) * back_u[:, here]
                if t == ctx.iterations - 1:  # the last u alone is looked at
                    s += by_log_u[:, None] * loss_u[:, here]
                by_s.append(s)
                by_r.append(r)
                if t:
                    r = (s @ kernel) * back_v[:, here]
            left = torch.cat([u.flip(1), *by_s], 1)
            right = torch.cat([*by_r, v[:, :-1].flip(1)], 1)
            return left.transpose(1, 2) @ right, None, None, None
