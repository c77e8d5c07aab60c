"""Losses and figures against numbers that were worked out by hand, term by term."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from matchers.assignment import log_double_softmax
from matchers.lightglue import LayerScores
from matchers.lightglue_adaptive import confident
from matchers.training.config import TrainConfig
from matchers.training.figures import Tally, stop_layers, tally
from matchers.training.losses import (
    both_sides,
    confidence_loss,
    lightglue_loss,
    superglue_loss,
)
from matchers.training.superglue import TRAINING
from matchers.truth.batched import Labels
from matchers.truth.rules import IGNORED, UNMATCHED, Thresholds
from satgen.errors import InputError

torch.set_num_threads(1)
LN2 = math.log(2.0)


def labels_of(partner0: list[list[int]], partner1: list[list[int]]) -> Labels:
    """Labels whose keypoints lie where their partners fall, all else 100 px apart."""
    rows0, rows1 = torch.tensor(partner0), torch.tensor(partner1)
    points0 = 100.0 * torch.arange(rows0.shape[1])[:, None].expand(len(rows0), -1, 2)
    points1 = 100.0 * torch.arange(rows1.shape[1])[:, None].expand(len(rows1), -1, 2) + 50.0
    # a match falls on its partner, the others far from everything
    uv0 = torch.where(rows0[..., None] >= 0, 100.0 * rows0[..., None] + 50.0, 5000.0)
    uv1 = torch.where(rows1[..., None] >= 0, 100.0 * rows1[..., None].float(), 5000.0)
    seen0, seen1 = rows0 >= 0, rows1 >= 0
    sure0, sure1 = torch.zeros_like(seen0), torch.zeros_like(seen1)
    return Labels(
        rows0, rows1, points0, points1, uv0.expand_as(points0).float(),
        uv1.expand_as(points1).float(), seen0, seen1, sure0, sure1, Thresholds(),
    )  # fmt: skip


def assignment_of(probabilities: list[list[float]]) -> Tensor:
    """A log assignment (1, M+1, N+1)."""
    return torch.tensor([probabilities]).log()


# 3 keypoints against 2: 0 and 1 match, 1 is alone, 2 is ignored; of the others 0 is alone
PARTNERS = labels_of([[1, UNMATCHED, IGNORED]], [[UNMATCHED, 0]])
ASSIGNMENT = assignment_of(
    [[0.1, 0.5, 0.25], [0.1, 0.1, 0.125], [0.2, 0.2, 0.3], [0.0625, 0.3, 1.0]]
)


def test_superglue_is_the_mean_log_likelihood_of_matches_and_dustbins() -> None:
    # -(log 1/2 + log 1/8 + log 1/16) / 3: the match, the lone one here, the lone one there
    assert float(superglue_loss(ASSIGNMENT, PARTNERS)) == pytest.approx((1 + 3 + 4) / 3 * LN2)


def dense(assignment: Tensor, labels: Labels) -> Tensor:
    """LightGlue's loss as its paper has it (eq. 11), of one layer's assignment: (B,)."""
    terms = [
        (labels.partner0 >= 0, assignment[:, :-1, :-1].gather(
            2, labels.partner0.clamp(min=0)[..., None])[..., 0], 1.0),
        (labels.partner0 == UNMATCHED, assignment[:, :-1, -1], 0.5),
        (labels.partner1 == UNMATCHED, assignment[:, -1, :-1], 0.5),
    ]  # fmt: skip
    means = [
        w * torch.where(chosen, values, 0.0).sum(1) / chosen.sum(1).clamp(min=1)
        for chosen, values, w in terms
    ]
    return -sum(means, torch.zeros(()))


def scores_of(
    similarity: Tensor, z0: Tensor, z1: Tensor, mask0: Tensor | None, mask1: Tensor | None
) -> LayerScores:
    return LayerScores(similarity, z0, z1, mask0, mask1, torch.zeros(0), ())


def test_lightglue_weighs_matches_and_dustbins_alike() -> None:
    # 1/1 log 1/2 + 1/(2·1) log 1/8 + 1/(2·1) log 1/16
    assert float(dense(ASSIGNMENT, PARTNERS)) == pytest.approx((1 + 1.5 + 2) * LN2)
    # of equal similarities a match has 1/2 of its row and 1/3 of its column; by matchabilities of
    # logit 0 each of it is half as likely again, and so are the dustbins
    flat = scores_of(
        torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3), torch.zeros(1, 1, 2), None, None
    )
    expected = math.log(2 * 3 * 2 * 2) + (LN2 + LN2) / 2
    assert float(lightglue_loss(flat, PARTNERS)) == pytest.approx(expected)


@pytest.mark.parametrize("padded", [False, True])
def test_lightglue_is_the_mean_over_layers_and_pairs(padded: bool) -> None:
    """Loss and gradients, against whole assignments; pairs without labels count."""
    torch.manual_seed(0)
    labels = labels_of(
        [[1, UNMATCHED, IGNORED], [IGNORED] * 3, [0, 1, UNMATCHED]],
        [[UNMATCHED, 0], [IGNORED, IGNORED], [0, 1]],
    )
    mask0, mask1 = None, None
    if padded:
        mask0 = torch.tensor([[True, True, False]] * 2 + [[True] * 3])
        mask1 = torch.tensor([[True, True], [True, False], [True, True]])
    parts = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((4, 3, 3, 2), (4, 3, 3), (4, 3, 2))
    ]
    whole = [
        dense(log_double_softmax(*layer, mask0, mask1), labels)
        for layer in zip(*parts, strict=True)
    ]
    expected = torch.stack(whole).mean()
    loss = lightglue_loss(scores_of(*parts, mask0, mask1), labels)
    torch.testing.assert_close(loss, expected)
    for mine, theirs in zip(
        torch.autograd.grad(loss, parts), torch.autograd.grad(expected, parts), strict=True
    ):
        torch.testing.assert_close(mine, theirs)
    if padded:
        assert not torch.autograd.grad(
            lightglue_loss(scores_of(*parts, mask0, mask1), labels), parts[0]
        )[0][:, 0, 2].any()  # fmt: skip


def test_superglue_is_the_mean_over_pairs() -> None:
    both = labels_of([[1, UNMATCHED, IGNORED], [IGNORED] * 3], [[UNMATCHED, 0], [IGNORED, IGNORED]])
    pairs = torch.cat([ASSIGNMENT, ASSIGNMENT])
    assert float(superglue_loss(pairs, both)) == pytest.approx(8 / 3 * LN2 / 2)


def test_padding_and_ignored_keypoints_get_no_gradient() -> None:
    assignment = ASSIGNMENT.clone()
    # what the networks put at padding: the lowest number there is
    assignment = torch.nn.functional.pad(assignment, (0, 1, 0, 1), value=torch.finfo().min)
    assignment = assignment[:, [0, 1, 2, 4, 3]][:, :, [0, 1, 3, 2]].requires_grad_()
    padded = labels_of([[1, UNMATCHED, IGNORED, IGNORED]], [[UNMATCHED, 0, IGNORED]])
    value = superglue_loss(assignment, padded)
    assert float(value.detach()) == pytest.approx(float(superglue_loss(ASSIGNMENT, PARTNERS)))
    value.backward()
    touched = (assignment.grad[0] != 0.0).nonzero().tolist()  # type: ignore[index]
    assert touched == [[0, 1], [1, 3], [4, 0]]
    assert assignment.grad.isfinite().all()  # type: ignore[union-attr]


def test_confidence_is_to_say_whether_the_match_is_the_last_layers() -> None:
    # layer 1 matches 0-0 and 1-1; the last layer 0-0 only: both keypoints 1 have changed
    first = assignment_of([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 1.0]])
    last = assignment_of([[0.8, 0.1, 0.1], [0.1, 0.05, 0.8], [0.1, 0.8, 1.0]])
    sure = (torch.tensor([[math.log(3.0), math.log(3.0)]]), torch.tensor([[0.0, -math.log(3.0)]]))
    everywhere = torch.ones(1, 2, dtype=torch.bool)
    # probabilities 3/4, 3/4 | 1/2, 1/4 of classes 1, 0 | 1, 0
    first_side = (math.log(4 / 3) + math.log(4)) / 2
    second_side = (math.log(2) + math.log(4 / 3)) / 2
    loss = confidence_loss([sure], [first, last], everywhere, everywhere, 0.1)
    assert float(loss) == pytest.approx((first_side + second_side) / 2)
    # padding: keypoint 1 of the first image is none
    mask = torch.tensor([[True, False]])
    loss = confidence_loss([sure], [first, first], mask, everywhere, 0.1)
    # the same matches in both layers: classes 1 | 1, 1 (1 has lost its match in both)
    second_side = (math.log(2) + math.log(4)) / 2
    assert float(loss) == pytest.approx((math.log(4 / 3) + second_side) / 2)


def test_confidence_has_gradients_for_the_classifiers_alone() -> None:
    logits = (torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 2, requires_grad=True))
    assignment = ASSIGNMENT.clone().requires_grad_()
    masks = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    confidence_loss([logits], [assignment, assignment], *masks, 0.1).backward()
    assert logits[0].grad is not None and assignment.grad is None


def test_both_sides_tell_the_same_matches() -> None:
    mask0, mask1 = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    partner0, partner1 = both_sides(ASSIGNMENT, 0.15, mask0, mask1)
    assert partner0.tolist() == [[1, -1, 0]] and partner1.tolist() == [[2, 0]]
    partner0, partner1 = both_sides(ASSIGNMENT, 0.3, mask0, mask1)
    assert partner0.tolist() == [[1, -1, -1]] and partner1.tolist() == [[-1, 0]]


def test_figures_of_a_small_pair() -> None:
    mask0, mask1 = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)
    # 0-1 is right; 2-0 is not: 0 has no match
    found = tally(ASSIGNMENT, PARTNERS, 0.15, mask0, mask1)
    counts = (found.correct, found.wrong, found.found, found.true, found.layers)
    assert [values.tolist() for values in counts] == [[1], [1], [1], [1], [0]]
    assert (found.precision, found.recall) == (0.5, 1.0)
    assert found.f1 == pytest.approx(2 / 3)
    assert math.isnan(found.stop_layer)


def test_figures_of_several_pairs_are_means_over_pairs() -> None:
    a, b, c = (np.array(v) for v in ([8, 1, 0], [0, 1, 3], [8, 2, 0]))
    tally_ = Tally(correct=a, wrong=b, found=a, true=c, layers=np.array([2, 3, 4]))
    # of pooled counts F1 would be 9 / 11; the third pair has nothing to be found
    assert tally_.precision == pytest.approx((1.0 + 0.5) / 2)
    assert tally_.recall == pytest.approx((1.0 + 0.5) / 2)
    assert tally_.f1 == pytest.approx((1.0 + 0.5) / 2)
    assert tally_.stop_layer == 3.0 and (tally_ + Tally() + tally_).pairs == 6
    silent = Tally(*(np.array([n]) for n in (0, 0, 0, 3, 0)))
    assert silent.precision == silent.f1 == 0.0
    assert math.isnan(Tally().f1)


def test_stopping_layer_by_the_share_of_sure_keypoints() -> None:
    def logit(p: float) -> float:
        return math.log(p / (1.0 - p))

    # λ of 3 layers: 0.9, 0.826…; 19 of 20 keypoints are not more than 95 %
    low, high = logit(0.85), logit(0.95)
    layers = [
        (torch.full((3, 10), low), torch.full((3, 10), low)),
        (torch.full((3, 10), high), torch.full((3, 10), high)),
    ]
    layers[0][0][0], layers[0][1][0] = high, high  # pair 0: all are sure after the first layer
    layers[1][0][2, 0] = logit(0.5)  # pair 2: one of 20 is not sure after the second
    mask = torch.ones(3, 10, dtype=torch.bool)
    assert stop_layers(layers, mask, mask, 0.95).tolist() == [1, 2, 3]
    masked = mask.clone()
    masked[2, 0] = False  # it is padding
    assert stop_layers(layers, masked, mask, 0.95).tolist() == [1, 2, 2]


def test_exit_thresholds_are_the_papers() -> None:
    found = [confident(layer, 9) for layer in range(1, 9)]
    expected = [0.900, 0.864, 0.841, 0.826, 0.817, 0.811, 0.807, 0.805]
    assert found == pytest.approx(expected, abs=6e-4)


# --- schedules ------------------------------------------------------------------------------------


def test_the_rate_warms_up_holds_and_falls() -> None:
    config = TrainConfig(steps=1000, warmup=100, learning_rate=1e-3)
    rates = [config.rate("pose", step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5) and rates[99] == pytest.approx(1e-3)
    assert rates[100:600] == pytest.approx([1e-3] * 500)
    # exponential from there: the same factor every step, to 1 % at the end
    factors = [b / a for a, b in pairwise(rates[600:])]
    assert max(factors) == pytest.approx(min(factors)) and max(factors) < 1.0
    assert rates[-1] == pytest.approx(1e-5, rel=0.02)


def test_superglues_rate_falls_as_the_papers_does() -> None:
    # on homographies 200 of 900 thousand steps, then a factor of 0.999998 a step
    hold, end = TRAINING.decays["homography"]
    assert hold == pytest.approx(200 / 900, abs=0.01)
    assert end == pytest.approx(0.999998**700_000, rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"matcher": "nearest"},
        {"features": "orb"},
        {"dim": 100, "heads": 3},
        {"batch": 0},
        {"steps": 0},
        {"confidence_steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"weight_decay": 1.0},
        {"gaps": ()},
    ],
)
def test_what_no_training_can_have_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TrainConfig(**change)  # type: ignore[arg-type]
