"""bench.predict.frame_*: windows against the files, models, and rendering what is forecast."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.predict.frame_figures import FIGURES, Columns, Row
from bench.predict.frame_flow import CarriedFlow
from bench.predict.frame_forecasts import FrameRunner, rows_of_parts
from bench.predict.frame_models import load_frame_model
from bench.predict.frame_protocols import (
    PROTOCOLS,
    FrameProtocol,
    HeldOut,
    PoseSource,
    held_out,
    load_protocol,
    training_windows,
)
from bench.predict.frame_render import RenderedForecast, suited_pose_model
from bench.predict.frame_types import FrameModel, checked_frames
from bench.predict.types import Forecast, Observed
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.trajectory import TrajectoryConfig, Tumble, observe
from tests.datasets import make, tree
from tests.limits import PATIENCE_S

SMALL = FrameProtocol("small", 4, 6, 32, horizons=(1, 3, 6), stride=5)
FIRST = 3000


@pytest.fixture(scope="module")
def tumbling(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tumble of 3 degrees a frame, with the sun in inertial axes."""
    motion = Tumble(moments=(0.5, 0.8, 1.0), rates_deg_s=(0.9, 2.7, 0.9))
    folder = tmp_path_factory.mktemp("tumbling") / "tumbling"
    return make(
        craft_path, folder, trajectory=motion, sun="inertial:30,20", stop=FIRST + 11, width=64
    )


@pytest.fixture(scope="module")
def sunlit(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spiral with the sun in the target's axes, by a camera with noise."""
    folder = tmp_path_factory.mktemp("sunlit") / "sunlit"
    return make(craft_path, folder, sun="body:120,40", sensor="navcam", stop=FIRST + 11)


def windows_of(folder: Path, protocol: FrameProtocol = SMALL) -> HeldOut:
    return held_out(folder, protocol, part=None)


def evaluated(
    models: list[str] | dict[str, FrameModel],
    windows: HeldOut,
    *sources: PoseSource,
    batch: int = 16,
) -> tuple[list[Row], Columns]:
    """Rows and the table of windows, of so many windows at a time."""
    if isinstance(models, list):
        models = {name: load_frame_model(name) for name in models}
    runner = FrameRunner(windows, models, sources or (PoseSource(),))
    parts = [
        runner.figures(name, numbers[start : start + batch])
        for name in windows.data
        for numbers in [windows.numbers(name)]
        for start in range(0, len(numbers), batch)
    ]
    return rows_of_parts(parts, windows.protocol, models)


class Oracle:
    """A pose model that knows a dataset's poses by the time."""

    def __init__(self, folder: Path) -> None:
        data = Dataset(folder)
        self.poses, self.times = data.poses, data.frames["time_s"].to_numpy()

    def forecast(self, observed: Observed, future: np.ndarray) -> Forecast:
        rows = np.searchsorted(self.times, future - 1e-9)
        assert np.allclose(self.times[rows], future)
        return Forecast(self.poses[rows][..., :3, :3], self.poses[rows][..., :3, 3])


# --- windows --------------------------------------------------------------------------------------


def test_windows_are_what_the_files_say(pristine: Path) -> None:
    windows = windows_of(pristine)
    batches = list(windows.batches(size=2))
    assert [len(b.observed) for b in batches] == [2, 1] and len(windows) == 3
    data = Dataset(pristine)
    for number, (batch, row) in enumerate((b, r) for b in batches for r in range(len(b.starts))):
        first = FIRST + 5 * number
        assert batch.starts[row] == first
        observed = batch.observed
        assert observed.frames.shape[1:] == (4, 1, 32, 32)
        assert observed.frames.dtype == batch.truth.dtype == np.float32
        assert observed.future_index[row].tolist() == [first + 4, first + 6, first + 9]
        assert observed.future_times[row] == pytest.approx(first + np.array([4.0, 6.0, 9.0]))
        assert observed.poses.times[row] == pytest.approx(first + np.arange(4.0))
        rows = np.arange(4) + 5 * number
        assert np.array_equal(observed.poses.rotations[row], data.poses[rows, :3, :3])
        assert np.array_equal(observed.poses.translations[row], data.poses[rows, :3, 3])
        for at, index in enumerate(observed.future_index[row]):
            name = f"{index:06d}.png"
            with Image.open(pristine / "rgb" / name) as image:
                grey = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY)
            square = np.pad(grey, ((4, 4), (0, 0)))  # 72 × 64
            small = cv2.resize(square, (32, 32), interpolation=cv2.INTER_AREA)
            assert np.array_equal(batch.truth[row, at, 0], small.astype(np.float32) / 255)
            with Image.open(pristine / "parts" / name) as image:
                parts = np.pad(np.asarray(image), ((4, 4), (0, 0)))
            places = ((2 * np.arange(32) + 1) * 72) // 64
            seen = parts[places][:, places] > 0
            assert seen.any() and np.array_equal(batch.silhouettes[row, at], seen)
    assert batches[0].threshold == pytest.approx(0.06)  # the background is black


