"""The papers' losses, on log assignments (B, M+1, N+1) with a dustbin for either image.

Padding and ignored keypoints take no part; a pair without a kind of label adds nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from matchers.assignment import mutual_matches
from matchers.truth.batched import Labels
from matchers.truth.rules import UNMATCHED


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


def lightglue_layer_loss(log_assignment: Tensor, labels: Labels) -> Tensor:
    """What one layer adds to LightGlue's loss (eq. 11): matches and dustbins weigh the same.

    Args, Returns: as `superglue_loss`; (B,), not the mean.
    """
    matches, alone0, alone1 = _terms(log_assignment, labels)
    positive = _mean(*matches)
    negative = (_mean(*alone0) + _mean(*alone1)) / 2.0
    return -(positive + negative)


def lightglue_loss(log_assignments: Sequence[Tensor], labels: Labels) -> Tensor:
    """LightGlue's loss (eq. 11): the mean over all layers' assignments, and over the pairs.

    Args:
        log_assignments: (B, M+1, N+1) of each layer.
        labels: of the same pairs.

    Returns:
        ().
    """
    layers = [lightglue_layer_loss(assignment, labels) for assignment in log_assignments]
    return torch.stack(layers).mean()


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
    partner1 = torch.full_like(mask1, -1, dtype=torch.long)
    pair, i = (partner0 >= 0).nonzero(as_tuple=True)
    partner1[pair, partner0[pair, i]] = i
    return partner0, partner1


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
    """(B,) mean over the chosen of (B, N), 0 where none is."""
    return values.sum(1) / chosen.sum(1).clamp(min=1)
