"""Which frames are trained on, which decide when to stop, and which are only tested on.

Held-out frames are blocks of consecutive observation indices. Blocks alone keep nothing apart: the
neighbouring turns of the default spiral are 360 indices, but only 8 degrees away from one another.
So every frame that lies within the guard angle of a held-out frame is dropped, by the angle between
the optical axes in the target's frame. The rotation between two poses is at least that angle. The
rule holds across datasets of one target, whatever their trajectories.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.settings import check, setting

Indices = NDArray[np.int64]

SPLITS = ("blocks", "targets")
"""What can be held out: see `SplitConfig.by`."""

MIN_BLOCK = 120
"""Frames that a test block should have at least: room for pairs of frames far apart, and for long
windows."""


@dataclass(frozen=True)
class SplitConfig:
    """How frames are split.

    Attributes:
        test, validation: shares of a dataset's frames in the blocks of either.
        blocks: test blocks a dataset, spread over its indices; fewer where they would have less
            than `MIN_BLOCK` frames. A validation block lies between them.
        guard_deg: least angle between a frame and any frame of another part.
        leave_out: a target whose frames are all tested on; None: every target is split.
        by: "blocks" of every dataset's frames, or whole "targets", of which `test` and
            `validation` are shares then, at least one each: for many targets, to know of what is
            learned how it does on one that was never seen.

    Raises:
        InputError: shares that are not positive or leave nothing, no block, a guard out of range,
            another `by`, or a target to leave out where whole targets are held out anyway.
    """

    test: float = setting(
        0.12, "Share of the frames, or of the targets, that are tested on", above=0.0, below=1.0,
        name="test-share",
    )  # fmt: skip
    validation: float = setting(
        0.06, "Share of them that decide which weights are kept", above=0.0, below=1.0,
        name="validation-share",
    )  # fmt: skip
    blocks: int = 3
    guard_deg: float = setting(
        5.0, "Degrees from held-out frames", low=0.0, below=90.0, name="guard"
    )
    leave_out: str | None = setting(
        None, "Train on the others, test on all of this one", metavar="TARGET"
    )
    by: str = setting(
        "blocks",
        "What is held out: blocks of every dataset's frames, or whole targets, a few of many",
        name="hold-out",
        choices=SPLITS,
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.test + self.validation < 1.0:
            raise InputError(
                f"shares {self.test:g} of test and {self.validation:g} of validation frames: must "
                f"be positive and leave some to train on"
            )
        if self.blocks < 1:
            raise InputError(f"{self.blocks} blocks: must be at least 1")
        if self.leave_out is not None and self.by == "targets":
            raise InputError(
                f"target {self.leave_out!r} to leave out: only where blocks are held out, as whole "
                "targets are drawn"
            )


@dataclass(frozen=True)
class Split:
    """A dataset's observation indices, ascending: three parts and what no part may have."""

    train: Indices
    validation: Indices
    test: Indices
    dropped: Indices

    def to_json(self) -> dict[str, list[list[int]]]:
        """Each part as runs [first, last] of consecutive indices."""
        return {
            name: _runs(getattr(self, name)) for name in ("train", "validation", "test", "dropped")
        }


@dataclass(frozen=True)
class ViewAxes:
    """What a split looks at: a dataset's target, indices (N,) and optical axes (N, 3), unit
    vectors in the target's frame."""

    target: str
    indices: Indices
    axes: Floats


def view_axes(data: Dataset) -> ViewAxes:
    """The indices and optical axes of a dataset's frames."""
    return ViewAxes(data.name, data.indices, np.asarray(data.poses[:, 2, :3]))