def test_no_test_window_is_near_one_that_is_trained_on(pristine: Path, tmp_path: Path) -> None:
    """By the angle between viewing directions; tables alone decide it."""
    indices = np.arange(361, 2161)  # five turns of the spiral, 8 degrees apart
    views = observe(TrajectoryConfig(distance_m=10.0), indices)
    table = pd.read_parquet(pristine / "frames.parquet")
    table = table.iloc[np.zeros(len(indices), dtype=int)].reset_index(drop=True)
    table["index"] = indices
    for i, name in enumerate(("qw", "qx", "qy", "qz")):
        table[name] = views.quaternion[:, i]
    table.to_parquet(tmp_path / "frames.parquet", index=False)
    (tmp_path / "dataset.json").write_text((pristine / "dataset.json").read_text())
    axes = views.T_cam_target[:, 2, :3]

    def covered(spans: np.ndarray) -> np.ndarray:
        return axes[np.unique(np.concatenate([np.arange(a, b + 1) for _, a, b in spans])) - 361]

    protocol = load_protocol("10-20-64")
    trained = training_windows(tmp_path, protocol)
    tested = held_out(tmp_path, protocol)
    test = covered(tested.windows.spans)
    for windows in (trained.train, trained.validation):
        cosines = np.clip(test @ covered(windows.spans).T, -1.0, 1.0)
        assert np.degrees(np.arccos(cosines.max())) >= 5.0
    assert len(tested) > 5 and len(trained.train) > 100


def test_noise_of_poses_is_seeded_and_of_its_size(pristine: Path) -> None:
    data = Dataset(pristine)
    one, again = (PoseSource(0.5, seed=3).poses_of("a", data) for _ in range(2))
    other = PoseSource(0.5, seed=4).poses_of("a", data)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    turn = np.swapaxes(data.poses[:, :3, :3], 1, 2) @ one[:, :3, :3]
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert 0.4 < np.sqrt(np.mean(angle**2)) < 1.3  # 0.87 expected, of 24 frames
    assert np.array_equal(PoseSource().poses_of("a", data), data.poses)
    # A frame has the same noise in every window.
    windows = windows_of(pristine, replace(SMALL, stride=1))
    (batch,) = windows.batches(PoseSource(0.5), size=99)
    rotations = batch.observed.poses.rotations
    assert np.array_equal(rotations[0, 1:], rotations[1, :-1])
    assert batch.observed.poses.noise_rad == pytest.approx(np.radians(0.5))


def test_protocols_say_what_they_are() -> None:
    for name, protocol in PROTOCOLS.items():
        numbers = tuple(int(part) for part in name.split("-"))
        assert numbers == (protocol.observed, protocol.future, protocol.size)
        assert protocol.horizons[-1] == protocol.future and not protocol.colour


# --- models ---------------------------------------------------------------------------------------


