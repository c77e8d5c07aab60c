"""The papers' losses, on log assignments (B, M+1, N+1) with a dustbin for either image.

Padding and ignored keypoints take no part; a pair without a kind of label adds nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from matchers.assignment import mutual_matches
from matchers.truth.batched import Labels
from matchers.truth.rules import UNMATCHED

if TYPE_CHECKING:
    from matchers.lightglue import LayerScores


def superglue_loss(log_assignment: Tensor, labels: Labels) -> Tensor:
    """SuperGlue's negative log-likelihood of matches and dustbins (eq. 8).

    The paper's sum over a pair is divided by its number of terms, so that pairs with many keypoints
    weigh as much as others.

    Args:
        log_assignment: (B, M+1, N+1).
        labels: of the same pairs.

    Returns:
        Mean over the pairs, ().
    """
    matches, alone0, alone1 = _terms(log_assignment, labels)
    values, chosen = (torch.cat([term[i] for term in (matches, alone0, alone1)], 1) for i in (0, 1))
    return -_mean(values, chosen).mean()


def lightglue_loss(scores: LayerScores, labels: Labels) -> Tensor:
    """LightGlue's loss (eq. 11): matches and dustbins weigh the same; the mean over all layers'
    assignments, and over the pairs.

    Of the assignments (`matchers.assignment.log_double_softmax`) only those terms are made that
    count: what normalises a row and a column, and the similarities of true matches.

    Args:
        scores: of all layers.
        labels: of the same pairs.

    Returns:
        ().
    """
    layers = len(scores.similarity)
    partner0 = labels.partner0
    matched = partner0 >= 0
    column = partner0.clamp(min=0)
    likelihood: Tensor = _Matched.apply(  # type: ignore[no-untyped-call]
        scores.similarity, column, matched, scores.mask0, scores.mask1
    )
    here, there = (functional.logsigmoid(z) for z in (scores.matchability0, scores.matchability1))
    likelihood = likelihood + here + there.gather(2, column.expand(layers, -1, -1))
    terms = [
        (likelihood, matched),
        (here - scores.matchability0, partner0 == UNMATCHED),  # log σ(-z) = log σ(z) - z
        (there - scores.matchability1, labels.partner1 == UNMATCHED),
    ]
    positive, alone0, alone1 = (
        _mean(values.masked_fill(~chosen, 0.0), chosen) for values, chosen in terms
    )
    return -(positive + (alone0 + alone1) / 2.0).mean()


class _Matched(torch.autograd.Function):
    """Log probabilities (L, B, M) that matches have by the softmax over rows and that over columns
    of similarities (L, B, M, N); 0 where there is no match. The gradient is taken in one go: a
    product with either softmax, neither of which is kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        similarity: Tensor,
        column: Tensor,
        matched: Tensor,
        mask0: Tensor | None,
        mask1: Tensor | None,
    ) -> Tensor:
        lowest = torch.finfo(similarity.dtype).min
        if mask1 is not None:
            similarity = similarity.masked_fill(~mask1[:, None, :], lowest)
        if mask0 is not None:
            similarity = similarity.masked_fill(~mask0[:, :, None], lowest)
        rows, columns = similarity.logsumexp(3), similarity.logsumexp(2)
        column = column.expand(len(similarity), -1, -1)
        chosen = similarity.gather(3, column[..., None])[..., 0]
        ctx.save_for_backward(similarity, rows, columns, column, matched)
        value = 2.0 * chosen - rows - columns.gather(2, column)
        return value.masked_fill(~matched, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by: Tensor) -> tuple[Tensor | None, ...]:
        similarity, rows, columns, column, matched = ctx.saved_tensors
        by = by.masked_fill(~matched, 0.0)
        by_column = torch.zeros_like(columns).scatter_add_(2, column, by)
        gradient = (similarity - rows[..., None]).exp_().mul_(-by[..., None])
        other = (similarity - columns[:, :, None]).exp_()
        gradient.addcmul_(other, by_column[:, :, None], value=-1.0)
        gradient.scatter_add_(3, column[..., None], 2.0 * by[..., None])
        return gradient, None, None, None, None


def confidence_loss(
    confidences: Sequence[tuple[Tensor, Tensor]],
    log_assignments: Sequence[Tensor],
    mask0: Tensor,
    mask1: Tensor,
    threshold: float,
) -> Tensor:
    """Cross entropy of LightGlue's confidence classifiers (§3.4).

    A keypoint's class at a layer is whether its match there (another keypoint, or none) is that of
    the last layer.

    Args:
        confidences: (B, M) and (B, N) logits of each layer but the last.
        log_assignments: (B, M+1, N+1) of every layer; no gradient flows to them.
        mask0, mask1: (B, M) and (B, N) bool, False at padding.
        threshold: probability that a match must exceed.

    Returns:
        Mean over keypoints, then over layers, ().
    """
    with torch.no_grad():
        matches = [both_sides(a.detach(), threshold, mask0, mask1) for a in log_assignments]
    losses = []
    for logits, found in zip(confidences, matches[:-1], strict=True):
        for logit, here, last, mask in zip(logits, found, matches[-1], (mask0, mask1), strict=True):
            agrees = (here == last).to(logit.dtype)
            each = functional.binary_cross_entropy_with_logits(logit, agrees, reduction="none")
            losses.append((each * mask).sum() / mask.sum().clamp(min=1))
    return torch.stack(losses).mean()


def both_sides(
    log_assignment: Tensor, threshold: float, mask0: Tensor, mask1: Tensor
) -> tuple[Tensor, Tensor]:
    """Matches of either side, (B, M) and (B, N) int64; -1 where a keypoint has none.

    Args:
        log_assignment: (B, M+1, N+1).
        threshold: probability that a match must exceed.
        mask0, mask1: (B, M) and (B, N) bool, False at padding.
    """
    partner0, _ = mutual_matches(log_assignment, threshold, mask0=mask0, mask1=mask1)
    # those without a match go to a column of their own, which is cut off
    columns = mask1.shape[1]
    rows = torch.arange(mask0.shape[1], device=mask0.device).expand_as(partner0)
    partner1 = torch.full_like(mask1, -1, dtype=torch.long)
    partner1 = functional.pad(partner1, (0, 1))
    partner1.scatter_(1, torch.where(partner0 >= 0, partner0, columns), rows)
    return partner0, partner1[:, :columns]


Term = tuple[Tensor, Tensor]
"""Log probabilities, 0 where there is no label, and where there is one."""


def _terms(log_assignment: Tensor, labels: Labels) -> tuple[Term, Term, Term]:
    """Log probabilities of true matches (B, M), and of no match on either side (B, M), (B, N)."""
    matched = labels.partner0 >= 0
    column = labels.partner0.clamp(min=0)[..., None]
    inner = log_assignment[:, :-1, :-1].gather(2, column)[..., 0]
    alone0, alone1 = labels.partner0 == UNMATCHED, labels.partner1 == UNMATCHED
    return (
        (inner.masked_fill(~matched, 0.0), matched),
        (log_assignment[:, :-1, -1].masked_fill(~alone0, 0.0), alone0),
        (log_assignment[:, -1, :-1].masked_fill(~alone1, 0.0), alone1),
    )


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """(…, B) means over the chosen, (B, N), of values (…, B, N), 0 elsewhere; 0 where none is."""
    return values.sum(-1) / chosen.sum(-1).clamp(min=1)
