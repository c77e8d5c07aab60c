"""Assignments against SciPy's softmax in float64, and matches against a search of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from matchers.assignment import log_double_softmax, mutual_matches, mutual_maxima, to_matches


def test_log_double_softmax_as_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = torch.randn(2, 4, 6, generator=generator) * 5
    z0, z1 = torch.randn(2, 4, generator=generator), torch.randn(2, 6, generator=generator)
    found = log_double_softmax(similarity, z0, z1).numpy()
    s, a, b = (t.double().numpy() for t in (similarity, z0, z1))
    inner = log_softmax(s, 2) + log_softmax(s, 1)
    inner += np.log(expit(a))[:, :, None] + np.log(expit(b))[:, None]
    np.testing.assert_allclose(found[:, :4, :6], inner, atol=1e-5)
    np.testing.assert_allclose(found[:, :4, 6], np.log(expit(-a)), atol=1e-6)
    np.testing.assert_allclose(found[:, 4, :6], np.log(expit(-b)), atol=1e-6)
    assert not found[:, 4, 6].any()


def test_padding_takes_no_part() -> None:
    generator = torch.Generator().manual_seed(1)
    similarity = torch.randn(1, 3, 4, generator=generator)
    z0, z1 = torch.randn(1, 3, generator=generator), torch.randn(1, 4, generator=generator)
    rows, columns = torch.tensor([0, 2, 3]), torch.tensor([1, 2, 4, 6])
    wide = torch.full((1, 5, 7), 9.0)
    wide[0, rows[:, None], columns] = similarity[0]
    y0, y1 = torch.ones(1, 5), torch.ones(1, 7)
    y0[0, rows], y1[0, columns] = z0[0], z1[0]
    mask0, mask1 = torch.zeros(1, 5, dtype=torch.bool), torch.zeros(1, 7, dtype=torch.bool)
    mask0[0, rows], mask1[0, columns] = True, True
    padded = log_double_softmax(wide, y0, y1, mask0, mask1)
    plain = log_double_softmax(similarity, z0, z1)
    rows, columns = torch.tensor([0, 2, 3, 5]), torch.tensor([1, 2, 4, 6, 7])
    torch.testing.assert_close(padded[0, rows[:, None], columns], plain[0])
    assert bool(padded.isfinite().all())
    probability = padded.exp()
    probability[0, rows[:, None], columns] = 0
    assert not probability.any()
    partner, score = mutual_matches(padded, 0.0, mask0=mask0, mask1=mask1)
    partner1, score1 = mutual_matches(plain, 0.0)
    assert partner[0, [1, 4]].tolist() == [-1, -1]
    expected = [int(columns[j]) if j >= 0 else -1 for j in partner1[0]]
    assert partner[0, rows[:3]].tolist() == expected
    torch.testing.assert_close(score[0, rows[:3]], score1[0])


@given(
    m=st.integers(0, 6),
    n=st.integers(0, 6),
    levels=st.integers(1, 50),
    seed=st.integers(0, 1000),
    threshold=st.sampled_from([0.0, 0.3, 0.9]),
    log=st.booleans(),
)
def test_mutual_matches_are_maxima(
    m: int, n: int, levels: int, seed: int, threshold: float, log: bool
) -> None:
    """With few levels there are ties: then a match is one of the maxima, and none has two."""
    random = np.random.default_rng(seed)
    values = (random.integers(1, levels + 1, (2, m + 1, n + 1)) / (levels + 1)).astype(np.float32)
    tensor = torch.from_numpy(np.log(values) if log else values)
    partner, score = mutual_matches(tensor, threshold, log=log)
    assert partner.shape == score.shape == (2, m)
    for k in range(2):
        inner = values[k, :m, :n]
        sure = set()
        for i in range(m):
            for j in range(n):
                row, column = np.sort(inner[i])[::-1], np.sort(inner[:, j])[::-1]
                alone = (n < 2 or row[1] < row[0]) and (m < 2 or column[1] < column[0])
                if alone and inner[i, j] == row[0] == column[0] and inner[i, j] > threshold:
                    sure.add((i, j))
        found = {(i, j) for i, j in enumerate(partner[k].tolist()) if j >= 0}
        assert sure <= found
        assert len({j for _, j in found}) == len(found)
        for i, j in found:
            assert inner[i, j] == inner[i].max() == inner[:, j].max()
            assert score[k, i].item() == pytest.approx(inner[i, j], rel=1e-5)
        assert not score[k][partner[k] < 0].any()


def test_equal_rows_share_no_partner() -> None:
    scores = torch.zeros(1, 3, 2)
    partner, _ = mutual_maxima(scores)
    assert partner.tolist() == [[0, -1, -1]]


def test_impossible_pairs_are_no_matches() -> None:
    scores = torch.full((1, 2, 2), -torch.inf)
    scores[0, 1, 0] = -80.0
    partner, score = mutual_maxima(scores)
    assert partner.tolist() == [[-1, 0]]
    assert score.tolist() == [[0.0, -80.0]]


def test_to_matches() -> None:
    partner = torch.tensor([[2, -1, 0], [-1, -1, -1]])
    score = torch.tensor([[0.5, 0.9, 1.0000001], [0.0, 0.0, 0.0]], dtype=torch.float64)
    first, second = to_matches(partner, score)
    assert first.indices.tolist() == [[0, 2], [2, 0]]
    assert first.scores.tolist() == [0.5, 1.0] and first.scores.dtype == torch.float32
    assert second.indices.shape == (0, 2) and len(second) == 0
