"""satgen.trajectory against closed forms, numerical integration and its own laws."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation
from scipy.special import ellipj

from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import geodesic, quaternion_to_matrix
from satgen.rates import differenced_velocity
from satgen.trajectory import (
    INDEX_MAX,
    INDEX_MIN,
    KINDS,
    Grid,
    Observations,
    Orbit,
    PoseFile,
    Roll,
    Spiral,
    TrajectoryConfig,
    Tumble,
    angles_from_pose,
    available_indices,
    camera_direction,
    default_distance,
    observe,
    parse_roll,
    pose_from_angles,
    principal_inertia,
    quaternion_from_angles,
    rotation_from_angles,
)
from satgen.trajectory.tumble import free_rotation, jacobi

ALL = np.arange(INDEX_MIN, INDEX_MAX + 1)
AIM = (0.7, -1.3, 0.4)
MOMENTS = [2.0, 9.0, 10.0]
AXES = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()
GENERATED = ("spiral", "grid", "orbit", "tumble")


def config_of(kind: str, motion: Any = None, **changes: Any) -> TrajectoryConfig:
    if motion is None:
        motion = tumble() if kind == "tumble" else KINDS[kind]()
    if "roll_deg" in changes:
        changes["roll"] = Roll(changes.pop("roll_deg"))
    fields: dict[str, Any] = {"distance_m": 30.0, "aim": AIM, "roll": Roll(12.5)}
    return TrajectoryConfig(motion=motion, **{**fields, **changes})


def tumble(moments: Any = MOMENTS, axes: Any = AXES, rates: Any = None) -> Tumble:
    """A tumble of arrays."""
    given = {} if rates is None else {"rates_deg_s": tuple(rates)}
    return Tumble(tuple(moments), tuple(map(tuple, axes)), **given)


@pytest.fixture(scope="module", params=GENERATED)
def swept(request: pytest.FixtureRequest) -> tuple[TrajectoryConfig, Observations]:
    config = config_of(request.param)
    return config, observe(config, ALL)


# --- every kind -------------------------------------------------------------------------------


def test_rotations_are_orthonormal_and_agree_with_the_quaternions(
    swept: tuple[TrajectoryConfig, Observations],
) -> None:
    _, views = swept
    rotation = views.T_cam_target[:, :3, :3]
    product = rotation @ np.swapaxes(rotation, 1, 2)
    assert np.abs(product - np.eye(3)).max() < 1e-12
    assert np.linalg.det(rotation).min() > 0.999
    assert np.abs(np.linalg.norm(views.quaternion, axis=1) - 1.0).max() < 1e-12
    scipys = Rotation.from_quat(views.quaternion, scalar_first=True).as_matrix()
    assert np.abs(scipys - rotation).max() < 1e-12
    assert np.all(views.T_cam_target[:, 3] == [0.0, 0.0, 0.0, 1.0])


def test_angles_and_matrices_agree(swept: tuple[TrajectoryConfig, Observations]) -> None:
    config, views = swept
    rebuilt = pose_from_angles(
        views.azimuth_deg, views.elevation_deg, views.distance_m, views.roll_deg, config.aim
    )
    assert np.abs(rebuilt - views.T_cam_target).max() < 1e-9
    azimuth, elevation, roll, distance = angles_from_pose(views.T_cam_target, config.aim)
    turns = (azimuth - views.azimuth_deg + 180.0) % 360.0 - 180.0
    # Near a pole the azimuth is worth less, and the roll takes up what it leaves.
    assert np.abs(turns * np.cos(np.radians(elevation))).max() < 1e-9
    assert np.abs(elevation - views.elevation_deg).max() < 1e-9
    assert np.abs(distance - views.distance_m).max() < 1e-9
    assert np.abs((roll - views.roll_deg + 180.0) % 360.0 - 180.0).max() < 1e-7


def test_aim_point_projects_to_the_principal_point(
    swept: tuple[TrajectoryConfig, Observations],
) -> None:
    config, views = swept
    camera = Camera(640, 480, 700.0, 650.0, 300.25, 251.5)
    for row in range(0, len(views), 997):
        pose = views.T_cam_target[row]
        rvec, _ = cv2.Rodrigues(pose[:3, :3])
        pixel, _ = cv2.projectPoints(np.array([config.aim]), rvec, pose[:3, 3], camera.K, None)
        assert pixel.ravel() == pytest.approx([300.25, 251.5], abs=1e-6)
    aim = views.T_cam_target @ np.array([*config.aim, 1.0])
    assert np.abs(aim[:, 2] - views.distance_m).max() < 1e-9


def test_motion_is_continuous_without_a_sign_flip(
    swept: tuple[TrajectoryConfig, Observations],
) -> None:
    config, views = swept
    steps = np.degrees(geodesic(views.T_cam_target[1:, :3, :3], views.T_cam_target[:-1, :3, :3]))
    assert (
        steps.max()
        < {"spiral": 1.03, "grid": 4.0001, "orbit": 2.0, "tumble": 3.0}[config.motion.kind]
    )
    assert steps.min() > 0.1
    dots = np.sum(views.quaternion[1:] * views.quaternion[:-1], axis=1)
    assert dots.min() > 0.99
    positions = camera_direction(views.azimuth_deg, views.elevation_deg)
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() < math.radians(4.001)


@settings(max_examples=20)
@given(st.sampled_from(GENERATED), st.lists(st.integers(INDEX_MIN, INDEX_MAX), max_size=12))
def test_an_index_has_the_same_bits_in_any_subset(kind: str, indices: list[int]) -> None:
    config = config_of(kind)
    whole, some = observe(config, ALL), observe(config, indices)
    rows = np.array(indices, dtype=np.intp) - 1
    assert len(some) == len(indices)
    for name, values in vars(some).items():
        if values is None:
            assert getattr(whole, name) is None
        else:
            assert np.array_equal(values, getattr(whole, name)[rows]), name


def test_answers_belong_to_the_caller(swept: tuple[TrajectoryConfig, Observations]) -> None:
    config, _ = swept
    first = observe(config, [361])
    expected = first.T_cam_target.copy()
    first.T_cam_target[:] = 0.0
    assert np.array_equal(observe(config, [361]).T_cam_target, expected)
    assert np.array_equal(available_indices(config), ALL)


def test_roll_turns_the_image_only(swept: tuple[TrajectoryConfig, Observations]) -> None:
    config, views = swept
    upright = observe(config_of(config.motion.kind, roll_deg=0.0), ALL)
    roll = math.radians(config.roll.offset_deg)
    turn = np.array(
        [[math.cos(roll), math.sin(roll), 0], [-math.sin(roll), math.cos(roll), 0], [0, 0, 1]]
    )  # the camera turns right-handed about +z, so coordinates turn the other way
    assert np.abs(turn @ upright.T_cam_target[:, :3] - views.T_cam_target[:, :3]).max() < 1e-12


@pytest.mark.parametrize("roll", [Roll(12.5), Roll(rate_deg=-0.5), Roll(3.0, 0.1, 7)])
@pytest.mark.parametrize("kind", GENERATED)
def test_config_round_trips_through_json(kind: str, roll: Roll) -> None:
    config = config_of(kind, roll=roll)
    again = TrajectoryConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert np.array_equal(observe(again, [77]).T_cam_target, observe(config, [77]).T_cam_target)


@pytest.mark.parametrize("index", [0, -1, 8101, 10**9])
def test_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(InputError, match=f"index {index}: must be between 1 and 8100"):
        observe(config_of("spiral"), [5, index])


def test_index_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(InputError, match="whole number"):
        observe(config_of("spiral"), [1.5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "changes",
    [
        {"distance_m": 0.0},
        {"distance_m": -3},
        {"distance_m": math.nan},
        {"distance_m": "far"},
        {"roll_deg": math.inf},
        {"aim": (0.0, 1.0)},
        {"aim": (0.0, 1.0, math.nan)},
        {"aim": 3.0},
    ],
)
def test_bad_configurations_are_refused_in_one_line(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        config_of("spiral", **changes)
    assert "\n" not in str(caught.value)


def test_unknown_kinds_are_refused() -> None:
    data = config_of("spiral").to_json()
    with pytest.raises(InputError, match="trajectory 'helix': must be one of spiral, grid"):
        TrajectoryConfig.from_json({**data, "kind": "helix"})


@pytest.mark.parametrize("kind", [*GENERATED, "file"])
def test_unknown_parameters_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match="parameter 'wobble'"):
        KINDS[kind].from_json(
            {"path": "poses.csv", "wobble": 1} if kind == "file" else {"wobble": 1}
        )


# --- time and rates ---------------------------------------------------------------------------

ROLLS = (Roll(), Roll(12.5), Roll(rate_deg=0.7), Roll(seed=3))
MOTIONS = (
    Spiral(0.1),
    Orbit(),
    Orbit(7, 2.5, 90.0, 40.0, 5400.0),
    Tumble((2.0, 9.0, 10.0), tuple(map(tuple, AXES)), dt_s=0.5),
    Tumble((1.0, 2.0, 2.5), None, (0.1, 3.0, 0.3)),
    Tumble((1.0, 2.0, 2.5), None, (0.0, 0.0, 0.0)),
)


@pytest.mark.parametrize("roll", ROLLS, ids=lambda roll: str(roll.spec))
@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.kind)
def test_rates_are_the_derivatives_of_the_attitudes(motion: Any, roll: Roll) -> None:
    config = TrajectoryConfig(motion=motion, distance_m=30.0, aim=AIM, roll=roll)
    views = observe(config, ALL)
    found, bound = differenced_velocity(views.index, views.quaternion)
    assert np.isfinite(bound).sum() == 8100 - 8
    inner = slice(4, -4)
    stated = views.angular_velocity * motion.frame_s
    assert np.linalg.norm(stated - found, axis=1)[inner].max() < 1e-11
    if views.inertial_quaternion is None:
        assert views.inertial_velocity is None and not motion.inertial
        return
    assert views.inertial_velocity is not None and views.R_target_inertial is not None
    back = quaternion_to_matrix(views.inertial_quaternion)
    assert np.abs(back - np.swapaxes(views.R_target_inertial, 1, 2)).max() < 1e-12
    dots = np.sum(views.inertial_quaternion[1:] * views.inertial_quaternion[:-1], axis=1)
    assert dots.min() > 0.9
    found, _ = differenced_velocity(views.index, views.inertial_quaternion)
    stated = views.inertial_velocity * motion.frame_s
    assert np.linalg.norm(stated - found, axis=1)[inner].max() < 1e-11


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.kind)
def test_integrating_the_rates_gives_the_poses_back(motion: Any) -> None:
    """SciPy's integrator, fed with a spline of the stated rates, arrives at the stated attitude."""
    config = TrajectoryConfig(motion=motion, distance_m=30.0, aim=AIM, roll=Roll(seed=11))
    views = observe(config, range(2000, 2061))
    rate = CubicSpline(views.time_s, views.angular_velocity)

    def turn(time: float, state: np.ndarray) -> np.ndarray:
        w = rate(time)
        cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        return (state.reshape(3, 3) @ cross).ravel()

    rotation = views.T_cam_target[:, :3, :3]
    span = (views.time_s[0], views.time_s[-1])
    found = solve_ivp(
        turn, span, rotation[0].ravel(), "DOP853", views.time_s, rtol=1e-11, atol=1e-11
    )
    assert np.abs(found.y.T.reshape(-1, 3, 3) - rotation).max() < 2e-5


