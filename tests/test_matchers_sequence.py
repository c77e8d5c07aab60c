"""matchers.sequence: the same matches as pair by pair, each frame touched once, memory bounded."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from matchers.extraction import Look
from matchers.registry import load_features, load_matcher
from matchers.sequence import SequenceMatcher
from matchers.types import Features, Matches
from satgen.dataset import Dataset
from satgen.errors import InputError

torch.set_num_threads(1)


class Prepared:
    """What the spy keeps of a frame; can be watched by a weak reference."""

    def __init__(self, features: Features) -> None:
        self.features = features


class Spy:
    """A matcher that pairs rows in order and remembers what it was asked."""

    def __init__(self) -> None:
        self.prepared: list[weakref.ref[Prepared]] = []
        self.seen: Counter[float] = Counter()
        self.most = 0

    def prepare(self, features: Features) -> Prepared:
        value = Prepared(features)
        self.seen[float(features.scores[0])] += 1
        self.prepared.append(weakref.ref(value))
        self.most = max(self.most, self.alive())
        return value

    def match(self, prepared0: Any, prepared1: Any) -> Any:
        count = min(len(prepared0.features), len(prepared1.features))
        rows = torch.arange(count)
        score = prepared0.features.scores[0] + 1000 * prepared1.features.scores[0]
        return Matches(torch.stack([rows, rows], dim=1), score.expand(count))

    def __call__(self, features0: Features, features1: Features) -> Any:
        return self.match(self.prepare(features0), self.prepare(features1))

    def alive(self) -> int:
        return sum(reference() is not None for reference in self.prepared)


class BatchingSpy(Spy):
    """The same, able to take several pairs at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def collate(self, prepared: list[Prepared]) -> list[Prepared]:
        return prepared

    def match(self, prepared0: Any, prepared1: Any) -> Any:
        if isinstance(prepared0, Prepared):
            return super().match(prepared0, prepared1)
        self.sizes.append(len(prepared0))
        pairs = zip(prepared0, prepared1, strict=True)
        return [super(BatchingSpy, self).match(a, b) for a, b in pairs]


def frame(number: int) -> Features:
    """Features that carry their frame's number as their score."""
    return Features(
        torch.zeros(2, 2), torch.full((2,), float(number)), torch.ones(2, 4) / 2, torch.ones(2)
    )


def said(pairs: Any) -> list[tuple[int, int, float]]:
    return [(p.index0, p.index1, float(p.matches.scores[0])) for p in pairs]


def wanted(pairs: Any) -> list[tuple[int, int, float]]:
    return [(i, j, float(i + 1000 * j)) for i, j in pairs]


@pytest.mark.parametrize("gap", [1, 3, 9, 10, 50])
def test_a_gap_takes_each_frame_once_and_keeps_no_more_than_it_spans(gap: int) -> None:
    spy = Spy()
    found = said(SequenceMatcher(None, spy).match_frames((frame(n) for n in range(10)), gap))
    assert found == wanted((n, n + gap) for n in range(10 - gap))
    matched = {n for i, j, _ in found for n in (i, j)}
    assert spy.seen == Counter({float(n): 1 for n in matched})
    assert spy.most <= gap + 2  # those of the window, and the next one
    assert spy.alive() == 0


def test_several_gaps_in_one_pass() -> None:
    spy = Spy()
    found = said(SequenceMatcher(None, spy).match_frames(map(frame, range(5)), gap=[3, 1, 3]))
    assert found == wanted([(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (1, 4)])
    assert max(spy.seen.values()) == 1


def test_a_stream_is_read_no_further_than_asked() -> None:
    read: list[int] = []

    def stream() -> Any:
        for n in range(100):
            read.append(n)
            yield frame(n)

    pairs = SequenceMatcher(None, Spy(), batch_size=1).match_frames(stream())
    next(pairs)
    assert len(read) <= 2


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25),
    st.integers(2, 5),
    st.integers(1, 6),
)
def test_any_pairs_in_any_order(pairs: list[tuple[int, int]], keep: int, batch: int) -> None:
    for spy in (Spy(), BatchingSpy()):
        matcher = SequenceMatcher(None, spy, keep=keep, batch_size=batch)
        frames = [frame(n) for n in range(8)]
        assert said(matcher.match_frames(frames, pairs=pairs)) == wanted(pairs)
        held = keep + 1 + (2 * batch if isinstance(spy, BatchingSpy) else 2)
        assert spy.most <= held
        assert spy.alive() == 0
        if keep >= len({index for pair in pairs for index in pair}):
            assert all(count == 1 for count in spy.seen.values())


