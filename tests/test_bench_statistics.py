"""Bootstrap intervals against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from bench.pose import pose_auc
from bench.statistics import paired_bootstrap, within_groups
from satgen.errors import InputError


def runs(n: int = 120, shift: float = 0.03) -> tuple[np.ndarray, np.ndarray]:
    """Precisions of two runs over the same pairs: hard pairs are hard for both."""
    rng = np.random.default_rng(3)
    first = rng.uniform(0.2, 1.0, n)
    return first, first + shift + rng.normal(0.0, 0.05, n)


def test_interval_of_means_is_scipy_s() -> None:
    first, second = runs()
    expected = bootstrap(
        (first, second),
        lambda a, b, axis: np.mean(b, axis=axis) - np.mean(a, axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = paired_bootstrap(first, second, resamples=20_000)
    assert found.difference == pytest.approx(np.mean(second) - np.mean(first))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=4e-4)
    assert found.pairs == 120
    assert found.low > 0.0  # far narrower than the spread of either run


def test_interval_of_another_statistic_is_scipy_s() -> None:
    first, second = (10.0 * v**2 for v in runs(60))

    def area(errors: np.ndarray) -> float:
        return pose_auc(errors, [10.0])[0]

    expected = bootstrap(
        (first, second),
        lambda a, b: area(b) - area(a),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=3000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = paired_bootstrap(first, second, resamples=3000, statistic=area)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=4e-3)
    assert found.difference == pytest.approx(area(second) - area(first))


def test_infinite_errors_take_part_in_areas() -> None:
    first = np.array([1.0, 2.0, np.inf, 4.0])
    found = paired_bootstrap(first, first, resamples=50, statistic=lambda e: pose_auc(e, [5.0])[0])
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairs_without_a_figure_in_both_are_left_out() -> None:
    first, second = runs(40)
    holed0, holed1 = np.append(first, [np.nan, 0.5]), np.append(second, [0.5, np.nan])
    assert paired_bootstrap(holed0, holed1) == paired_bootstrap(first, second)
    nothing = paired_bootstrap([np.nan], [1.0])
    assert nothing.pairs == 0
    assert np.isnan([nothing.difference, nothing.low, nothing.high]).all()


def test_same_seed_same_interval_and_wider_confidence_wider_interval() -> None:
    first, second = runs()
    once = paired_bootstrap(first, second, resamples=500)
    assert once == paired_bootstrap(first, second, resamples=500)
    assert once != paired_bootstrap(first, second, resamples=500, seed=1)
    wide = paired_bootstrap(first, second, resamples=500, confidence=0.99)
    assert wide.low < once.low < once.high < wide.high
    turned = paired_bootstrap(second, first, resamples=500)
    assert turned.difference == pytest.approx(-once.difference)


def test_many_pairs_fit_in_memory_and_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0.0, 1.0, 400_000)
    found = paired_bootstrap(first, first + 0.5, resamples=7)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="2 figures and 3"):
        paired_bootstrap([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match=r"confidence 95: must be between 0 and 1"):
        paired_bootstrap([1], [1], confidence=95)
    with pytest.raises(InputError, match="0 resamples"):
        paired_bootstrap([1], [1], resamples=0)


# --- within groups --------------------------------------------------------------------------------


def test_in_one_group_it_is_the_difference_of_the_means() -> None:
    values, chosen = [1.0, 3.0, 5.0, 9.0, np.nan], [True, True, False, False, True]
    found = within_groups(values, chosen, ["a"] * 5)
    assert found.difference == pytest.approx(2.0 - 7.0) and found.pairs == 2
    # HC3 of two means: each pair's residual over 1 - 1 / 2
    error = np.sqrt((1.0**2 * 2 + 2.0**2 * 2) * 4.0) / 2.0
    assert (found.low, found.high) == pytest.approx(
        (-5 - 1.96 * error, -5 + 1.96 * error), rel=1e-4
    )


@pytest.mark.parametrize("seed", range(3))
def test_within_groups_is_the_regression_with_a_level_for_each_group(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group, level = rng.integers(0, 6, 200), rng.normal(0.0, 5.0, 6)
    chosen = rng.random(200) < (group + 1) / 8  # the more, the higher the group
    values = level[group] + 0.7 * chosen + rng.normal(0.0, 0.1 + chosen, 200)
    found = within_groups(values, chosen, group)
    design = np.column_stack([chosen, group[:, None] == np.arange(6)]).astype(float)
    slope = np.linalg.lstsq(design, values, rcond=None)[0]
    bread = np.linalg.inv(design.T @ design)
    hat = np.einsum("ij,jk,ik->i", design, bread, design)
    weight = ((values - design @ slope) / (1.0 - hat)) ** 2
    error = np.sqrt((bread @ (design.T * weight) @ design @ bread)[0, 0])
    assert found.difference == pytest.approx(slope[0])
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error)


def test_groups_that_cannot_be_compared_take_no_part() -> None:
    values, chosen = [9.0, 8.0, 1.0, 2.0, 4.0, 5.0], [True, True, True, True, False, False]
    whole = within_groups(values, chosen, [0, 0, 1, 1, 1, 1])
    assert whole == within_groups(values[2:], chosen[2:], [1] * 4) and whole.pairs == 2
    nothing = within_groups(values, chosen, [0, 0, 1, 1, 2, 2])
    assert nothing.pairs == 0 and np.isnan([nothing.difference, nothing.low, nothing.high]).all()
    alone = within_groups([1.0, 2.0, 3.0], [True, False, False], [0, 0, 0])
    assert alone.difference == -1.5 and (alone.low, alone.high) == (-np.inf, np.inf)
    with pytest.raises(InputError, match="3 figures, 2 choices, 3 groups"):
        within_groups([1, 2, 3], [True, False], [0, 0, 0])