def test_grid_rates_turn_each_pose_into_the_next() -> None:
    views = observe(config_of("grid", Grid(2.0), roll_deg=0.0), ALL)
    rotation = views.T_cam_target[:, :3, :3]
    for row in (0, 88, 89, 90, 4000, 8098):
        step = Rotation.from_rotvec(views.angular_velocity[row] * 2.0).as_matrix()
        assert np.abs(rotation[row] @ step - rotation[row + 1]).max() < 1e-12
    assert np.abs(views.angular_velocity[-1] - views.angular_velocity[-2]).max() < 1e-12


def test_times_are_whole_frame_periods() -> None:
    for motion, period in (
        (Spiral(), 1.0),
        (Spiral(0.25), 0.25),
        (Grid(3.0), 3.0),
        (tumble(), 1.0),
        (Orbit(), 23 * 5930.0 / 8100),
    ):
        views = observe(TrajectoryConfig(motion=motion, distance_m=30.0), ALL)
        assert np.abs(views.time_s - ALL * period).max() < 1e-9
    # An orbit's time is that of its own equations.
    time, _, _ = Orbit().relative_motion(30.0, ALL)
    assert np.abs(np.diff(time) - np.diff(views.time_s)).max() < 1e-9


def test_a_camera_at_rest_sees_the_inertial_rates() -> None:
    views = observe(config_of("tumble"), ALL)
    assert views.inertial_velocity is not None
    assert np.array_equal(views.angular_velocity, views.inertial_velocity)
    rolled = observe(config_of("tumble", roll=Roll(rate_deg=2.0)), ALL)
    apart = rolled.angular_velocity - views.inertial_velocity
    backward = -rolled.T_cam_target[:, 2, :3]
    assert np.abs(apart - math.radians(2.0) * backward).max() < 1e-12