def test_frames_are_dropped_after_their_last_pair() -> None:
    spy = Spy()
    pairs = [(n, n + 1) for n in range(50)]
    list(SequenceMatcher(None, spy).match_frames([frame(n) for n in range(51)], pairs=pairs))
    assert spy.most <= 4  # far below `keep`
    assert max(spy.seen.values()) == 1


def test_batches_are_full_but_for_the_last() -> None:
    spy = BatchingSpy()
    matcher = SequenceMatcher(None, spy, batch_size=4)
    assert said(matcher.match_frames(map(frame, range(11)))) == wanted(
        (n, n + 1) for n in range(10)
    )
    assert spy.sizes == [4, 4, 2]


def test_sources_by_number() -> None:
    frames = {7: frame(7), 3: frame(3), 5: frame(5)}
    matcher = SequenceMatcher(None, Spy())
    assert said(matcher.match_frames(frames)) == wanted([(7, 3), (3, 5)])
    assert said(matcher.match_frames(frames, pairs=[(5, 7)])) == wanted([(5, 7)])
    assert said(matcher.match_frames([])) == []
    assert said(matcher.match_frames([frame(0)])) == []
    assert said(matcher.match_frames([frame(0)], pairs=[])) == []


@pytest.mark.parametrize(
    ("gap", "meant"),
    [(np.int64(2), {2}), (np.array([2, 1]), {1, 2}), ({1, 2}, {1, 2}), (range(1, 3), {1, 2})],
)
def test_gaps_of_any_kind_of_whole_numbers(gap: Any, meant: set[int]) -> None:
    found = said(SequenceMatcher(None, Spy()).match_frames(map(frame, range(3)), gap))
    assert {b - a for a, b, *_ in found} == meant


def test_a_gap_beyond_all_counting_has_no_pair() -> None:
    assert not list(SequenceMatcher(None, Spy()).match_frames(map(frame, range(3)), 10**30))


@pytest.mark.parametrize("gap", [0, -1, [], [1, 0], 1.5, "2", None, [1, 1.5]])
def test_bad_gaps(gap: Any) -> None:
    with pytest.raises(InputError, match="gap"):
        SequenceMatcher(None, Spy()).match_frames([frame(0)], gap)


def test_bad_requests() -> None:
    for settings_ in ({"batch_size": 0}, {"keep": 1}):
        with pytest.raises(InputError, match=next(iter(settings_))):
            SequenceMatcher(None, Spy(), **settings_)
    matcher = SequenceMatcher(None, Spy())
    for pairs in ([(0, 2)], [(-1, 0)]):
        with pytest.raises(InputError, match="frame"):
            list(matcher.match_frames([frame(0), frame(1)], pairs=pairs))
    with pytest.raises(InputError, match="sequence"):
        list(matcher.match_frames(map(frame, range(3)), pairs=[(0, 1)]))
    with pytest.raises(InputError, match="extractor"):
        list(matcher.match_frames([np.zeros((8, 8)), np.zeros((8, 8))]))


def test_gradients_are_off_inside_and_untouched_outside() -> None:
    weight = torch.ones(1, requires_grad=True)

    class Learned(Spy):
        def prepare(self, features: Features) -> Prepared:
            assert not (weight * features.scores).requires_grad
            return super().prepare(features)

    for _ in SequenceMatcher(None, Learned()).match_frames(map(frame, range(3))):
        assert torch.is_grad_enabled()


def test_a_dataset_gives_its_frames_and_silhouettes(pristine: Path) -> None:
    data = Dataset(pristine)
    calls: list[tuple[np.ndarray, Any]] = []

    def extract(image: Any, *, mask: Any = None, box: Any = None) -> Features:
        calls.append((image, mask))
        return frame(len(calls))

    pairs = SequenceMatcher(extract, Spy()).match_frames(data, pairs=[(3002, 3000), (3000, 3005)])
    assert [(p.index0, p.index1) for p in pairs] == [(3002, 3000), (3000, 3005)]
    assert len(calls) == 3
    for (image, mask), index in zip(calls, (3002, 3000, 3005), strict=True):
        assert np.array_equal(image, data.rgb(index))
        assert np.array_equal(mask, data.depth(index) > 0)
    calls.clear()
    whole = SequenceMatcher(extract, Spy(), silhouette=False)
    assert [(p.index0, p.index1) for p in whole.match_frames(data, gap=20)] == [
        (3000, 3020),
        (3001, 3021),
        (3002, 3022),
        (3003, 3023),
    ]
    assert all(mask is None for _, mask in calls)
    with pytest.raises(InputError, match="2999"):
        list(whole.match_frames(data, pairs=[(2999, 3000)]))


