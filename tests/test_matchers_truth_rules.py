"""The definitions of precision, recall and F1, and what the rooms of ground truth import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchers.truth.rules import Thresholds, mean_over_pairs, scores
from satgen.errors import InputError
from tests.limits import PATIENCE_S


def test_scores_by_hand() -> None:
    # found all; a wrong one among two; silent; only matches that are ignored
    found = scores(correct=[4, 1, 0, 0], wrong=[0, 1, 0, 0], found=[4, 1, 0, 0], true=[4, 2, 3, 3])
    assert found.precision.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert found.recall.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert found.f1.tolist() == [1.0, 0.5, 0.0, 0.0]
    # SIFT's doubles: correct matches that are not the true partner count for precision
    found = scores(correct=3, wrong=1, found=2, true=4)
    assert (found.precision, found.recall) == (0.75, 0.5)
    assert found.f1 == pytest.approx(0.6)


def test_a_pair_without_a_true_match_is_left_out_of_all_three() -> None:
    found = scores(correct=[2, 0], wrong=[1, 5], found=[2, 0], true=[2, 0])
    for values in found:
        assert np.isnan(values).tolist() == [False, True]
    assert [mean_over_pairs(v) for v in found] == pytest.approx([2 / 3, 1.0, 0.8])


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=20))
def test_scores_are_shares_over_the_same_pairs(rows: list[tuple[int, ...]]) -> None:
    counts = np.array(rows)
    correct, wrong, hit, missed = counts.T
    found = scores(correct + hit, wrong, hit, hit + missed)
    defined = hit + missed > 0
    for values in found:
        assert np.array_equal(~np.isnan(values), defined)
    precision, recall, f1 = (values[defined] for values in found)
    low, high = np.minimum(precision, recall), np.maximum(precision, recall)
    assert ((low >= 0.0) & (high <= 1.0)).all()
    assert ((low - 1e-12 <= f1) & (f1 <= high + 1e-12)).all()


def test_means_leave_out_nan() -> None:
    assert mean_over_pairs([1.0, float("nan"), 2.0]) == 1.5
    assert np.isnan(mean_over_pairs([float("nan")])) and np.isnan(mean_over_pairs([]))


@pytest.mark.parametrize(
    ("values", "message"),
    [((0.0, 5.0), "0 and 5 px"), ((6.0, 5.0), "6 and 5 px"), ((3.0, 5.0, -1.0), "edge_px -1")],
)
def test_thresholds_that_cannot_be(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Thresholds(*values)


def test_only_the_batched_labels_need_torch_and_none_needs_the_benchmark() -> None:
    code = (
        "import sys, matchers.truth.exact, matchers.truth.pairs;"
        "assert 'torch' not in sys.modules; import matchers.truth.batched;"
        "assert not {'bench', 'matchers.training'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)