@given(st.integers(0, 2**62), st.floats(1.0, 8099.0))
def test_a_random_roll_is_smooth_and_known_by_its_seed(seed: int, index: float) -> None:
    roll = Roll(seed=seed)
    h = 1e-3
    slope = (roll.angle_deg(index + h) - roll.angle_deg(index - h)) / (2.0 * h)
    assert abs(slope - roll.speed_deg(index)) < 1e-6
    assert abs(float(roll.speed_deg(index))) <= 3.0
    assert roll.angle_deg(index) == Roll(seed=seed).angle_deg(index)
    assert np.abs(Roll(seed=seed + 1).angle_deg(ALL) - roll.angle_deg(ALL)).max() > 1.0


def test_a_random_roll_turns_all_the_way_round() -> None:
    for seed in range(20):
        assert np.ptp(Roll(seed=seed).angle_deg(ALL)) > 180.0
        assert 0.5 < np.sqrt(np.mean(Roll(seed=seed).speed_deg(ALL) ** 2)) < 1.2


@pytest.mark.parametrize(
    ("text", "roll"),
    [
        ("12.5", Roll(12.5)),
        ("-3", Roll(-3.0)),
        ("rate:0.5", Roll(rate_deg=0.5)),
        ("rate:-2", Roll(rate_deg=-2.0)),
        ("random", Roll(seed=0)),
        ("random:7", Roll(seed=7)),
    ],
)
def test_rolls_are_read_as_written(text: str, roll: Roll) -> None:
    assert parse_roll(text) == roll
    assert roll.spec is not None and parse_roll(roll.spec) == roll
    assert Roll(1.0, 2.0).spec is None


@pytest.mark.parametrize(
    "text", ["", "nan", "rate:", "rate:x", "rate:inf", "rate:91", "random:-1", "random:1.5", "up:3"]
)
def test_bad_rolls_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="roll") as caught:
        parse_roll(text)
    assert "\n" not in str(caught.value)


# --- angles -----------------------------------------------------------------------------------


def test_front_view_looks_as_documented() -> None:
    """From +x: the target's +y is to the right, its +z is up, and +x comes toward the camera."""
    pose = pose_from_angles(0.0, 0.0, 10.0)
    points = pose @ np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=float).T
    assert np.abs(points[:3].T - [[1, 0, 10], [0, -1, 10], [0, 0, 9]]).max() < 1e-15


@given(
    st.floats(-1e4, 1e4),
    st.floats(-90.0, 90.0),
    st.floats(-180.0, 180.0),
    st.floats(0.1, 1e4),
    st.tuples(*[st.floats(-100.0, 100.0)] * 3),
)
def test_angles_round_trip(
    azimuth: float, elevation: float, roll: float, distance: float, aim: tuple[float, ...]
) -> None:
    pose = pose_from_angles(azimuth, elevation, distance, roll, aim)
    assert np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() < 1e-12
    quaternion = quaternion_from_angles(azimuth, elevation, roll)
    assert np.abs(quaternion_to_matrix(quaternion) - pose[:3, :3]).max() < 1e-12
    centre = -pose[:3, :3].T @ pose[:3, 3]
    expected = np.array(aim) + distance * camera_direction(azimuth, elevation)
    assert np.abs(centre - expected).max() < 1e-9 * (1.0 + distance)
    back = angles_from_pose(pose, aim)
    # t mixes distance and aim, so a camera that is close to a far-off aim point is known less well.
    slack = 1e-12 * (1.0 + (distance + 200.0) / distance)
    again = pose_from_angles(back[0], back[1], back[3], back[2], aim)
    assert np.abs(again[:3, :3] - pose[:3, :3]).max() < slack
    assert back[3] == pytest.approx(distance, abs=1e-11 * (distance + 200.0))


@pytest.mark.parametrize("elevation", [-90.0, 90.0])
@pytest.mark.parametrize("azimuth", [0.0, 33.0, 200.0])
def test_poles_are_ordinary_views(elevation: float, azimuth: float) -> None:
    pose = pose_from_angles(azimuth, elevation, 20.0, 15.0, AIM)
    back = angles_from_pose(pose, AIM)
    assert np.abs(pose_from_angles(back[0], back[1], back[3], back[2], AIM) - pose).max() < 1e-9
    nearby = pose_from_angles(azimuth, elevation * (1 - 1e-9), 20.0, 15.0, AIM)
    assert np.abs(nearby - pose).max() < 1e-6