@pytest.mark.parametrize("name", ["sift", "aliked-t16"])
def test_frames_that_processes_read_are_the_same(pristine: Path, name: str) -> None:
    data = Dataset(pristine)
    extractor = load_features(name, max_keypoints=30, device="cpu")
    pairs = [(3002, 3000), (3000, 3005), (3007, 3002), (3001, 3003)]

    def found(workers: int | None) -> list[Any]:
        matcher = SequenceMatcher(extractor, Spy(), keep=3, workers=workers)
        return [(p.index0, p.index1, p.features1) for p in matcher.match_frames(data, pairs=pairs)]

    for (a, b, mine), (c, d, other) in zip(found(0), found(2), strict=True):
        assert (a, b) == (c, d)
        expected = extractor(data.rgb(b), mask=data.parts(b) > 0)
        for features in (mine, other):
            assert torch.equal(features.keypoints, expected.keypoints)
            assert torch.equal(features.descriptors, expected.descriptors)


def test_frames_with_masks_and_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    mask = np.zeros((96, 96), dtype=bool)
    mask[:, :40] = True
    matcher = SequenceMatcher(load_features("sift"), Spy())
    (pair,) = matcher.match_frames([Look(image, mask), image])
    assert len(pair.features0)
    assert pair.features0.keypoints[:, 0].max() < 40
    assert pair.features1.keypoints[:, 0].max() > 40


# --- with the real matchers --------------------------------------------------------------------


@pytest.fixture(scope="module")
def moving() -> list[Features]:
    """ALIKED's features of a texture that moves and turns, of unlike numbers; one frame is black.

    The turn makes some pairs hard, so that pairs leave at layers of their own.
    """
    import cv2

    noise = np.random.default_rng(3).integers(0, 255, (220, 260, 3)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX)
    extractor = load_features("aliked", device="cpu", max_keypoints=120, detection_threshold=0.0)
    found = []
    for n in range(6):
        turn = cv2.getRotationMatrix2D((130, 110), 4.0 * n * n, 1.0)
        image = cv2.warpAffine(texture, turn, (260, 220))[20 : 148 + 4 * n, 30:190]
        found.append(extractor(image).select(torch.arange(120 - 9 * n)))
    black = extractor(np.zeros((64, 64, 3), dtype=np.uint8)).select(torch.arange(0))
    return [*found[:4], black, *found[4:]]


def real(name: str) -> Any:
    if name == "superglue":
        from matchers.superglue import SuperGlue, SuperGlueConfig

        torch.manual_seed(0)
        return SuperGlue(SuperGlueConfig(descriptor_dim=128, num_layers=2)).eval()
    official = "official" if name == "lightglue" else None
    return load_matcher(name, features="aliked", weights=official, device="cpu")


def rows(matches: Matches) -> set[tuple[int, ...]]:
    return {tuple(row) for row in matches.indices.tolist()}


@pytest.mark.parametrize("name", ["nearest", "lightglue", "superglue"])
def test_one_at_a_time_is_the_same_to_the_last_bit(name: str, moving: list[Features]) -> None:
    matcher = real(name)
    pairs = [(0, 1), (2, 0), (1, 4), (5, 3), (0, 2), (6, 6)]
    found = SequenceMatcher(None, matcher, batch_size=1).match_frames(moving, pairs=pairs)
    total = 0
    for pair in found:
        alone = matcher(moving[pair.index0], moving[pair.index1])
        total += len(alone)
        assert torch.equal(pair.matches.indices, alone.indices)
        assert torch.equal(pair.matches.scores, alone.scores)
        if alone.adaptation is not None:
            assert pair.matches.adaptation is not None
            assert pair.matches.adaptation.stop_layer == alone.adaptation.stop_layer
            assert torch.equal(pair.matches.adaptation.layers0, alone.adaptation.layers0)
            assert torch.equal(pair.matches.adaptation.layers1, alone.adaptation.layers1)
    assert total > 100 or name == "superglue"


@pytest.mark.parametrize("name", ["nearest", "lightglue", "superglue"])
def test_batches_give_the_same_matches(name: str, moving: list[Features]) -> None:
    matcher = real(name)
    batched = SequenceMatcher(None, matcher, batch_size=4).match_frames(moving, gap=[1, 2])
    layers = set()
    for pair in batched:
        alone = matcher(moving[pair.index0], moving[pair.index1])
        assert rows(pair.matches) == rows(alone)
        assert torch.allclose(pair.matches.scores, alone.scores, atol=1e-4)
        if alone.adaptation is not None:
            done = pair.matches.adaptation
            assert done is not None
            assert done.stop_layer == alone.adaptation.stop_layer
            assert torch.equal(done.layers0, alone.adaptation.layers0)
            assert torch.equal(done.layers1, alone.adaptation.layers1)
            layers.add(done.stop_layer)
    assert name != "lightglue" or len(layers) > 1
