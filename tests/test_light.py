"""satgen.light: suns by block, metered exposure, and that both hold over workers and ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from satgen.config import resolve
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.light import PRESETS, Metering, block_of, middle_index
from satgen.options import RenderOptions
from satgen.sun import BLOCK, parse_sun, phase_deg, sun_in_camera
from satgen.targets.load import load_target
from satgen.trajectory import Spiral, TrajectoryConfig, observe
from satgen.verify import verify
from tests.datasets import make, options, tree

SWEEP = TrajectoryConfig(motion=Spiral(), distance_m=20.0)


def test_a_sweep_goes_evenly_between_its_phases() -> None:
    views = observe(SWEEP, range(1, 8101))
    phases = phase_deg(views, sun_in_camera(parse_sun("sweep:150,30"), views))
    assert phases == pytest.approx(np.linspace(150.0, 30.0, 8100), abs=1e-6)
    part = observe(SWEEP, [400, 5000])
    assert phase_deg(part, sun_in_camera(parse_sun("sweep:150,30,90"), part)) == pytest.approx(
        phases[[399, 4999]], abs=1e-6
    )
    x, y, _ = sun_in_camera(parse_sun("sweep:150,30,90"), part)[0]
    assert x > 0.0 and abs(y) < 1e-12  # clock 90 is to the right


def test_a_random_sun_stays_for_a_block_and_is_drawn_evenly() -> None:
    views = observe(SWEEP, range(1, 8101))
    sun = sun_in_camera(parse_sun("random:20,110,7"), views)
    blocks = np.array([block_of(k) for k in range(1, 8101)])
    assert blocks[0] == 0 and (np.bincount(blocks)[:-1] == BLOCK).all()
    for block in range(5):
        assert np.ptp(sun[blocks == block], axis=0).max() == 0.0
    phases = phase_deg(views, sun)[BLOCK // 2 :: BLOCK]
    assert len(np.unique(np.round(phases, 6))) == len(phases)
    assert phases.min() > 20.0 and phases.max() < 110.0
    assert abs(phases.mean() - 65.0) < 10.0 and phases.std() == pytest.approx(
        90 / 12**0.5, rel=0.25
    )
    clocks = np.arctan2(sun[:, 0], -sun[:, 1])[BLOCK // 2 :: BLOCK]
    assert abs(np.exp(1j * clocks).mean()) < 0.3
    other = sun_in_camera(parse_sun("random:20,110,8"), views)
    assert np.abs(other - sun).max() > 0.5
    alone = observe(SWEEP, [8000])
    assert np.array_equal(sun_in_camera(parse_sun("random:20,110,7"), alone)[0], sun[7999])


@pytest.mark.parametrize(
    "text",
    [
        "sweep:10",
        "sweep:0,190",
        "random:50,20",
        "random:10,20,-1",
        "random:10,20,0.5",
        "phase:1,2,3",
    ],
)
def test_suns_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="sun"):
        parse_sun(text)


def test_metering_brings_the_percentile_to_the_level() -> None:
    rng = np.random.default_rng(0)
    radiance = rng.exponential(0.2, (5000, 1)).astype(np.float32) * np.ones(3, np.float32)
    black = np.zeros((90_000, 3), np.float32)
    exposure = Metering(98.0, 1.0).exposure(np.concatenate([radiance, black]), 0, 3)
    assert np.mean(radiance[:, 0] * exposure > 1.0) == pytest.approx(0.02, abs=0.002)
    wide = [Metering(98.0, 1.0, bracket_ev=1.0).exposure(radiance, 5, b) for b in range(200)]
    stops = np.log2(np.array(wide) / exposure)
    assert np.abs(stops).max() <= 1.001 and stops.std() == pytest.approx(1 / 3**0.5, rel=0.2)
    assert Metering().exposure(black, 0, 0) == 1.0
    for wrong in ({"percentile": 0.0}, {"level": -1.0}, {"bracket_ev": float("nan")}):
        with pytest.raises(InputError):
            Metering(**wrong)


def test_a_block_is_metered_at_an_index_that_there_is() -> None:
    assert middle_index(0, np.arange(1, 8101)) == 61
    assert middle_index(1, np.arange(1, 8101)) == 181
    assert middle_index(0, np.array([7, 300])) == 7


def test_light_does_not_go_with_a_sun_or_an_exposure_of_ones_own() -> None:
    for wish in ({"sun": "phase:20"}, {"exposure": 2.0}):
        with pytest.raises(InputError, match="light and"):
            RenderOptions(light="varied", **wish)
    assert RenderOptions(light="harsh", seed=3).command == (
        "satgen render --target aura --light harsh --seed 3"
    )


def test_a_dataset_in_varied_light_is_the_same_however_it_is_rendered(
    craft_path: Path, tmp_path: Path
) -> None:
    span = {"light": "varied", "start": 3060, "stop": 3130, "step": 10}
    folder = make(craft_path, tmp_path / "a", **span)
    assert verify(folder).ok
    frames = Dataset(folder).frames
    assert list(frames)[-1] == "exposure"
    block = (frames["index"] - 1) // BLOCK
    assert block.nunique() == 2  # 3000 is a block's last index, 3120 the next one's
    for _, rows in frames.groupby(block):
        assert rows["exposure"].nunique() == 1 and rows["phase_deg"].std(ddof=0) < 1e-9
    assert frames["exposure"].nunique() == 2
    # In other ranges an index has the same picture, though its block was metered apart from it.
    again = make(craft_path, tmp_path / "b", **(span | {"start": 3120, "stop": 3120, "step": 1}))
    name = "rgb/003120.png"
    assert tree(again)[name] == tree(folder)[name]
    model = load_target(craft_path)
    config = resolve(options(craft_path, light="varied"), model)
    low, high = PRESETS["varied"].phases_deg
    assert config.sun.mode == "random" and config.sun.angles_deg == (low, high, 0.0)
    assert config == type(config).from_json(config.to_json())
