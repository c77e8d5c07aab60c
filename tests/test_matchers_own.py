"""matchers.own: matchers and features of somebody's own that fail, or give what is no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import satgen
from matchers.extraction import Look, carried_on, extracted
from matchers.own import is_own, own_name
from matchers.registry import load_features, load_matcher
from matchers.sequence import SequenceMatcher
from matchers.types import Features, Matches
from satgen.errors import InputError, RunError
from tests.datasets import make
from tests.pictures import collage

FIRST, SECOND = collage(0, 60, 60), collage(1, 50, 70)


def three(image: Any, **_: Any) -> Features:
    """Three keypoints, wherever one looks."""
    height, width = np.shape(image)[:2]
    return Features(
        torch.tensor([[1.0, 2.0], [20.0, 30.0], [40.0, 9.0]]),
        torch.tensor([3.0, 2.0, 1.0]),
        torch.eye(3, 8),
        torch.tensor([width, height], dtype=torch.float32),
    )


class Finds:
    """An extractor of somebody's own."""

    descriptor_size = 8

    def __init__(self, change: Callable[[Features], Any]) -> None:
        self.change = change

    def __call__(self, image: Any, *, mask: Any = None, box: Any = None) -> Any:
        return self.change(three(image))


class Pairs:
    """A matcher of somebody's own."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, features0: Features, features1: Features) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class BatchedPairs(Pairs):
    """One that says that it takes batches."""

    def prepare(self, features: Features) -> Features:
        return features

    def collate(self, images: Any) -> Any:
        return images

    match = Pairs.__call__


def rows(*pairs: tuple[int, int]) -> Matches:
    return Matches(torch.tensor(pairs), torch.ones(len(pairs)))


NO_MATCHES: list[tuple[Any, str]] = [
    (ValueError("boom\nand more"), r"failed \(ValueError: boom and more\)"),
    (None, "answers with NoneType: must be matchers.types.Matches"),
    (np.zeros((2, 2), int), "answers with ndarray: must be"),
    (Matches(np.zeros((0, 2)), torch.ones(0)), "indices as ndarray: must be a tensor"),  # type: ignore[arg-type]
    (rows((0, 3)), "rows beyond the 3 and 3 keypoints"),
    (rows((-1, 0)), "rows beyond the 3 and 3 keypoints"),
    (rows((0, 1), (2, 1)), "a keypoint twice: matches must be one to one"),
    (Matches(torch.ones(2, 2), torch.ones(2)), "indices in torch.float32 of shape"),
    (Matches(torch.zeros(2, 3, dtype=torch.int64), torch.ones(2)), "indices in torch.int64 of"),
    (replace(rows((0, 0)), scores=torch.ones(2)), r"1 matches and scores of shape \(2,\)"),
    (replace(rows((0, 0)), scores=torch.tensor([np.nan])), "scores that are NaN"),
]


@pytest.mark.parametrize(("answer", "message"), NO_MATCHES)
def test_what_is_no_answer_of_a_matcher_is_refused_by_name(answer: Any, message: str) -> None:
    for turns in (False, True):
        with pytest.raises(RunError, match=f"matcher Pairs: .*{message}"):
            satgen.match(
                FIRST, SECOND, features=Finds(lambda found: found), matcher=Pairs(answer),
                turns=turns, device="cpu",
            )  # fmt: skip
    matcher = load_matcher(Pairs(answer), features=Finds(lambda found: found), device="cpu")
    with pytest.raises(RunError, match=f"matcher Pairs: .*{message}"):
        list(SequenceMatcher(None, matcher).match_frames([three(FIRST), three(SECOND)]))


def no_column(found: Features) -> Features:
    return replace(found, scales=torch.ones(3, 1))


def not_finite(found: Features) -> Features:
    found.keypoints[1, 0] = np.nan
    return found


def fails(_: Features) -> Features:
    raise RuntimeError("boom")


NO_FEATURES: list[tuple[Callable[[Features], Any], str]] = [
    (fails, r"failed \(RuntimeError: boom\)"),
    (lambda _: None, "give NoneType: must be matchers.types.Features"),
    (lambda found: {"keypoints": found.keypoints}, "give dict: must be"),
    (lambda f: replace(f, scores=f.scores.numpy()), "scores as ndarray: must be a tensor"),
    (lambda f: replace(f, scores=f.scores[:2]), r"scores of shape \(2,\): must be \(3,\)"),
    (lambda f: replace(f, keypoints=f.keypoints.T), r"keypoints of shape \(2, 3\): must be \(2, 2"),
    (lambda f: replace(f, descriptors=f.descriptors[:1]), r"descriptors of .*: must be \(3, D\)"),
    (lambda f: replace(f, image_size=f.image_size[:1]), r"image_size of .*: must be \(2,\)"),
    (no_column, r"scales of shape \(3, 1\): must be \(3,\)"),
    (not_finite, "keypoints that are NaN or infinite"),
]


@pytest.mark.parametrize(("change", "message"), NO_FEATURES)
def test_what_are_no_features_is_refused_by_name(
    change: Callable[[Features], Any], message: str
) -> None:
    extractor = Finds(change)
    with pytest.raises(RunError, match=f"features Finds: .*{message}"):
        satgen.match(FIRST, SECOND, features=extractor, matcher="nearest", device="cpu")
    with pytest.raises(RunError, match=f"features Finds: .*{message}"):
        list(extracted([0], lambda _: [Look(FIRST)], extractor))


def test_features_that_know_gradients_are_matched() -> None:
    extractor = Finds(lambda f: replace(f, keypoints=f.keypoints.requires_grad_()))
    pair = satgen.match(FIRST, SECOND, features=extractor, matcher="nearest", device="cpu")
    assert pair.indices.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert pair.points1.tolist() == three(SECOND).keypoints.tolist()


class Detects(Finds):
    """An extractor that is at work in other processes, too."""

    @property
    def detector(self) -> Any:
        return partial(detected, self.change)


def detected(change: Callable[[Any], Any], image: Any, mask: Any) -> Any:
    names = ("keypoints", "scores", "descriptors", "image_size")
    return change({name: getattr(three(image), name).numpy() for name in names})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fails, r"failed \(RuntimeError: boom\)"),
        (lambda _: [1], "give list: must be arrays by name: keypoints, scores"),
        (lambda found: found | {"more": 1}, "give dict of .*, more: must be arrays by name"),
        (lambda found: {"scores": found["scores"]}, "give dict of scores: must be arrays by"),
        (lambda found: found | {"scores": [3, 2, 1]}, "scores as list: must be a NumPy array"),
        (lambda found: found | {"scores": np.ones(4)}, r"scores of shape \(4,\): must be \(3,\)"),
    ],
)
def test_what_is_no_answer_of_a_detector_is_refused_by_name(change: Any, message: str) -> None:
    finish: Any = lambda task, found: found  # noqa: E731
    work = carried_on([0], lambda _: [Look(FIRST)], Detects(change), finish, threads=2)
    with pytest.raises(RunError, match=f"features detected: .*{message}"):
        list(work)


def test_ours_are_not_blamed_and_refusals_stay_what_they_are() -> None:
    ours = load_features("sift", device="cpu")
    assert not is_own(ours) and is_own(three) and own_name(partial(three, 1)) == "three"
    with pytest.raises(InputError, match="empty"):
        list(extracted([0], lambda _: [Look(FIRST[:0])], ours))

    def short_of_memory(_: Features) -> Features:
        raise MemoryError

    with pytest.raises(MemoryError):
        satgen.match(FIRST, SECOND, features=Finds(short_of_memory), matcher="nearest")


def test_a_benchmark_ends_with_the_line(craft_path: Path, tmp_path: Path) -> None:
    frames = make(craft_path, tmp_path / "frames", width=64, height=60, stop=3003)
    words: dict[str, Any] = {"gaps": [1], "pairs": 2, "repeats": 1, "device": "cpu", "threads": 1}
    for matcher, message in (
        (Pairs(ValueError("boom")), r"matcher Pairs: failed \(ValueError: boom\)"),
        (Pairs(rows((9999, 0))), "matcher Pairs: answers with rows beyond the"),
        (BatchedPairs([]), r"matcher BatchedPairs: failed \(ValueError: 0 answers, must be 2\)"),
    ):
        with pytest.raises(RunError, match=message):
            satgen.bench(
                frames, matcher=matcher, features="sift", batch=2, out=tmp_path / "run",
                overwrite=True, **words,
            )  # fmt: skip
    with pytest.raises(RunError, match=r"features Finds: failed \(RuntimeError: boom\)"):
        satgen.bench(
            frames, matcher="nearest", features=Finds(fails), out=tmp_path / "other", **words
        )
