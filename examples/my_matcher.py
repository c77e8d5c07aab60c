"""Bench a matcher of your own: nearest neighbours that all turn by about the same angle.

python examples/my_matcher.py datasets/aura
satgen bench datasets/aura --features sift --matcher nearest --matcher examples/my_matcher.py:SPEC
satgen match a.png b.png --features sift --matcher examples.my_matcher:MyMatcher
"""

import math
import sys

import torch

import satgen
from matchers.specs import MatcherSpec, Variant
from matchers.types import Features, Matches


class MyMatcher:
    """Mutual nearest neighbours; of these, those that turn as most do.

    That it can be called with two images' features is all that a matcher needs. What it has in
    `prepare` besides is done once an image, and then `match` is called; see `matchers.types`.
    """

    def __init__(self, within_deg: float = 30.0) -> None:
        self.within = math.radians(within_deg)

    def __call__(self, first: Features, second: Features) -> Matches:
        if not len(first) or not len(second):
            return Matches(torch.zeros((0, 2), dtype=torch.int64), torch.zeros(0))
        similarity = first.descriptors @ second.descriptors.T
        score, partner = similarity.max(1)
        rows = torch.arange(len(first))
        keep = similarity.argmax(0)[partner] == rows
        if first.orientations is not None and second.orientations is not None:
            turn = second.orientations[partner] - first.orientations
            common = torch.atan2(turn[keep].sin().sum(), turn[keep].cos().sum())
            keep &= (turn - common).cos() > math.cos(self.within)
        return Matches(torch.stack([rows, partner], 1)[keep], score[keep].clamp(0.0, 1.0))


# The class is enough. A spec can say more: here, that the benchmark is to run it in two ways.
SPEC = MatcherSpec(
    "turning",
    build=MyMatcher,
    variants=tuple(Variant(f"within {d}°", f"{d}", (("within_deg", float(d)),)) for d in (30, 10)),
)

if __name__ == "__main__":
    result = satgen.bench(
        sys.argv[1], matcher=["nearest", SPEC], features="sift", gaps=[5, 20], out="runs/turning"
    )
    print(result)
    print(result.pairs.groupby("combination")[["precision", "recall", "f1"]].mean().round(3))