def test_quaternion_sign_is_continuous_in_the_angles() -> None:
    azimuth = np.linspace(-2000.0, 2000.0, 20001)
    quaternions = quaternion_from_angles(azimuth, azimuth / 50.0, azimuth / 7.0)
    assert np.sum(quaternions[1:] * quaternions[:-1], axis=1).min() > 0.999
    turned = quaternion_from_angles(360.0, 0.0) + quaternion_from_angles(0.0, 0.0)
    assert np.abs(turned).max() < 1e-15  # one turn changes the sign, two change nothing


def test_angles_of_a_camera_that_looks_past_the_aim_point() -> None:
    pose = pose_from_angles(70.0, 20.0, 15.0, 30.0, AIM)
    aside = np.eye(4)
    aside[:3, :3] = Rotation.from_rotvec([0.05, -0.08, 0.0]).as_matrix()
    azimuth, elevation, roll, distance = angles_from_pose(aside @ pose, AIM)
    assert (azimuth, elevation, distance) == pytest.approx((70.0, 20.0, 15.0), abs=1e-9)
    # The swing has no part about the axis; what is left of the roll is its coupling with it.
    assert roll == pytest.approx(30.0, abs=0.2)


# --- spiral and grid --------------------------------------------------------------------------


def test_spiral_is_the_documented_one() -> None:
    views = observe(config_of("spiral", roll_deg=0.0), ALL)
    assert np.array_equal(views.index, ALL)
    assert np.array_equal(views.azimuth_deg, ALL.astype(float))
    assert np.abs(views.elevation_deg - (-90.0 + 180.0 * (ALL - 0.5) / 8100.0)).max() < 1e-12
    assert np.all(views.roll_deg == 0.0) and np.all(views.distance_m == 30.0)
    assert views.R_target_inertial is None
    # The camera's axes at an index, by cross products from its position alone.
    for index in (361, 4050, 8000):
        pose = views.T_cam_target[index - 1]
        centre = -pose[:3, :3].T @ pose[:3, 3] - AIM
        forward = -centre / np.linalg.norm(centre)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        assert np.abs(pose[:3, :3] - [right, down, forward]).max() < 1e-12


def test_spiral_turns_by_one_degree_a_step_over_the_whole_sweep() -> None:
    pose = observe(config_of("spiral"), ALL).T_cam_target[:, :3, :3]
    relative = pose[1:] @ np.swapaxes(pose[:-1], 1, 2)
    steps = np.degrees(Rotation.from_matrix(relative).magnitude())
    assert len(steps) == 8099
    assert steps.min() > 0.99 and steps.max() < 1.03


def test_grid_visits_every_cell_once_and_steps_to_neighbours_only() -> None:
    views = observe(config_of("grid", roll_deg=0.0), ALL)
    cells = {
        (round(a), round(e)) for a, e in zip(views.azimuth_deg, views.elevation_deg, strict=True)
    }
    assert cells == {(a, e) for a in range(0, 360, 4) for e in range(-89, 90, 2)}
    assert (views.azimuth_deg[0], views.elevation_deg[0]) == (0.0, -89.0)
    assert (views.azimuth_deg[90], views.elevation_deg[90]) == (356.0, -87.0)
    across = np.abs(np.diff(views.azimuth_deg))
    along = np.abs(np.diff(views.elevation_deg))
    assert np.all(((across == 4.0) & (along == 0.0)) | ((across == 0.0) & (along == 2.0)))


# --- orbit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("orbit", [Orbit(), Orbit(3, 0.0), Orbit(7, 2.5, 90.0, 40.0, 5400.0)])
def test_orbit_solves_the_clohessy_wiltshire_equations(orbit: Orbit) -> None:
    time, position, velocity = orbit.relative_motion(30.0, ALL)
    n = 2.0 * math.pi / orbit.period_s

    def clohessy_wiltshire(_: float, s: np.ndarray) -> np.ndarray:
        x, _y, z, vx, vy, vz = s
        return np.array([vx, vy, vz, 3 * n * n * x + 2 * n * vy, -2 * n * vx, -n * n * z])

    start = np.concatenate([position[0], velocity[0]])
    rows = np.arange(0, 8100, 81)
    solved = solve_ivp(
        clohessy_wiltshire,
        (0.0, time[-1]),
        start,
        method="DOP853",
        t_eval=time[rows],
        rtol=1e-12,
        atol=1e-12,
    )
    assert np.abs(solved.y[:3].T - position[rows]).max() < 1e-6
    assert np.abs(solved.y[3:].T - velocity[rows]).max() < 1e-9
    assert np.abs(np.diff(time) - time[-1] / 8099).max() < 1e-6


def test_orbit_circumnavigates_on_a_two_by_one_ellipse() -> None:
    config = config_of("orbit")
    _, position, _ = Orbit().relative_motion(config.distance_m, ALL)
    radial, along, _ = np.ptp(position, axis=0)
    assert along / radial == pytest.approx(2.0, abs=1e-4)
    assert np.linalg.matrix_rank(position[:400], tol=1.0) == 2  # a tilted plane through the target
    around = np.unwrap(np.arctan2(position[:, 1], position[:, 0]))
    whole = abs(around[-1] - around[0]) / (2.0 * math.pi) * 8100 / 8099
    assert whole == pytest.approx(23.0, abs=0.01)
    views = observe(config, ALL)
    assert views.distance_m.min() == pytest.approx(30.0, rel=1e-6)
    assert views.distance_m.max() < 60.0
    assert len(np.unique(np.round(views.T_cam_target[:, :3, :3].reshape(-1, 9), 9), axis=0)) == 8100


