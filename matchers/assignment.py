"""Assignment matrices and the matches that they hold, for every matcher.

A log assignment (B, M+1, N+1) has log probabilities: keypoint i of the first image matches j of the
second at [i, j], has no match at [i, N] and [M, j] (the dustbins). [M, N] means nothing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from matchers.types import Adaptation, Matches


def stack_padded(images: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Tensors (N_b, …) of B images as one (B, N, …), padded with zeros.

    Returns:
        The tensor, and (B, N) bool, False at padding; None where there is none.
    """
    counts = [len(image) for image in images]
    stacked = torch.nn.utils.rnn.pad_sequence(images, batch_first=True)
    if min(counts) == max(counts):
        return stacked, None
    places = torch.arange(max(counts), device=stacked.device)
    return stacked, places < torch.tensor(counts, device=stacked.device)[:, None]


def log_double_softmax(
    similarity: Tensor,
    matchability0: Tensor,
    matchability1: Tensor,
    mask0: Tensor | None = None,
    mask1: Tensor | None = None,
) -> Tensor:
    """LightGlue's log assignment: softmax over rows and columns, times matchability (its §3.2).

    Args:
        similarity: (B, M, N) float.
        matchability0, matchability1: (B, M) and (B, N) logits.
        mask0, mask1: (B, M) and (B, N) bool, False at padding; None: no padding.

    Returns:
        (B, M+1, N+1), of the similarity's type. Padding takes no part: its rows and columns are
        the type's most negative number, whose exp is 0 (finite, so that a loss may weight it
        with 0). [M, N] is 0.
    """
    lowest = torch.finfo(similarity.dtype).min
    b, m, n = similarity.shape
    rows, columns = similarity, similarity
    if mask1 is not None:
        rows = rows.masked_fill(~mask1[:, None, :], lowest)
    if mask0 is not None:
        columns = columns.masked_fill(~mask0[:, :, None], lowest)
    out = similarity.new_zeros((b, m + 1, n + 1))
    out[:, :m, :n] = (
        functional.log_softmax(rows, 2)
        + log_softmax_columns(columns)
        + functional.logsigmoid(matchability0)[:, :, None]
        + functional.logsigmoid(matchability1)[:, None, :]
    )
    out[:, :m, n] = functional.logsigmoid(-matchability0)
    out[:, m, :n] = functional.logsigmoid(-matchability1)
    if mask0 is not None:
        out = out.masked_fill(~functional.pad(mask0, (0, 1), value=True)[:, :, None], lowest)
    if mask1 is not None:
        out = out.masked_fill(~functional.pad(mask1, (0, 1), value=True)[:, None, :], lowest)
    return out


def log_softmax_columns(values: Tensor) -> Tensor:
    """The log softmax of (B, M, N) over M.

    CUDA's kernel for any dimension but the last takes 0.5 ms for 1024 × 1024 numbers on an H200,
    the one for the last together with two transpositions a twentieth.
    """
    if values.is_cuda:
        return functional.log_softmax(values.mT.contiguous(), 2).mT
    return functional.log_softmax(values, 1)


def mutual_maxima(
    scores: Tensor, mask0: Tensor | None = None, mask1: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Pairs that are the maximum of their row and of their column; of equal ones the first.

    Args:
        scores: (B, M, N), without dustbins; any monotonic score; -inf where there can be no match.
        mask0, mask1: (B, M) and (B, N) bool, False at padding; None: no padding, or -inf there.

    Returns:
        (B, M) int64, each row's column, -1 where there is none; (B, M) its score, 0 where none.
    """
    b, m, n = scores.shape
    if m == 0 or n == 0:
        return scores.new_full((b, m), -1, dtype=torch.long), scores.new_zeros((b, m))
    if mask1 is not None:
        scores = scores.masked_fill(~mask1[:, None, :], -torch.inf)
    if mask0 is not None:
        scores = scores.masked_fill(~mask0[:, :, None], -torch.inf)
    best, partner, mutual = row_maxima(scores)
    mutual &= best > -torch.inf
    return partner.masked_fill(~mutual, -1), best.masked_fill(~mutual, 0)


def row_maxima(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each row's maximum, its column, and whether it is the column's as well, of scores (B, M, N):
    (B, M) each, int64 and bool. Of equal ones the first; where all are -inf it may be any."""
    best, partner = scores.max(2)
    # amax and a look at ties: argmax along columns takes five times as long
    mutual = best == scores.amax(1).gather(1, partner)
    return best, partner, first_claims(partner, mutual, scores.shape[2])


def first_claims(partner: Tensor, claims: Tensor, columns: int) -> Tensor:
    """The claims (B, M) of rows on their partner (B, M), but for each column only the first."""
    b, m = partner.shape
    rows = torch.arange(m, device=partner.device).expand(b, m)
    nobody = rows.new_full((b, columns), m)
    first = nobody.scatter_reduce(1, partner, torch.where(claims, rows, m), "amin")
    return first.gather(1, partner) == rows


def mutual_matches(
    assignment: Tensor,
    threshold: float = 0.0,
    *,
    log: bool = True,
    mask0: Tensor | None = None,
    mask1: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Matches of an assignment with dustbins: mutual maxima over a threshold.

    Args:
        assignment: (B, M+1, N+1) log probabilities; the dustbins are not looked at.
        threshold: probability that a match must exceed.
        log: False if the assignment has probabilities.
        mask0, mask1: as `mutual_maxima`.

    Returns:
        (B, M) int64, the match of each keypoint of the first image, -1 where it has none; (B, M)
        its probability, 0 where none.
    """
    partner, score = mutual_maxima(assignment[:, :-1, :-1], mask0, mask1)
    if log:
        score = score.exp()
    keep = (partner >= 0) & (score > threshold)
    return partner.masked_fill(~keep, -1), score.masked_fill(~keep, 0)


def to_matches(
    partner: Tensor, scores: Tensor, adaptation: list[Adaptation] | None = None
) -> list[Matches]:
    """`Matches` of each pair from partners and scores (B, M), as `mutual_matches` gives them."""
    pair, first = torch.nonzero(partner >= 0, as_tuple=True)
    indices = torch.stack([first, partner[pair, first]], 1)
    chosen = scores[pair, first].float().clamp(0, 1)
    if len(partner) == 1:
        found = [Matches(indices, chosen)]
    else:
        counts = torch.bincount(pair, minlength=len(partner)).tolist()
        found = list(map(Matches, torch.split(indices, counts), torch.split(chosen, counts)))
    if adaptation is not None:
        return [replace(m, adaptation=a) for m, a in zip(found, adaptation, strict=True)]
    return found