def split_datasets(
    datasets: Mapping[str, Dataset | ViewAxes], config: SplitConfig | None = None
) -> dict[str, Split]:
    """Split every dataset, keeping the parts of all datasets of a target apart.

    Args:
        datasets: by name.
        config: the defaults unless given. Of whole targets which are held out depends on their
            names alone.

    Raises:
        InputError: a dataset of which nothing is left to train on or to validate with, a
            `leave_out` that none is of or all are of, too few targets to hold some out.
    """
    config = config or SplitConfig()
    views = _checked_views(datasets, config)
    splits: dict[str, Split] = {}
    if config.by == "targets":
        targets = sorted({view.target for view in views.values()})
        drawn = _draw(targets, f"{len(targets)} targets", config, 0)
        return {name: _whole(views[name].indices, drawn[views[name].target]) for name in datasets}
    for target, mine in _by_target(views).items():
        if target == config.leave_out:
            splits |= _only_tested(mine)
            continue
        blocks = {name: _blocks(len(view.indices), config) for name, view in mine.items()}
        splits |= _keep_apart(mine, blocks, config.guard_deg)
        for name in mine:
            parts = {"to train on": splits[name].train, "to validate with": splits[name].validation}
            for what, left in parts.items():
                if not len(left):
                    raise InputError(
                        f"{name}: of its {len(mine[name].indices)} frames none is left {what}, "
                        f"{config.guard_deg:g} degrees from the held-out blocks: more frames, or a "
                        f"smaller guard, are needed"
                    )
    return {name: splits[name] for name in datasets}


def split_sequences(
    datasets: Mapping[str, Dataset | ViewAxes], config: SplitConfig | None = None, seed: int = 0
) -> dict[str, Split]:
    """Put whole datasets into the parts, where there are many of a target: tumbles, say.

    The guard holds here, too: frames that are seen from within the guard angle of a held-out one
    are dropped. Long tumbles come by all sides of a target; where only the motion is to be new, and
    not the views, a guard of 0 keeps every frame.

    Args:
        datasets: by name.
        config: shares of the datasets, at least one each; the guard; a target to leave out. The
            defaults unless given. `blocks` does not matter.
        seed: of the draw. It depends on the names, not on their order.

    Raises:
        InputError: a target of fewer than three datasets, or of which nothing is left to train on
            or to validate with; a `leave_out` that none is of or all are of; a negative seed.
    """
    config = config or SplitConfig()
    if seed < 0:
        raise InputError(f"seed {seed}: must be at least 0")
    views = _checked_views(datasets, config)
    splits: dict[str, Split] = {}
    for target, mine in _by_target(views).items():
        if target == config.leave_out:
            splits |= _only_tested(mine)
            continue
        drawn = _draw(sorted(mine), f"{target}: {len(mine)} datasets", config, seed)
        parts = {n: np.full(len(view.indices), drawn[n], np.int8) for n, view in mine.items()}
        splits |= _keep_apart(mine, parts, config.guard_deg)
        for what, part in {"to train on": "train", "to validate with": "validation"}.items():
            if not any(len(getattr(splits[name], part)) for name in mine):
                raise InputError(
                    f"{target}: no frame of its {len(mine)} datasets is left {what}, "
                    f"{config.guard_deg:g} degrees from the held-out ones: a smaller guard is "
                    f"needed; 0 keeps whole sequences apart, whatever they show"
                )
    return {name: splits[name] for name in datasets}


def _checked_views(
    datasets: Mapping[str, Dataset | ViewAxes], config: SplitConfig
) -> dict[str, ViewAxes]:
    """The views of datasets, of which one target can be left out if that is wanted."""
    views = {n: d if isinstance(d, ViewAxes) else view_axes(d) for n, d in datasets.items()}
    targets = {view.target for view in views.values()}
    if config.leave_out is not None and config.leave_out not in targets:
        raise InputError(
            f"target {config.leave_out!r} to leave out: must be one of {', '.join(sorted(targets))}"
        )
    if targets == {config.leave_out}:
        raise InputError(f"target {config.leave_out!r} to leave out: there is no other to train on")
    return views


def _by_target(views: dict[str, ViewAxes]) -> dict[str, dict[str, ViewAxes]]:
    """Views of each target, by its name and theirs."""
    targets = sorted({view.target for view in views.values()})
    return {t: {name: view for name, view in views.items() if view.target == t} for t in targets}