def test_orbit_frames_are_as_documented() -> None:
    config = config_of("orbit", roll_deg=0.0)
    views = observe(config, ALL)
    time, hill, _ = Orbit().relative_motion(config.distance_m, ALL)
    assert views.R_target_inertial is not None
    angle = 2.0 * np.pi * time / 5930.0
    outward = np.stack([np.cos(angle), np.sin(angle), np.zeros(8100)], axis=1)
    velocity = np.stack([-np.sin(angle), np.cos(angle), np.zeros(8100)], axis=1)
    rotate = views.R_target_inertial
    assert np.abs(np.einsum("nab,nb->na", rotate, -outward) - [0, 0, 1]).max() < 1e-9  # nadir +z
    assert np.abs(np.einsum("nab,nb->na", rotate, velocity) - [1, 0, 0]).max() < 1e-9
    assert np.abs(rotate @ np.array([0.0, 0.0, 1.0]) - [0, -1, 0]).max() < 1e-12
    # The camera's centre, from the pose alone, is where the Hill coordinates put it.
    rotation, shift = views.T_cam_target[:, :3, :3], views.T_cam_target[:, :3, 3]
    centre = -np.einsum("nba,nb->na", rotation, shift) - AIM
    expected = np.stack([hill[:, 1], -hill[:, 2], -hill[:, 0]], axis=1)
    assert np.abs(centre - expected).max() < 1e-9


@pytest.mark.parametrize(
    "params",
    [
        {"revolutions": 0},
        {"revolutions": 2.5},
        {"revolutions": "many"},
        {"cross_track": -1},
        {"period_s": 0},
        {"cross_phase_deg": None},
    ],
)
def test_bad_orbits_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(params))):
        Orbit.from_json(params)


# --- tumble -----------------------------------------------------------------------------------


def integrated(moments: np.ndarray, rates: np.ndarray, times: np.ndarray) -> tuple[Any, Any]:
    """Euler's equations and the attitude by an eighth-order Runge-Kutta method."""

    def motion(_: float, state: np.ndarray) -> np.ndarray:
        w, attitude = state[:3], state[3:].reshape(3, 3)
        cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        return np.concatenate([-np.cross(w, moments * w) / moments, (attitude @ cross).ravel()])

    start = np.concatenate([rates, np.eye(3).ravel()])
    span = (0.0, float(times[-1]))
    found = solve_ivp(motion, span, start, "DOP853", times, rtol=1e-13, atol=1e-13)
    return found.y[:3].T, found.y[3:].T.reshape(-1, 3, 3)


@pytest.mark.parametrize("seed", range(6))
def test_tumble_solves_eulers_equations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moments = np.sort(rng.uniform(1.0, 2.0, 3))
    rates = rng.normal(size=3)
    times = np.linspace(0.0, 40.0, 21)
    omega, attitude = free_rotation(moments, rates, times)
    expected_omega, expected_attitude = integrated(moments, rates, times)
    assert np.abs(omega - expected_omega).max() < 1e-9
    assert np.abs(attitude - expected_attitude).max() < 1e-9


@pytest.mark.parametrize(
    ("moments", "rates"),
    [
        ([1.0, 1.0, 1.0], [0.3, 0.2, -0.5]),  # sphere
        ([1.0, 1.0, 1.7], [0.3, 0.2, -0.5]),  # oblate
        ([1.0, 1.7, 1.7], [-0.3, 0.2, 0.5]),  # prolate
        ([1.0, 1.7, 1.7], [0.0, 0.2, 0.5]),  # prolate, momentum across its axis
        ([1.0, 1.5, 2.0], [0.0, 0.7, 0.0]),  # about the middle axis, an equilibrium
        ([1.0, 1.5, 2.0], [0.0, 0.0, -0.7]),
        ([1.0, 1.5, 2.0], [0.0, 0.0, 0.0]),
        ([1.0, 1.5, 2.0], [0.0, 0.4, -0.7]),
        ([1.0, 1.5, 2.0], [0.4, 0.7, 0.0]),
        ([1.0, 1.5, 2.5], [-0.4, 0.0, 0.7]),  # a flat plate
        ([1.0, 2.0, 3.0], [3.0**0.5 * 0.3, 0.6, 0.3]),  # on the separatrix
        ([1.0, 1.5, 2.0], [1e-7, 0.7, -1e-6]),  # just off the middle axis
    ],
)
def test_special_tumbles_solve_eulers_equations(moments: list[float], rates: list[float]) -> None:
    times = np.linspace(0.0, 20.0, 11)
    body, start = np.array(moments), np.array(rates)
    omega, attitude = free_rotation(body, start, times)
    expected_omega, expected_attitude = integrated(body, start, times)
    assert np.abs(omega - expected_omega).max() < 1e-8
    assert np.abs(attitude - expected_attitude).max() < 1e-8


@given(st.floats(-20.0, 20.0), st.floats(0.0, 0.999))
def test_jacobi_functions_agree_with_scipys(u: float, m: float) -> None:
    sn, cn, dn, _ = ellipj(u, m)
    ours = jacobi(np.array([u]), 1.0 - m)
    assert np.abs(np.ravel(ours) - [sn, cn, dn]).max() < 1e-11


@settings(max_examples=60)
@given(
    st.tuples(*[st.floats(0.05, 1.0)] * 3),
    st.tuples(*[st.floats(-1.0, 1.0)] * 3),
)
def test_free_rotation_conserves_energy_and_momentum(
    semi_axes: tuple[float, ...], rates: tuple[float, ...]
) -> None:
    a, b, c = (x * x for x in semi_axes)
    moments = np.sort(np.array([b + c, a + c, a + b]))  # an ellipsoid's, up to a factor
    start = np.array(rates)
    assume(np.linalg.norm(start) > 1e-3)
    omega, attitude = free_rotation(moments, start, np.linspace(0.0, 3000.0, 400))
    energy = np.sum(moments * omega**2, axis=1)
    assert np.abs(energy / np.sum(moments * start**2) - 1.0).max() < 1e-9
    momentum = np.einsum("nab,nb->na", attitude, moments * omega)
    drift = np.linalg.norm(momentum - moments * start, axis=1)
    assert (drift / np.linalg.norm(moments * start)).max() < 1e-9


