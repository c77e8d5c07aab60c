"""The rules of ground truth, in one place: for exact and batched labels, benchmark and training.

A keypoint has one of three fates, as in SuperGlue (§5, appendix) and LightGlue (§4, training):

- it matches a certain keypoint of the other frame: they are mutually nearest under the larger of
  both reprojection errors, each is seen in the other frame, and that error is below `match_px`;
- it matches none (`UNMATCHED`): it falls farther than `no_match_px` from every keypoint of the
  other frame, or is hidden there, or falls outside with none within `no_match_px`, or shows empty
  space;
- it is in between, or beside an outline where a depth map cannot tell (`IGNORED`).

Several keypoints may lie in one place, as SIFT's do, one an orientation: 37 of 100 on photographs.
Geometry cannot tell these apart, so it must not be said that one is right and another is not: they
are one keypoint to the truth, of which each may stand for all.

A predicted match is then correct, wrong or ignored, see `judge`; what is ignored is counted
neither for nor against a matcher. The papers' ground truth has no test for occlusion; this one has.

Precision, recall and F1 (`scores`) are of one pair of frames. Of several pairs their means are
given (`mean_over_pairs`), in which each pair weighs the same; a pair without a true match is left
out of all three.

Pixels: OpenCV, (0, 0) is the centre of the top-left pixel. Lengths: metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.errors import InputError
from satgen.settings import setting

COUNTING = 2
"""Which rules scores are counted by, for records of them: 1 counted rows of keypoints, of which
several may lie in one place, 2 counts places."""

GAPS = (1, 2, 5, 10, 20, 30, 45, 60)
"""Differences of index at which frames are paired by default."""

UNMATCHED = -1
"""In place of a partner's row: the other frame has no keypoint of this point."""

IGNORED = -2
"""In place of a partner's row: not to be counted, whatever a matcher says of this keypoint."""


class Fate(IntEnum):
    """What becomes of a keypoint's surface point in the other frame."""

    VISIBLE = 0  # the other frame shows this very surface
    OCCLUDED = 1  # the other frame shows something nearer there
    OUTSIDE = 2  # beyond the other image's border, or behind its camera
    UNDECIDED = 3  # within a pixel of an outline, here or there: depth maps cannot tell
    EMPTY = 4  # the keypoint shows no surface, and none is near
    RIM = 5  # the keypoint shows no surface, but one is within `Thresholds.no_match_px`


class Verdict(IntEnum):
    """What the truth says of a predicted match."""

    CORRECT = 0
    WRONG = 1
    IGNORED = 2


@dataclass(frozen=True)
class Thresholds:
    """When two keypoints belong together. The defaults are the outdoor ones of the papers.

    Attributes:
        match_px: a match reprojects closer than this, both ways (SuperGlue's appendix: 5 px
            indoors, 3 px outdoors; LightGlue: 3 px).
        no_match_px: farther than this from every keypoint there is no match (15 px indoors; 5 px).
        edge_px: a keypoint between pixels of different surfaces is in doubt where these would
            carry it to places farther apart than this; the papers have no such rule.

    Raises:
        InputError: not 0 < match_px <= no_match_px, or a negative edge_px.
    """

    match_px: float = setting(
        3.0, "A match reprojects closer than this", unit="pixels", above=0.0, high=4096.0
    )
    no_match_px: float = setting(
        5.0, "Farther than this there is no match", unit="pixels", above=0.0, high=4096.0
    )
    edge_px: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if not (0.0 < self.match_px <= self.no_match_px < math.inf):
            raise InputError(
                f"thresholds {self.match_px:g} and {self.no_match_px:g} px: the first must be "
                f"positive and not above the second"
            )
        if not self.edge_px >= 0.0:
            raise InputError(f"edge_px {self.edge_px:g}: must not be negative")


HOMOGRAPHY = Thresholds(3.0, 3.0)
"""Thresholds of pairs that a homography ties together, which leaves nothing uncertain
(LightGlue)."""


def judge(
    errors: tuple[Any, Any],
    seen: Any,
    doubtful: tuple[Any, Any],
    partners: tuple[Any, Any],
    thresholds: Thresholds,
) -> tuple[Any, Any]:
    """Which predicted matches are correct, and which are wrong; the others are ignored.

    Correct: each end is seen in the other's frame, and both reprojection errors are below
    `match_px`. Wrong: not correct, and the reprojection error of an end that is not in doubt is
    above `no_match_px`, or one of the ends has no match, or both are seen and one of them matches
    another.

    True matches are correct; so are other pairs that are as close, which happens where keypoints
    lie closer together than `match_px`, or in one place.

    Args:
        errors: (K,) pixels each, from where the first (second) keypoint falls in the other frame
            to the keypoint it is matched with; NaN where that is not known.
        seen: (K,) bool, each end is seen in the other's frame.
        doubtful: (K,) bool each, a wrong position says nothing against the first (second) end.
        partners: (K,) int each, the true partner of the first (second) end, or of another keypoint
            in its place; or `UNMATCHED`, or `IGNORED`.
        thresholds: that hold.

    Returns:
        Correct and wrong, (K,) bool each. Arguments and answers are NumPy arrays, or tensors.
    """
    close, far = thresholds.match_px, thresholds.no_match_px
    correct = seen & (errors[0] < close) & (errors[1] < close)  # NaN is neither close nor far
    wrong = seen & ((partners[0] >= 0) | (partners[1] >= 0))
    for error, doubt, partner in zip(errors, doubtful, partners, strict=True):
        wrong = wrong | ((error > far) & ~doubt) | (partner == UNMATCHED)
    return correct, wrong & ~correct


class Scores(NamedTuple):
    """Precision, recall and F1 of N pairs of frames, (N,) float64 in [0, 1], or NaN."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def scores(correct: ArrayLike, wrong: ArrayLike, found: ArrayLike, true: ArrayLike) -> Scores:
    """Precision, recall and F1 of pairs of frames (SuperGlue §5, LightGlue §5.1).

    - Precision: the correct matches' share of those that are correct or wrong; 0 where there are
      none, so that a matcher cannot better its mean by staying silent.
    - Recall: of the first frame's places that have a match, the share of which a predicted match
      is correct. Places, not keypoints: several keypoints in one place are found with any of them.
    - F1: the harmonic mean of both; 0 where both are 0.

    All three are NaN where no keypoint has a match: nothing was there to be found.

    Args:
        correct, wrong: (N,) predicted matches that `judge` finds so.
        found: (N,) places of the first frame that have a match, and are correctly matched.
        true: (N,) places of the first frame that have a match.
    """
    right, bad, hit, every = (
        np.asarray(v, dtype=np.float64) for v in (correct, wrong, found, true)
    )
    nothing = every == 0.0
    precision = np.where(nothing, np.nan, right / np.maximum(right + bad, 1.0))
    recall = np.where(nothing, np.nan, hit / np.maximum(every, 1.0))
    total = precision + recall
    f1 = 2.0 * precision * recall / np.where(total == 0.0, 1.0, total)
    return Scores(precision, recall, f1)


def mean_over_pairs(values: ArrayLike) -> float:
    """The mean of a figure (N,) over the pairs that have one (are not NaN); NaN where none has."""
    array = np.asarray(values, dtype=np.float64)
    known = array[~np.isnan(array)]
    return float(known.mean()) if known.size else float("nan")