def test_black_and_last_frame(pristine: Path) -> None:
    (batch,) = windows_of(pristine).batches()
    observed = batch.observed
    assert not np.any(load_frame_model("black").forecast(observed))
    last = checked_frames("last", load_frame_model("last"), observed).frames
    assert all(np.array_equal(last[:, n], observed.frames[:, -1]) for n in range(3))


def test_flow_carries_on_what_moves() -> None:
    side = 96
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((side, side)).astype(np.float32), (0, 0), 3)
    texture = (texture - texture.min()) / np.ptp(texture)

    def at(time: float) -> np.ndarray:
        """A picture that turns by 1.5 degrees a frame about its middle."""
        matrix = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), 1.5 * time, 1.0)
        return cv2.warpAffine(texture, matrix, (side, side))

    frames = np.stack([at(t) for t in range(4)])[None, :, None]
    horizons = (1, 4, 10)
    found = CarriedFlow().carry(frames, horizons)
    assert found.shape == (1, 3, 1, side, side)
    inside = slice(30, -30)
    for place, ahead in enumerate(horizons):
        truth = at(3 + ahead)[inside, inside]
        error = np.abs(found[0, place, 0, inside, inside] - truth).mean()
        still = np.abs(frames[0, -1, 0, inside, inside] - truth).mean()
        assert error < 0.25 * still
    with pytest.raises(InputError, match="optical flow needs 2"):
        CarriedFlow().carry(frames[:, :1], horizons)


OWN = """
import numpy as np

def forecast(observed):
    return np.repeat(observed.frames[:, :1], len(observed.horizons), axis=1)

class Mine:
    parameters = 7

    def forecast(self, observed):
        return forecast(observed)

def wrong_shape(observed):
    return observed.frames

def not_finite(observed):
    return np.full_like(forecast(observed), np.nan)

def inverts(observed):
    observed.frames[:] = 1.0 - observed.frames
    observed.poses.rotations[:] = np.eye(3)
    return forecast(observed)

number = 3
"""


