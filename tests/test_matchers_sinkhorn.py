"""Optimal transport against a float64 reference, the Hungarian algorithm, and its own marginals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from matchers.sinkhorn import log_optimal_transport


def reference(scores: np.ndarray, bin_score: float, iterations: int) -> np.ndarray:
    """Sinkhorn's iterations on exact exponentials, in float64."""
    m, n = scores.shape
    couplings = np.full((m + 1, n + 1), bin_score)
    couplings[:m, :n] = scores
    kernel = np.exp(couplings.astype(np.longdouble))
    a = np.append(np.ones(m), n)
    b = np.append(np.ones(n), m)
    v = np.ones(n + 1, dtype=np.longdouble)
    for _ in range(iterations):
        u = a / (kernel @ v)
        v = b / (kernel.T @ u)
    return np.asarray(u[:, None] * kernel * v, dtype=np.float64)


def random_scores(m: int, n: int, scale: float, seed: int) -> torch.Tensor:
    rng = np.random.RandomState(seed)
    return torch.from_numpy((scale * rng.standard_normal((m, n))).astype(np.float32))


# Half ranges of about 3, 30, 150 and 1000: linear in float32, in float64, and the log domain.
@pytest.mark.parametrize("scale", [1.0, 9.0, 45.0, 300.0])
@pytest.mark.parametrize("gradients", [False, True])
def test_it_is_the_reference(scale: float, gradients: bool) -> None:
    scores = random_scores(17, 23, scale, 1).requires_grad_(gradients)
    found = log_optimal_transport(scores[None], torch.tensor(0.7), 60)[0].exp()
    expected = reference(scores.detach().numpy().astype(np.float64), 0.7, 60)
    assert np.abs(found.detach().double().numpy() - expected).max() < 1e-4


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.1, 4.0), st.integers(0, 99))
def test_marginals(m: int, n: int, scale: float, seed: int) -> None:
    found = log_optimal_transport(random_scores(m, n, scale, seed)[None], torch.tensor(1.0), 300)[
        0
    ].exp()
    torch.testing.assert_close(found[:, :-1].sum(0), torch.ones(n), atol=1e-4, rtol=0)
    assert float(found[:, -1].sum()) == pytest.approx(m, abs=1e-3)
    torch.testing.assert_close(found[:-1].sum(1), torch.ones(m), atol=2e-3, rtol=0)
    assert float(found[-1].sum()) == pytest.approx(n, abs=2e-3 * (m + n))


@pytest.mark.parametrize("seed", range(6))
def test_with_sharp_scores_it_is_the_best_assignment(seed: int) -> None:
    """The less entropy weighs, the nearer is the best transport to the best assignment. Whole
    scores keep the second best at a distance; a small draw of them makes the best unique."""
    rng = np.random.RandomState(seed)
    scores = rng.randint(0, 12, (10, 10)) + 0.2 * rng.uniform(0, 1, (10, 10))
    rows, columns = linear_sum_assignment(-scores)
    sharp = torch.from_numpy(60.0 * scores)[None]
    # A bin that nobody would choose.
    found = log_optimal_transport(sharp, torch.tensor(-600.0), 6000)[0, :-1, :-1].exp()
    total = float((found * torch.from_numpy(scores)).sum())
    assert total == pytest.approx(scores[rows, columns].sum(), abs=0.05)


def test_padding_takes_no_part() -> None:
    counts = [(5, 9), (11, 2), (0, 4), (3, 0), (0, 0), (11, 9)]
    scores = torch.randn(len(counts), 11, 9, generator=torch.Generator().manual_seed(0))
    mask0 = torch.stack([torch.arange(11) < m for m, _ in counts])
    mask1 = torch.stack([torch.arange(9) < n for _, n in counts])
    for gradients in (False, True):
        together = log_optimal_transport(
            scores.clone().requires_grad_(gradients), torch.tensor(0.3), 40, mask0, mask1
        )
        assert not together.isnan().any()
        for i, (m, n) in enumerate(counts):
            alone = log_optimal_transport(scores[i : i + 1, :m, :n], torch.tensor(0.3), 40)[0]
            rows, columns = [*range(m), 11], [*range(n), 9]
            own = together[i].detach()[rows][:, columns]
            torch.testing.assert_close(own.exp(), alone.exp(), atol=1e-5, rtol=0)
            assert together[i].exp().sum() - own.exp().sum() < 1e-4
        if gradients:
            together.exp().sum().backward()


def test_gradients_are_those_of_finite_differences() -> None:
    scores = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    border = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    mask1 = torch.tensor([[True, True, True], [True, True, False]])
    assert torch.autograd.gradcheck(
        lambda s, b: log_optimal_transport(s, b, 10, None, mask1).exp(),
        (scores.requires_grad_(), border),
    )