def _only_tested(views: dict[str, ViewAxes]) -> dict[str, Split]:
    """Splits with all frames in the test part."""
    return {name: _whole(view.indices, _TEST) for name, view in views.items()}


def _whole(indices: Indices, part: int) -> Split:
    """A split with all frames in one part."""
    none = np.zeros(0, dtype=np.int64)
    train, validation, test = (indices if part == p else none for p in (_TRAIN, _VALIDATION, _TEST))
    return Split(train, validation, test, none)


def _draw(names: list[str], what: str, config: SplitConfig, seed: int) -> dict[str, int]:
    """The part of each dataset of a target, or of each target."""
    count = len(names)
    test, validation = (max(1, round(count * s)) for s in (config.test, config.validation))
    if test + validation >= count:
        raise InputError(
            f"{what} are too few to test on {test}, validate with {validation} "
            f"and train on the others: render more, or split blocks"
        )
    parts = [_TEST] * test + [_VALIDATION] * validation + [_TRAIN] * (count - test - validation)
    order = np.random.default_rng(seed).permutation(count)
    return {names[place]: part for place, part in zip(order, parts, strict=True)}


def _keep_apart(
    views: dict[str, ViewAxes], parts: dict[str, NDArray[np.int8]], guard_deg: float
) -> dict[str, Split]:
    """Drop what is too near to another part: of the validation frames what is near a test frame,
    of those to train on what is near either. The views are all of one target."""
    axes = {name: view.axes for name, view in views.items()}
    test = {name: part == _TEST for name, part in parts.items()}
    near = _near(axes, test, guard_deg)
    validation = {name: (parts[name] == _VALIDATION) & ~near[name] for name in views}
    near_validation = _near(axes, validation, guard_deg)
    splits = {}
    for name, view in views.items():
        held = test[name] | validation[name]
        train = (parts[name] == _TRAIN) & ~near[name] & ~near_validation[name]
        k = view.indices
        splits[name] = Split(k[train], k[validation[name]], k[test[name]], k[~held & ~train])
    return splits


_TRAIN, _VALIDATION, _TEST = 0, 1, 2


def _blocks(count: int, config: SplitConfig) -> NDArray[np.int8]:
    """The part that each of `count` frames falls to, before any is dropped.

    The frames are cut into as many segments as there are test blocks; a segment begins with a
    validation block and has its test block in the middle.
    """
    blocks = max(1, min(config.blocks, int(count * config.test) // MIN_BLOCK))
    segment = count / blocks
    sizes = [max(1, round(segment * share)) for share in (config.validation, config.test)]
    parts = np.full(count, _TRAIN, dtype=np.int8)
    for i in range(blocks):
        first = round(i * segment)
        parts[first : first + sizes[0]] = _VALIDATION
        middle = round((i + 0.5) * segment - sizes[1] / 2)
        parts[max(middle, 0) : middle + sizes[1]] = _TEST
    return parts


def _near(
    axes: dict[str, Floats], held: dict[str, NDArray[np.bool_]], guard_deg: float
) -> dict[str, NDArray[np.bool_]]:
    """Which frames lie within the guard angle of a held one of any dataset, held ones included.

    With a guard of 0 those alone.
    """
    from scipy.spatial import cKDTree

    chosen = np.concatenate([axes[name][held[name]] for name in axes])
    if not len(chosen) or guard_deg == 0.0:
        return dict(held)
    tree = cKDTree(chosen)
    chord = 2.0 * math.sin(math.radians(guard_deg) / 2.0) * (1.0 + 1e-9)
    return {name: np.asarray(tree.query(a)[0] <= chord) for name, a in axes.items()}


def _runs(indices: Indices) -> list[list[int]]:
    """Ascending indices as runs [first, last]."""
    if not len(indices):
        return []
    cuts = np.flatnonzero(np.diff(indices) > 1)
    firsts = indices[np.concatenate([[0], cuts + 1])]
    lasts = indices[np.concatenate([cuts, [len(indices) - 1]])]
    return [[int(a), int(b)] for a, b in zip(firsts, lasts, strict=True)]