def test_what_a_model_does_to_its_arguments_reaches_no_other(
    pristine: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    windows, others = windows_of(pristine), ["last", "flow"]
    alone, _ = evaluated(others, windows)
    found, _ = evaluated([f"{path}:inverts", *others], windows)
    for a, b in zip(alone, found[len(found) - len(alone) :], strict=True):
        assert {**a, "frames_s": 0} == {**b, "frames_s": 0}


def test_models_of_ones_own(pristine: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    windows = windows_of(pristine)
    rows, _ = evaluated([f"{path}:forecast", f"{path}:Mine"], windows)
    assert [row["parameters"] for row in rows] == [0, 0, 0, 7, 7, 7]
    assert {row["psnr"] for row in rows[:3]} == {row["psnr"] for row in rows[3:]}
    (batch,) = windows.batches()
    for name, message in (("wrong_shape", "must be"), ("not_finite", "not finite")):
        with pytest.raises(InputError, match=message):
            checked_frames(name, load_frame_model(f"{path}:{name}"), batch.observed)
    with pytest.raises(InputError, match="or have such a method"):
        load_frame_model(f"{path}:number")


# --- render what you predict ----------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"colour": True, "crop": "dataset", "size": 24}])
@pytest.mark.parametrize("which", ["pristine", "tumbling"])
def test_a_true_pose_gives_the_very_frame(
    request: pytest.FixtureRequest, which: str, changes: dict[str, object]
) -> None:
    folder = request.getfixturevalue(which)
    windows = windows_of(folder, replace(SMALL, **changes))  # type: ignore[arg-type]
    model = RenderedForecast(Oracle(folder))
    (batch,) = windows.batches()
    found = checked_frames("oracle", model, batch.observed)
    model.close()
    assert np.array_equal(found.frames, batch.truth)
    assert np.array_equal(found.silhouettes, batch.silhouettes)


def test_noise_is_not_forecast_and_the_sun_is_known(sunlit: Path) -> None:
    """A camera with noise: the forecast is off by it and by no more."""
    model = RenderedForecast(Oracle(sunlit))
    (batch,) = windows_of(sunlit).batches()
    found = checked_frames("oracle", model, batch.observed)
    # The sun turns with the target: a forecast off by a turn of the camera is lit as before.
    views = model.poses(batch.observed)
    assert views[0].shape == (1, 3, 3, 3) and views[2].all()
    model.close()
    errors = found.frames - batch.truth
    assert 0.0 < np.abs(errors).mean() < 0.02 and np.abs(errors).max() < 0.2
    assert np.array_equal(found.silhouettes, batch.silhouettes)
    assert batch.threshold > 0.06  # the sensor's black is not 0


def test_the_better_the_poses_the_better_the_frames(pristine: Path, tumbling: Path) -> None:
    assert np.linalg.norm(Dataset(pristine).config.trajectory.aim) > 0.1
    for folder, suited in ((pristine, "velocity"), (tumbling, "filter")):
        windows = windows_of(folder)
        assert suited_pose_model(windows.scenes()[folder.name]) == suited
        models = ["last", "render", "render-last"]
        rows, _ = evaluated(models, windows, PoseSource(), PoseSource(1.0))
        got = {(r["model"], r["noise_deg"], r["horizon"]): r["psnr"] for r in rows}
        assert len(got) == len(rows) == 3 * (1 + 2 * 2)
        # Steady turns are carried on to the target's last pixel, and tumbles nearly so.
        assert got["render", 0.0, 6] > 40.0
        for h in (1, 3, 6):
            assert got["render", 0.0, h] > got["render", 1.0, h]
            assert got["render", 0.0, h] > got["last", None, h]
            # The last pose drawn is the last frame, but for the Earth's phase at that time.
            assert got["render-last", 0.0, h] == pytest.approx(got["last", None, h], abs=0.05)


def test_poses_that_a_matcher_did_not_find_are_left_out(pristine: Path) -> None:
    poses = np.array(Dataset(pristine).poses)
    poses[1] = np.nan  # of the first window: three are left
    poses[5:8] = np.nan  # of the second: one
    poses[10:14] = np.nan  # of the third: none
    windows = windows_of(pristine)
    source = PoseSource(estimated={"craft": poses}, name="lightglue")
    (batch,) = windows.batches(source)
    (true,) = windows.batches()
    model = RenderedForecast("velocity")
    found = checked_frames("render", model, batch.observed)
    assert batch.observed.poses.noise_rad is None
    rotations, _, known = model.poses(batch.observed)
    assert known.tolist() == [True, True, False]
    exact, _, _ = model.poses(true.observed)
    assert rotations[0] == pytest.approx(exact[0], abs=1e-3)
    assert rotations[1] == pytest.approx(np.repeat(poses[None, 8, :3, :3], 3, axis=0))
    assert not found.frames[2].any() and not found.silhouettes[2].any()
    rows, _ = evaluated({"render": model}, windows, source)
    assert {(r["poses"], r["noise_deg"]) for r in rows} == {("lightglue", None)}
    model.close()


def test_a_model_that_has_changed_is_refused(craft_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "craft.glb"
    path.write_bytes(craft_path.read_bytes())
    folder = make(path, tmp_path / "data", stop=FIRST + 9)
    path.write_bytes(craft_path.read_bytes() + b"\0")
    (batch,) = windows_of(folder).batches()
    with pytest.raises(InputError, match="is not the model that it was rendered with"):
        RenderedForecast("last").forecast(batch.observed)
    path.unlink()
    with pytest.raises(InputError, match="is not there any more"):
        RenderedForecast("last").forecast(batch.observed)


def test_a_dataset_with_the_light_of_an_earlier_version_is_refused(
    pristine: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(pristine, folder)
    facts = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(facts | {"version": 2}))
    (batch,) = windows_of(folder).batches()
    with pytest.raises(InputError, match="of format 2, whose light was another; render it anew"):
        RenderedForecast("last").forecast(batch.observed)


# --- all of it ------------------------------------------------------------------------------------


def test_rows_and_the_table_of_windows(pristine: Path, tumbling: Path) -> None:
    windows = held_out([pristine, tumbling], SMALL, part=None)
    rows, columns = evaluated(["black", "last", "flow"], windows)
    assert len(columns["model"]) == 3 * 3 * (3 + 1)  # models × horizons × windows
    assert [(row["model"], row["motion"], row["horizon"]) for row in rows[:3]] == [
        ("black", "spiral", 1),
        ("black", "spiral", 3),
        ("black", "spiral", 6),
    ]
    assert {row["motion"] for row in rows} == {"spiral", "tumble-3"}
    for row in rows:
        assert row["protocol"] == "small" and row["frames_s"] > 0 and row["poses"] is None
        assert all(np.isfinite(row[name]) for name in FIGURES)
        json.dumps(row)
    got = {(r["model"], r["motion"], r["horizon"]): r for r in rows}
    assert got["black", "spiral", 6]["iou"] == 0.0
    for motion in ("spiral", "tumble-3"):
        near, far = (got["last", motion, h]["psnr_silhouette"] for h in (1, 6))
        assert near > far > got["black", motion, 6]["psnr_silhouette"]


def test_the_batch_changes_nothing(pristine: Path) -> None:
    windows = windows_of(pristine)
    tables = []
    for size in (1, 2, 16):
        _, columns = evaluated(["flow", "render"], windows, PoseSource(0.2), batch=size)
        order = np.lexsort((columns["horizon"], columns["start"], columns["model"].astype(str)))
        tables.append({name: values[order] for name, values in columns.items()})
    for other in tables[1:]:
        for name, values in tables[0].items():
            if values.dtype == object:
                assert np.array_equal(values, other[name])
            else:
                assert values == pytest.approx(other[name], nan_ok=True, abs=1e-6), name


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: load_frame_model("nothing"), "frame model 'nothing': one of black, last, flow"),
        (lambda f: load_frame_model("simvp"), "must be trained first"),
        (lambda f: load_frame_model("render-nothing"), "pose model 'nothing'"),
        (lambda f: load_frame_model("no.module:x"), "cannot import 'no.module'"),
        (lambda f: load_frame_model(str(f / "none.safetensors")), "cannot be read"),
        (lambda f: load_protocol("kth"), "frame protocol 'kth': one of 10-20-128"),
        (lambda f: PoseSource(float("nan")), "noise nan"),
        (lambda f: PoseSource(-1.0), "noise -1.0"),
        (lambda f: PoseSource(0.1, estimated={}), "no noise is added"),
        (lambda f: PoseSource(seed=-1), "seed -1"),
        (lambda f: replace(SMALL, horizons=()), "must be at least 1 and grow"),
        (lambda f: replace(SMALL, horizons=(3, 1)), "must be at least 1 and grow"),
        (lambda f: replace(SMALL, horizons=(7,)), "horizon 7: 6 frames"),
        (lambda f: replace(SMALL, crop="window"), "crop 'window'"),
        (lambda f: replace(SMALL, observed=0), "observed 0"),
        (lambda f: held_out(f, replace(SMALL, observed=30), part=None), "span 36 frames"),
        (lambda f: held_out(f, SMALL, part=None, dt_s=0.0), "frame period 0.0"),
        (lambda f: held_out(f / "none", SMALL), "no such folder"),
        (
            lambda f: next(windows_of(f).batches(PoseSource(estimated={"x": np.eye(4)[None]}))),
            "no estimated poses",
        ),
        (
            lambda f: next(windows_of(f).batches(PoseSource(estimated={"craft": np.eye(4)[None]}))),
            r"must be \(24, 4, 4\)",
        ),
    ],
)
def test_bad_input_is_one_line(dataset: Path, call: object, message: str) -> None:
    before = tree(dataset)
    with pytest.raises(InputError, match=message) as error:
        call(dataset)  # type: ignore[operator]
    assert "\n" not in str(error.value)
    assert tree(dataset) == before


def test_nothing_heavy_is_imported_by_names() -> None:
    code = (
        "import sys, bench.predict.frame_models, bench.predict.frame_protocols;"
        "print([m for m in ('torch', 'cv2', 'OpenGL', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]"