@pytest.mark.parametrize("rates", [(0.3, 0.9, 0.3), (0.8, 0.1, -0.5), (0.05, -0.1, 1.0)])
def test_tumble_conserves_energy_and_momentum_over_the_sweep(rates: tuple[float, ...]) -> None:
    _, omega, attitude = tumble(rates=rates).turning(ALL)
    inertia = AXES.T @ np.diag(MOMENTS) @ AXES
    momentum_body = omega @ inertia
    energy = np.sum(omega * momentum_body, axis=1)
    assert np.abs(energy / energy[0] - 1.0).max() < 1e-9
    momentum = np.einsum("nab,nb->na", attitude, momentum_body)
    drift = np.linalg.norm(momentum - momentum[0], axis=1) / np.linalg.norm(momentum[0])
    assert drift.max() < 1e-9
    assert np.degrees(omega[0]) == pytest.approx(AXES.T @ np.array(rates), abs=1e-12)
    assert np.abs(attitude[0] - np.eye(3)).max() < 1e-12
    # The attitude moves as the angular velocity says: central differences of it.
    spin = np.swapaxes(attitude[:-2], 1, 2) @ attitude[2:]
    vectors = Rotation.from_matrix(spin).as_rotvec() / 2.0
    assert np.abs(vectors - omega[1:-1]).max() < 1e-5


def test_symmetric_body_precesses_at_the_textbook_rate() -> None:
    """A symmetry axis circles the angular momentum at L / I_transverse."""
    across, along = 3.0, 4.5
    motion = tumble([along, across, across], np.eye(3), (0.8, 0.6, 0.0))
    time, omega, attitude = motion.turning(ALL)
    momentum = np.array([along, across, across]) * omega[0]
    pole = momentum / np.linalg.norm(momentum)
    axis = attitude[:, :, 0]  # the symmetry axis, inertial frame
    assert np.abs(axis @ pole - axis[0] @ pole).max() < 1e-9
    east = np.cross(pole, axis[0])
    east /= np.linalg.norm(east)
    azimuth = np.unwrap(np.arctan2(axis @ east, axis @ np.cross(east, pole)))
    rate = np.linalg.norm(momentum) / across
    assert np.abs(azimuth - azimuth[0] - rate * time).max() < 1e-8


def test_tumble_is_seen_by_a_camera_at_rest() -> None:
    views = observe(config_of("tumble"), ALL)
    assert views.R_target_inertial is not None
    camera = views.T_cam_target[:, :3, :3] @ views.R_target_inertial
    assert np.abs(camera - camera[0]).max() < 1e-12
    assert np.abs(camera[0] - rotation_from_angles(30.0, 15.0, 12.5)).max() < 1e-12
    steps = geodesic(views.T_cam_target[1:, :3, :3], views.T_cam_target[:-1, :3, :3])
    assert 0.5 < np.degrees(steps).mean() < 2.0
    # It tumbles: seen from all around, not about one axis.
    spread = np.linalg.eigvalsh(np.cov(camera_direction(views.azimuth_deg, views.elevation_deg).T))
    assert spread.min() > 0.05


