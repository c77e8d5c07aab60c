"""bench.predict.rendered against the files and the trajectory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.predict.experiment import evaluate, load_models
from bench.predict.protocols import Lab
from bench.predict.rendered import sequences_of
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.trajectory import Tumble, observe
from tests.datasets import make

SHORT = Lab(horizons=(1, 4, 8), stride=2, frames=24, noise_deg=(0.1,))


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the craft as it tumbles."""
    folder = tmp_path_factory.mktemp("tumbling") / "craft"
    motion = Tumble(rates_deg_s=(1.0, 6.0, 2.0), dt_s=0.5)
    return make(craft_path, folder, trajectory=motion)


def test_poses_and_times_are_the_table_s(pristine: Path) -> None:
    data = Dataset(pristine)
    (found,) = sequences_of(data)
    views = observe(data.config.trajectory, data.indices)
    assert found.name == "craft-spiral" and found.body is None
    assert np.abs(found.rotations - views.T_cam_target[:, :3, :3]).max() < 1e-12
    assert np.abs(found.translations - views.T_cam_target[:, :3, 3]).max() < 1e-12
    assert np.array_equal(found.times, views.time_s)
    (given,) = sequences_of(data, dt_s=0.25)
    assert np.array_equal(given.times, 0.25 * data.indices)


def test_missing_frames_part_the_runs(pristine: Path) -> None:
    data = Dataset(pristine)
    kept = [int(k) for k in data.indices if k not in (3007, 3008, 3015)]
    found = sequences_of(data[kept])
    assert [len(run) for run in found] == [7, 6, 8]
    assert found[1].times[0] == pytest.approx(3009.0)
    thinned = sequences_of(data[3000:3024:3])
    assert [len(run) for run in thinned] == [8]


def test_a_tumble_brings_its_inertia(tumbling: Path) -> None:
    data = Dataset(tumbling)
    (found,) = sequences_of(data)
    assert found.name == "craft-tumble" and found.body is not None
    assert np.diff(found.times) == pytest.approx(0.5)
    motion = data.config.trajectory.motion
    assert isinstance(motion, Tumble) and motion.moments is not None
    assert np.array_equal(found.body.moments[0], motion.moments)
    models = load_models(["velocity", "filter"])
    rows = [row for e in evaluate(models, SHORT, SHORT.episodes([found])) for row in e.rows()]
    error = {row["model"]: row["error_deg_median"] for row in rows if row["horizon"] == 8}
    # The dynamics, axes and centre of a render are the filter's: else it would be the worse.
    assert error["filter"] < 0.5 * error["velocity"]
    shift = {row["model"]: row["error_m_median"] for row in rows if row["horizon"] == 8}
    assert shift["filter"] < shift["velocity"]


def test_without_times_the_period_must_be_given(pristine: Path) -> None:
    data = Dataset(pristine)
    data.__dict__["frames"] = data.frames.drop(columns="time_s")
    with pytest.raises(InputError, match="no times; give the frame period"):
        sequences_of(data)
    assert len(sequences_of(data, dt_s=1.0)) == 1
    with pytest.raises(InputError, match="frame period nan"):
        sequences_of(data, dt_s=float("nan"))
