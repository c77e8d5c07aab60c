"""satgen.sun: the three ways to place the sun, and the phase angle."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satgen.errors import InputError
from satgen.sun import SunConfig, check_sun, parse_sun, phase_deg, sun_in_camera
from satgen.trajectory import (
    KINDS,
    Grid,
    Motion,
    Observations,
    Orbit,
    PoseFile,
    Spiral,
    TrajectoryConfig,
    Tumble,
    observe,
)

INDICES = range(1, 8101, 37)


def sweep(kind: str = "spiral") -> Observations:
    motion = Tumble((2.0, 9.0, 10.0)) if kind == "tumble" else KINDS[kind]()
    return observe(TrajectoryConfig(motion=motion, distance_m=25.0, aim=(1.0, -2.0, 0.5)), INDICES)


def test_clock_angles_point_as_documented() -> None:
    views = sweep()

    def image_direction(clock: float) -> list[float]:
        return list(sun_in_camera(parse_sun(f"phase:90,{clock}"), views)[0])

    assert image_direction(0) == pytest.approx([0.0, -1.0, 0.0], abs=1e-12)  # up is -y
    assert image_direction(90) == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)
    assert image_direction(180) == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    assert image_direction(270) == pytest.approx([-1.0, 0.0, 0.0], abs=1e-12)
    behind_camera = sun_in_camera(parse_sun("phase:0"), views)[0]
    assert behind_camera == pytest.approx([0.0, 0.0, -1.0], abs=1e-12)
    into_camera = sun_in_camera(parse_sun("phase:180"), views)[0]
    assert into_camera == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)


def test_default_clock_is_up_and_right() -> None:
    assert parse_sun("phase:35") == parse_sun("phase:35,45") == SunConfig()
    x, y, z = sun_in_camera(parse_sun("phase:35"), sweep())[0]
    assert x > 0 and y < 0 and z < 0


@settings(max_examples=25)
@given(st.floats(0.0, 180.0), st.floats(-720.0, 720.0))
def test_phase_is_what_was_asked_for_in_every_frame(phase: float, clock: float) -> None:
    for kind in ("spiral", "grid", "orbit", "tumble"):
        views = sweep(kind)
        sun = sun_in_camera(SunConfig("phase", (phase, clock)), views)
        assert np.abs(np.linalg.norm(sun, axis=1) - 1.0).max() < 1e-12
        assert np.abs(phase_deg(views, sun) - phase).max() < 1e-9


@pytest.mark.parametrize("kind", ["spiral", "grid", "orbit", "tumble"])
def test_body_sun_stays_put_in_the_target_frame(kind: str) -> None:
    views = sweep(kind)
    sun = sun_in_camera(parse_sun("body:120,-35"), views)
    in_target = np.einsum("nba,nb->na", views.T_cam_target[:, :3, :3], sun)
    az, el = math.radians(120), math.radians(-35)
    expected = [math.cos(el) * math.cos(az), math.cos(el) * math.sin(az), math.sin(el)]
    assert np.abs(in_target - expected).max() < 1e-12
    # The phase, from positions alone: camera centre and sun direction in the target frame.
    centre = -np.einsum("nba,nb->na", views.T_cam_target[:, :3, :3], views.T_cam_target[:, :3, 3])
    to_camera = centre - np.array([1.0, -2.0, 0.5])
    cosine = to_camera @ np.array(expected) / np.linalg.norm(to_camera, axis=1)
    assert np.abs(np.cos(np.radians(phase_deg(views, sun))) - cosine).max() < 1e-12


def test_inertial_sun_of_a_tumbling_target_stays_put_before_the_camera() -> None:
    views = sweep("tumble")
    sun = sun_in_camera(parse_sun("inertial:40,10"), views)
    assert np.abs(sun - sun[0]).max() < 1e-12
    body = sun_in_camera(parse_sun("body:40,10"), views)
    assert np.abs(body[0] - sun[0]).max() < 1e-12  # the inertial axes are the target's at index 1
    assert np.abs(body[-1] - sun[-1]).max() > 1e-3


def test_inertial_sun_over_an_orbit_keeps_its_beta_angle() -> None:
    views = sweep("orbit")
    sun = sun_in_camera(parse_sun("inertial:0,25"), views)
    in_target = np.einsum("nba,nb->na", views.T_cam_target[:, :3, :3], sun)
    # The target's +y is against the orbit's normal; +z is nadir, and at index 1 the sun's azimuth 0
    # is radially outward.
    assert np.abs(in_target[:, 1] + math.sin(math.radians(25))).max() < 1e-12
    assert in_target[0] == pytest.approx(
        [0.0, -math.sin(math.radians(25)), -math.cos(math.radians(25))], abs=1e-12
    )
    assert in_target[:, 2].max() > 0.9  # it goes around


@given(st.floats(-1e4, 1e4), st.floats(-90.0, 90.0))
def test_specifications_round_trip(azimuth: float, elevation: float) -> None:
    for mode in ("body", "inertial"):
        sun = SunConfig(mode, (azimuth, elevation))
        assert parse_sun(sun.spec) == sun
        assert SunConfig.from_json(json.loads(json.dumps(sun.to_json()))) == sun


@pytest.mark.parametrize(
    "text",
    [
        "",
        "phase",
        "phase:",
        "phase:200",
        "phase:-1",
        "phase:nan",
        "phase:35,inf",
        "phase:1,2,3",
        "body:1",
        "body:1,91",
        "body:a,b",
        "inertial:",
        "inertial:10,-90.5",
        "sideways:1,2",
        "35",
    ],
)
def test_bad_specifications_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="sun") as caught:
        parse_sun(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("motion", [Spiral(), Grid(), PoseFile("poses.csv", "0" * 64)])
def test_inertial_sun_needs_an_inertial_frame(motion: Motion) -> None:
    sun = parse_sun("inertial:10,20")
    with pytest.raises(InputError, match=f"trajectory {motion.kind} has no inertial frame"):
        check_sun(sun, motion)
    check_sun(sun, Orbit())
    check_sun(sun, Tumble())
    check_sun(parse_sun("body:10,20"), motion)


def test_inertial_sun_with_observations_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="no inertial frame"):
        sun_in_camera(parse_sun("inertial:10,20"), sweep("spiral"))