def test_order_and_handedness_of_the_axes_do_not_matter() -> None:
    rates = np.array([0.3, 0.9, 0.3])
    reference = observe(config_of("tumble", tumble(rates=rates)), ALL)
    order = [2, 0, 1]
    shuffled = observe(
        config_of("tumble", tumble(np.array(MOMENTS)[order], AXES[order], rates[order])),
        ALL,
    )
    assert np.abs(shuffled.T_cam_target - reference.T_cam_target).max() < 1e-9
    flip = np.array([1.0, -1.0, 1.0])
    mirrored = observe(
        config_of("tumble", tumble(MOMENTS, AXES * flip[:, None], rates * flip)), ALL
    )
    assert np.abs(mirrored.T_cam_target - reference.T_cam_target).max() < 1e-9


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({}, "moments"),
        ({"moments": [1, 2]}, "moments"),
        ({"moments": [1, 2, 4]}, "may exceed"),
        ({"moments": [0, 2, 2]}, "more than 0"),
        ({"moments": [1, 1, 1], "axes": [[1, 0, 0], [0, 1, 0]]}, "axes"),
        ({"moments": [1, 1, 1], "axes": [[1, 0, 0], [0, 1, 0], [0, 0.5, 1]]}, "perpendicular"),
        ({"moments": [1, 1, 1], "dt_s": 0}, "dt_s"),
        ({"moments": [1, 1, 1], "rates_deg_s": [0, 0, 120]}, "under 90"),
        ({"moments": [1, 1, 1], "rates_deg_s": [0, 0, "fast"]}, "rates_deg_s"),
        ({"moments": [1, 1, 1], "view_deg": [0, 95]}, "elevation"),
    ],
)
def test_bad_tumbles_are_refused(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        observe(config_of("tumble", Tumble.from_json(params)), [1])
    assert "\n" not in str(caught.value)


# --- file -------------------------------------------------------------------------------------


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def pose_rows(views: Observations) -> list[dict[str, Any]]:
    names = ("index", "qw", "qx", "qy", "qz", "tx", "ty", "tz")
    return [
        dict(zip(names, [int(k), *map(repr, [*q.tolist(), *t.tolist()])], strict=True))
        for k, q, t in zip(views.index, views.quaternion, views.T_cam_target[:, :3, 3], strict=True)
    ]


def file_config(path: Path, **changes: Any) -> TrajectoryConfig:
    return config_of("file", PoseFile(path), **{"roll_deg": 0.0, **changes})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_poses_come_back_from_a_table(tmp_path: Path, suffix: str) -> None:
    views = observe(config_of("spiral"), range(361, 800, 3))
    path = tmp_path / f"poses.{suffix}"
    rows = pose_rows(views)
    for number, row in enumerate(rows):  # a sign of its own for each quaternion must not matter
        if number % 3 == 0:
            for name in ("qw", "qx", "qy", "qz"):
                row[name] = repr(-float(row[name]))
    rows = rows[::-1]
    if suffix == "csv":
        write_csv(path, rows)
    else:
        import pandas as pd

        frame = pd.DataFrame(rows)
        frame[frame.columns[1:]] = frame[frame.columns[1:]].astype(float)
        frame.assign(note="x").to_parquet(path)
    config = file_config(path)
    assert config.motion == PoseFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    assert config.motion.to_json()["path"] == f"trajectory.{suffix}"
    assert np.array_equal(available_indices(config), views.index)
    again = observe(config, views.index)
    assert np.abs(again.T_cam_target - views.T_cam_target).max() < 1e-12
    assert np.sum(again.quaternion[1:] * again.quaternion[:-1], axis=1).min() > 0.9
    assert np.abs(again.azimuth_deg - views.azimuth_deg % 360.0).max() < 1e-9
    assert np.abs(again.elevation_deg - views.elevation_deg).max() < 1e-9
    assert np.abs(again.roll_deg - views.roll_deg).max() < 1e-9
    subset = observe(config, [400, 364])
    assert np.array_equal(subset.T_cam_target, again.T_cam_target[[13, 1]])
    with pytest.raises(InputError, match=r"index 362: not in .*from 361 to 799"):
        observe(config, [361, 362])


def test_angles_come_back_from_a_table(tmp_path: Path) -> None:
    rows = [
        {
            "index": 5,
            "azimuth_deg": 725.0,
            "elevation_deg": 90.0,
            "distance_m": 12.0,
            "roll_deg": 7,
        },
        {
            "index": 6,
            "azimuth_deg": -30.0,
            "elevation_deg": -10.0,
            "distance_m": 9.0,
            "roll_deg": 0,
        },
    ]
    views = observe(file_config(write_csv(tmp_path / "a.csv", rows)), [5, 6])
    expected = pose_from_angles([725, -30], [90, -10], [12, 9], [7, 0], AIM)
    assert np.abs(views.T_cam_target - expected).max() < 1e-12
    assert views.azimuth_deg.tolist() == [725.0, -30.0]
    short = [{"index": r["index"], "azimuth_deg": 1, "elevation_deg": 2} for r in rows]
    views = observe(file_config(write_csv(tmp_path / "b.csv", short), roll_deg=20.0), [5, 6])
    assert views.distance_m.tolist() == [30.0, 30.0]
    assert views.roll_deg.tolist() == [20.0, 20.0]


def test_times_and_rates_of_a_table_are_its_own(tmp_path: Path) -> None:
    views = observe(config_of("tumble"), range(100, 120))
    rows = pose_rows(views)
    bare = observe(file_config(write_csv(tmp_path / "bare.csv", rows)), views.index)
    assert np.isnan(bare.angular_velocity).all() and bare.angular_velocity.shape == (20, 3)
    assert np.array_equal(bare.time_s, views.index * 1.0)
    slow = config_of("file", PoseFile(tmp_path / "bare.csv", dt_s=0.5), roll_deg=0.0)
    assert np.array_equal(observe(slow, views.index).time_s, views.index * 0.5)
    for number, row in enumerate(rows):
        row["time_s"] = repr(10.0 + 0.3 * number**1.5)
        for name, value in zip(("wx", "wy", "wz"), views.angular_velocity[number], strict=True):
            row[name] = "nan" if number == 3 else repr(float(value))
    full = observe(file_config(write_csv(tmp_path / "full.csv", rows[::-1])), views.index)
    assert np.abs(full.time_s - [10.0 + 0.3 * n**1.5 for n in range(20)]).max() < 1e-12
    known = np.arange(20) != 3
    assert np.array_equal(full.angular_velocity[known], views.angular_velocity[known])
    assert np.isnan(full.angular_velocity[3]).all()
    rows[7]["time_s"] = rows[6]["time_s"]
    with pytest.raises(InputError, match=r"column time_s, line 9: .* must be more than"):
        observe(file_config(write_csv(tmp_path / "still.csv", rows)), [100])
    for row in rows:
        del row["wy"], row["time_s"]
    with pytest.raises(InputError, match="column wy is missing"):
        observe(file_config(write_csv(tmp_path / "part.csv", rows)), [100])


GOOD = {"index": 3, "qw": 1, "qx": 0, "qy": 0, "qz": 0, "tx": 0, "ty": 0, "tz": 9}
ANGLES = {"index": 3, "azimuth_deg": 1, "elevation_deg": 2, "distance_m": 5}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**GOOD, "qx": "abc"}, r"column qx, line 3: 'abc' is not a number"),
        ({**GOOD, "ty": ""}, r"column ty, line 3: '' is not a number"),
        ({**GOOD, "tz": "nan"}, r"column tz, line 3: nan must be a finite number"),
        ({**GOOD, "tx": "inf"}, r"column tx, line 3"),
        ({**GOOD, "qw": 1.01}, r"column qw, line 3: the quaternion .* has length 1.01"),
        ({**GOOD, "qw": 0}, r"column qw, line 3: .* length 0"),
        ({**GOOD, "tz": -9}, r"column tz, line 3: the target is behind the camera"),
        ({**GOOD, "tz": 1e300}, r"column tz, line 3: 1e\+300 metres away, must be at most 1e\+09"),
        ({**GOOD, "ty": -2e9}, r"column ty, line 3: 2e\+09 metres away, must be at most 1e\+09"),
        ({**ANGLES, "distance_m": 1e20}, r"column distance_m, line 3: 1e\+20 must be at most"),
        ({**GOOD, "index": 2}, r"column index, line 3: 2 was already given in line 2"),
        ({**GOOD, "index": 0}, r"column index, line 3: 0 must be a whole number from 1 to 8100"),
        ({**GOOD, "index": 2.5}, r"column index, line 3"),
        ({**ANGLES, "elevation_deg": 91}, r"column elevation_deg, line 3: 91 must be between"),
        ({**ANGLES, "distance_m": 0}, r"column distance_m, line 3: 0 must be more than 0"),
        ({**ANGLES, "azimuth_deg": "north"}, r"column azimuth_deg, line 3"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    first = {**(GOOD if "qw" in row else ANGLES), "index": 2}
    path = write_csv(tmp_path / "poses.csv", [first, row])
    with pytest.raises(InputError, match=problem) as caught:
        observe(file_config(path), [2])
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["index", "qw", "qz", "ty"])
def test_missing_columns_are_named(tmp_path: Path, missing: str) -> None:
    path = write_csv(tmp_path / "poses.csv", [{k: v for k, v in GOOD.items() if k != missing}])
    with pytest.raises(InputError, match=f"column {missing} is missing"):
        observe(file_config(path), [3])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "column index is missing"),
        (b"index;azimuth_deg\n1;2\n", "is missing; .* with commas between, and is 'index;azimuth_"),
        (b"1,2,3\n4,5,6\n", "is missing; the first line must name the columns, .* is '1,2,3'"),
        (b"index,qw,qx,qy,qz,tx,ty,tz\n", "no rows"),
        (b"index,qw\n1\n", "line 2: 1 columns, the header has 2"),
        (b"\xff\xfe\x00\x01", "UTF-8"),
        (b"index,azimuth_deg\n1,2\n", "column elevation_deg is missing"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        observe(file_config(path), [1])


def test_broken_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "poses.parquet"
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(InputError, match="not a readable parquet") as caught:
        observe(file_config(path), [1])
    assert "\n" not in str(caught.value)


def test_parquet_with_an_empty_cell_is_refused(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "poses.parquet"
    pd.DataFrame([GOOD, {**GOOD, "index": 4, "qy": None}]).to_parquet(path)
    with pytest.raises(InputError, match=r"column qy, row 2"):
        observe(file_config(path), [3])


def test_missing_file_and_changed_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        PoseFile(tmp_path / "none.csv")
    with pytest.raises(InputError, match="Is a directory"):
        PoseFile(tmp_path)
    with pytest.raises(InputError, match="needs the path"):
        PoseFile.from_json({})
    path = write_csv(tmp_path / "poses.csv", [GOOD])
    config = file_config(path)
    path.write_bytes(path.read_bytes() + b"4,1,0,0,0,0,0,9\n")
    with pytest.raises(InputError, match="has changed"):
        observe(config, [3])
    assert len(available_indices(file_config(path))) == 2
    with pytest.raises(InputError, match="roll 5"):
        observe(file_config(path, roll_deg=5.0), [3])


# --- framing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("camera", "extent"),
    [
        (Camera.from_fov(512, 512, 30.0), "height"),
        (Camera.from_fov(800, 400, 60.0), "height"),
        (Camera.from_fov(300, 600, 40.0), "width"),
        (Camera(640, 480, 900.0, 500.0, 10.0, 400.0), "width"),
    ],
)
def test_bounding_sphere_fills_the_frame(camera: Camera, extent: str) -> None:
    radius, fill = 7.3, 0.9
    distance = default_distance(radius, camera, fill)
    # The outline by brute force: points all over the sphere, projected.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400_000, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    points[:, 2] += distance
    sizes = {
        "width": np.ptp(camera.fx * points[:, 0] / points[:, 2]) / camera.width,
        "height": np.ptp(camera.fy * points[:, 1] / points[:, 2]) / camera.height,
    }
    assert sizes[extent] == pytest.approx(fill, abs=2e-3)
    assert max(sizes.values()) < fill + 1e-9


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan])
def test_distance_needs_a_radius(radius: float) -> None:
    with pytest.raises(InputError, match="bounding radius"):
        default_distance(radius, Camera.from_fov(64, 64, 30.0))


