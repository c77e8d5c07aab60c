"""satgen.config: what a request comes to, and how two configurations are told apart."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from satgen.camera import Camera
from satgen.config import (
    RenderConfig,
    depth_scale_for,
    places_of,
    resolve,
    sun_vectors,
)
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.rendering.lighting import Lighting
from satgen.runfolder import difference
from satgen.sensor import PRESETS, SensorConfig
from satgen.sun import SunConfig
from satgen.targets.load import load_target
from satgen.trajectory import Grid, Orbit, PoseFile, Roll, Spiral, TrajectoryConfig, Tumble, observe
from tests.datasets import options
from tests.scenes import toy


@pytest.fixture(scope="module")
def model(craft_path: Path):
    return load_target(craft_path)


def config_of(craft_path: Path, model, **changes: object) -> RenderConfig:
    return resolve(options(craft_path, **changes), model)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trajectory": "orbit", "sun": "inertial:20,5", "distance": 33.0},
        {"trajectory": "tumble", "sensor": "navcam", "seed": 7, "bit_depth": 16},
        {"trajectory": "grid", "intrinsics": (300.0, 310.0, 20.5, 40.0), "roll": 12.5},
        {"trajectory": Spiral(0.1), "roll": Roll(seed=4)},
    ],
)
def test_json_and_back_is_the_same(craft_path: Path, model, changes) -> None:
    config = config_of(craft_path, model, **changes)
    data = json.loads(json.dumps(config.to_json()))
    again = RenderConfig.from_json(data)
    assert again == config
    assert difference(again.to_json(), data) is None


def test_a_pose_table_is_known_by_its_content(craft_path: Path, model, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.csv").write_text(
            "index,azimuth_deg,elevation_deg\n5,1,2\n9,3,4\n"
        )
    a, b = (
        config_of(craft_path, model, trajectory=f"file:{tmp_path / n / n}.csv", start=1, stop=8100)
        for n in "ab"
    )
    assert a.indices().tolist() == [5, 9]
    assert difference(a.identity(), b.identity()) is None
    (tmp_path / "b" / "b.csv").write_text("index,azimuth_deg,elevation_deg\n5,1,2\n9,3,5\n")
    c = config_of(craft_path, model, trajectory=f"file:{tmp_path}/b/b.csv", start=1, stop=8100)
    assert "trajectory.params.sha256" in str(difference(a.identity(), c.identity()))
    with pytest.raises(InputError, match="has none of them"):
        config_of(craft_path, model, trajectory=f"file:{tmp_path}/b/b.csv", start=6, stop=8)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"width": 80}, "camera.width"),
        ({"stop": 3001}, "indices.stop"),
        ({"sun": "phase:36"}, "lighting.sun.angles_deg"),
        ({"seed": 1}, "seed"),
        ({"mono": True}, "sensor.mono"),
        ({"trajectory": "grid"}, "trajectory.kind"),
    ],
)
def test_the_first_differing_key_is_named_with_both_values(craft_path, model, changes, key) -> None:
    ours = config_of(craft_path, model)
    theirs = config_of(craft_path, model, **changes)
    text = difference(ours.identity(), json.loads(json.dumps(theirs.identity())))
    assert text is not None
    assert text.startswith(f"{key} is ")
    assert " there and " in text


def test_where_a_model_file_lies_makes_no_difference(craft_path: Path, model) -> None:
    ours = config_of(craft_path, model)
    theirs = replace(ours, target=replace(ours.target, file="elsewhere/craft.glb"))
    assert difference(ours.identity(), theirs.identity()) is None
    other = replace(ours, target=replace(ours.target, sha256="0" * 64))
    assert "target.sha256" in str(difference(ours.identity(), other.identity()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": 0}, "start 0"),
        ({"stop": 8101}, "stop 8101"),
        ({"start": 500, "stop": 400}, "stop 400"),
        ({"step": 0}, "step 0"),
        ({"seed": -1}, "seed -1"),
        ({"trajectory": "zigzag"}, "zigzag"),
        ({"trajectory": "file"}, "file:PATH"),
        ({"trajectory": "spiral:3"}, "spiral:3"),
        ({"trajectory": "file:nowhere.csv"}, "nowhere.csv"),
        ({"sun": "moon:1"}, "moon:1"),
        ({"sun": "inertial:0,0"}, "no inertial frame"),
        ({"sensor": "eye"}, "eye"),
        ({"bit_depth": 11}, "bit_depth 11"),
        ({"exposure": -1.0}, "exposure -1"),
        ({"fov": 180.0}, "180"),
        ({"width": 0}, "width 0"),
        ({"distance": -5.0}, "-5"),
        ({"distance": math.nan}, "nan"),
        ({"intrinsics": (0.0, 1.0, 2.0, 3.0)}, "fx 0"),
    ],
)
def test_values_that_make_no_sense_are_named(craft_path: Path, model, changes, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        config_of(craft_path, model, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["spiral", "grid", "orbit", "tumble"])
def test_the_target_fits_the_depth_scale_and_the_frame(craft_path: Path, model, kind) -> None:
    config = config_of(craft_path, model, trajectory=kind, start=1, stop=8100, step=37)
    poses = observe(config.trajectory, config.indices()).T_cam_target
    z = poses[:, 2, :3] @ model.vertices.T + poses[:, 2, 3:]
    assert z.max() <= 65535 * config.depth_scale
    assert z.max() >= 65535 * config.depth_scale * 0.5
    assert z.min() > 0


@given(st.floats(1e-3, 1e5))
def test_depth_scale_has_four_digits_and_wastes_little(distance: float) -> None:
    model = toy()
    trajectory = TrajectoryConfig(motion=Grid(), distance_m=distance)
    scale = depth_scale_for(trajectory, model.bounding_sphere)
    centre, radius = model.bounding_sphere
    farthest = distance + np.linalg.norm(centre) + radius
    assert float(f"{scale:.3e}") == scale
    assert scale * 65535 <= farthest * 1.002
    assert scale * 65535 >= distance


def test_an_index_has_the_same_depth_scale_in_every_range(craft_path: Path, model) -> None:
    few = config_of(craft_path, model, trajectory="orbit", start=100, stop=101)
    many = config_of(craft_path, model, trajectory="orbit", start=1, stop=8100)
    assert few.depth_scale == many.depth_scale


def test_a_tumbling_target_turns_about_its_centre_of_mass_as_the_earth_goes_round(
    craft_path: Path, model
) -> None:
    config = config_of(craft_path, model, trajectory="tumble")
    views = observe(config.trajectory, [1, 900, 5000])
    # The camera is fixed in inertial space: before it the Earth circles as the orbit is flown.
    earth = places_of(config, views, sun_vectors(config, views)).nadir
    turns = (views.time_s - views.time_s[0]) / config.surroundings.period_s
    assert np.allclose(earth @ earth[0], np.cos(2.0 * np.pi * turns), atol=1e-9)
    assert turns[-1] > 0.05
    assert np.allclose(
        views.T_cam_target[:, :3, :3] @ config.trajectory.aim + views.T_cam_target[:, :3, 3],
        [0, 0, config.trajectory.distance_m],
    )


@pytest.mark.parametrize(
    "wanted",
    [
        RenderOptions(),
        RenderOptions("a b.glb", intrinsics=(1.5, 2.0, 3.0, 4.0), mono=False, bit_depth=16),
        RenderOptions(trajectory="orbit", mono=True, distance=12.25, width=64, sun="body:1,2"),
        RenderOptions(
            trajectory=Tumble((1.0, 2.0, 2.5), None, (0.0, -3.0, 0.25), 0.1, (5.0, -8.5))
        ),
        RenderOptions(trajectory=Orbit(7, 2.5, 90.0, 40.0, 5400.0)),
        RenderOptions(trajectory=Spiral(0.1), roll=Roll(rate_deg=0.5)),
        RenderOptions(roll=Roll(seed=7)),
        RenderOptions(roll=-12.5),
    ],
)
def test_the_command_gives_the_options_back(wanted: RenderOptions) -> None:
    from satgen.cli.render import command, request

    words = shlex.split(wanted.command or "")
    assert words[:2] == ["satgen", "render"]
    context = command.make_context("render", words[2:])
    assert request(context.params) == wanted


def test_objects_and_words_come_to_the_same(craft_path: Path, model, tmp_path: Path) -> None:
    table = tmp_path / "poses.csv"
    table.write_text("index,azimuth_deg,elevation_deg\n361,1,2\n362,3,4\n")
    spoken = {"width": 64, "height": 48, "fov": 20.0, "sensor": "navcam", "sun": "body:20,5"}
    objects = {
        "camera": Camera.from_fov(64, 48, 20.0),
        "sensor": PRESETS["navcam"],
        "sun": SunConfig("body", (20.0, 5.0)),
    }
    for text, motion in (
        ("tumble", Tumble()),
        ("orbit", Orbit()),
        (f"file:{table}", PoseFile(table)),
    ):
        a = RenderOptions(craft_path, trajectory=text, stop=362, **spoken)
        b = RenderOptions(str(craft_path), trajectory=motion, stop=362, **objects)
        assert resolve(a, model) == resolve(b, model)
        rolling = resolve(replace(a, roll="random:3"), model)
        assert rolling == resolve(replace(b, roll=Roll(seed=3)), model)
        assert resolve(request_of(b), model) == resolve(b, model)


def request_of(options: RenderOptions) -> RenderOptions:
    """What the command line makes of a request's own command."""
    from satgen.cli.render import command, request

    words = shlex.split(options.command or "")
    return request(command.make_context("render", words[2:]).params)