def box_shell(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) - 0.5
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))])
    return corners * size, faces


def test_inertia_of_a_hollow_box() -> None:
    size = np.array([1.0, 2.0, 4.0])
    vertices, faces = box_shell(size)
    turn = Rotation.from_euler("zyx", [30, 50, -20], degrees=True).as_matrix()
    shift = np.array([3.0, -2.0, 5.0])
    moments, axes, centre = principal_inertia(vertices @ turn.T + shift, faces)
    # By hand: a plate of sides p, q has A p^2 / 12 about its own middle; two pairs of plates carry
    # it, the third stands off by half the side.
    a, b, c = size
    second = [
        2 * (a * b + a * c) * s * s / 12 + 2 * b * c * s * s / 4
        for s, (a, b, c) in zip(size, [(a, b, c), (b, a, c), (c, a, b)], strict=True)
    ]
    expected = [second[1] + second[2], second[0] + second[2], second[0] + second[1]]
    assert centre == pytest.approx(shift, abs=1e-12)
    assert moments == pytest.approx(sorted(expected), rel=1e-12)
    assert np.abs(axes @ axes.T - np.eye(3)).max() < 1e-12
    assert np.linalg.det(axes) == pytest.approx(1.0)
    principal = turn.T[np.argsort(expected)]
    assert np.abs(np.abs(axes @ principal.T) - np.eye(3)).max() < 1e-9


def test_inertia_of_a_plate_makes_a_valid_tumble() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]], dtype=float)
    moments, axes, _ = principal_inertia(vertices, np.array([[0, 1, 2], [0, 2, 3]]))
    assert moments == pytest.approx([2 / 12, 8 / 12, 10 / 12])
    assert len(observe(config_of("tumble", tumble(moments, axes)), [1, 8100])) == 2


def test_inertia_needs_area() -> None:
    with pytest.raises(InputError, match="surface area"):
        principal_inertia(np.zeros((3, 3)), np.array([[0, 1, 2]]))