def test_what_the_command_line_cannot_say_has_no_command(craft_path: Path, model) -> None:
    dark = Lighting(ambient=0.0)
    options = RenderOptions(craft_path, lighting=dark, stop=362)
    assert options.command is None
    config = resolve(options, model)
    assert config.lighting == replace(dark, earth_limb_deg=config.surroundings.limb_deg)
    assert RenderOptions(sensor=SensorConfig(psf_sigma_px=2.0)).command is None
    axes = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert RenderOptions(trajectory=Tumble((1.0, 2.0, 2.5), axes)).command is None


@pytest.mark.parametrize("name", ["size", "width", "height", "fov", "intrinsics"])
def test_a_camera_stands_alone(name: str) -> None:
    value = (1.0, 1.0, 1.0, 1.0) if name == "intrinsics" else 30
    with pytest.raises(InputError, match=f"camera and {name}"):
        RenderOptions(camera=Camera.from_fov(64, 48, 20.0), **{name: value})


def test_a_tumble_takes_what_is_missing_from_the_target(craft_path: Path, model) -> None:
    def motion(**given) -> Tumble:
        found = config_of(craft_path, model, trajectory=Tumble(**given)).trajectory.motion
        assert isinstance(found, Tumble)
        return found

    own = motion()
    assert own.moments is not None and sorted(own.moments) == list(own.moments)
    ratios = motion(moments=(1.0, 2.0, 2.5))
    assert ratios.moments == (1.0, 2.0, 2.5)
    assert ratios.axes == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    with pytest.raises(InputError, match="under 90"):
        motion(rates_deg_s=(80.0, 80.0, 80.0))
