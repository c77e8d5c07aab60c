"""satgen.surroundings: where the Earth is, what it looks like, what light it gives and takes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from satgen.camera import Camera
from satgen.config import resolve
from satgen.dataset import Dataset, described_columns, read_csv
from satgen.errors import InputError
from satgen.rendering.sky import EarthRenderer
from satgen.run import render
from satgen.sun import parse_sun, sun_in_camera
from satgen.surroundings.config import (
    EARTH_RADIUS_KM,
    Surroundings,
    altitude_of_period,
    sun_synchronous_deg,
)
from satgen.surroundings.earth import coarse_earth, disc_rays, land_map, mean_over_disc
from satgen.surroundings.place import SUN_RADIUS_DEG, flown_angle, places, sunlight
from satgen.tables import csv_bytes
from satgen.targets.load import load_target
from satgen.trajectory import KINDS, Orbit, Spiral, TrajectoryConfig, Tumble, observe
from satgen.verify import verify
from tests.datasets import options, tree

INDICES = range(1, 8101, 97)


def trajectory(kind: str) -> TrajectoryConfig:
    motion = Tumble((2.0, 9.0, 10.0)) if kind == "tumble" else KINDS[kind]()
    return TrajectoryConfig(motion=motion, distance_m=30.0)


# --- the orbit ------------------------------------------------------------------------------------


def test_known_orbits() -> None:
    """Aura: 705 km, 98.8 minutes, 98.2°, and the Earth's disc 64° around nadir."""
    aura = Surroundings(altitude_km=705.0)
    assert aura.period_s / 60.0 == pytest.approx(98.8, abs=0.1)
    assert sun_synchronous_deg(705.0) == pytest.approx(98.2, abs=0.05)
    assert sun_synchronous_deg(770.0) == pytest.approx(98.5, abs=0.05)
    assert aura.limb_deg == pytest.approx(64.2, abs=0.05)
    assert altitude_of_period(aura.period_s) == pytest.approx(705.0, abs=1e-6)
    assert Surroundings(altitude_km=35786.0).period_s == pytest.approx(86164.0, abs=5.0)


@pytest.mark.parametrize("changes", [{"background": "moon"}, {"altitude_km": 10.0}])
def test_impossible_surroundings_are_refused(changes: dict) -> None:
    with pytest.raises(InputError, match="must be"):
        Surroundings(**changes)


@pytest.mark.parametrize("kind", ["spiral", "grid", "orbit", "tumble"])
def test_the_ground_moves_as_below_a_satellite(kind: str) -> None:
    config = trajectory(kind)
    views = observe(config, INDICES)
    earth = Surroundings(altitude_km=705.0, inclination_deg=98.2, longitude_deg=25.0)
    sun = sun_in_camera(parse_sun("phase:35"), views)
    place = places(earth, config, views, sun)
    eye = np.eye(3)
    for turn in (place.ground_from_cam, place.sky_from_cam):
        assert np.abs(turn @ np.swapaxes(turn, -1, -2) - eye).max() < 1e-12
        assert np.linalg.det(turn) == pytest.approx(np.ones(len(views)))
    below = -np.einsum("nij,nj->ni", place.ground_from_cam, place.nadir)  # the sub-satellite point
    angle = flown_angle(earth, config, views)
    # Textbook ground track: latitude, and the node's longitude with the Earth turning below.
    latitude = np.arcsin(np.sin(np.radians(98.2)) * np.sin(angle))
    assert np.abs(below[:, 2] - np.sin(latitude)).max() < 1e-12
    along = np.arctan2(np.cos(np.radians(98.2)) * np.sin(angle), np.cos(angle))
    turned = 2.0 * np.pi / 86164.1 * (views.time_s - config.motion.frame_s)
    longitude = np.radians(25.0) + along - turned
    assert np.abs(
        np.exp(1j * longitude) * np.cos(latitude) - below[:, 0] - 1j * below[:, 1]
    ).max() < (1e-5)
    # In the sky the camera turns as the trajectory says, where that is inertial.
    if views.R_target_inertial is not None:
        inertial = place.sky_from_cam @ views.T_cam_target[:, :3, :3] @ views.R_target_inertial
        assert np.abs(inertial - inertial[0]).max() < 1e-9


# --- the eclipse ----------------------------------------------------------------------------------


def covered_by_sampling(separation: float, limb: float) -> float:
    """Share of the sun's disc outside the Earth's, by points on the sphere."""
    r = np.sqrt((np.arange(4000) + 0.5) / 4000) * math.radians(SUN_RADIUS_DEG)
    turn = np.arange(4000) * 2.399963
    # Small circle about the sun at (0, 0, 1), the Earth's centre at `separation` from it.
    points = np.stack([np.sin(r) * np.cos(turn), np.sin(r) * np.sin(turn), np.cos(r)], axis=1)
    centre = np.array([math.sin(separation), 0.0, math.cos(separation)])
    return float(np.mean(np.arccos(np.clip(points @ centre, -1, 1)) > limb))


@given(st.floats(150.0, 40000.0), st.floats(-1.2, 1.2))
def test_penumbra_is_the_overlap_of_two_discs(altitude: float, offset: float) -> None:
    radius = 1.0 + altitude / EARTH_RADIUS_KM
    limb = math.asin(1.0 / radius)
    separation = limb + offset * math.radians(SUN_RADIUS_DEG)
    nadir = np.array([[0.0, 0.0, 1.0]])
    sun = np.array([[math.sin(separation), 0.0, math.cos(separation)]])
    got = float(sunlight(nadir, sun, radius)[0])
    assert got == pytest.approx(covered_by_sampling(separation, limb), abs=0.02)


def test_an_orbit_in_the_plane_of_the_sun_is_dark_for_the_known_share() -> None:
    """Of a circular orbit with the sun in its plane asin(R / r) / pi is in the shadow."""
    config = TrajectoryConfig(motion=Orbit(), distance_m=30.0)
    views = observe(config, range(1, 8101))
    for elevation, shadow in ((0.0, True), (60.0, True), (70.0, False)):
        sun = sun_in_camera(parse_sun(f"inertial:30,{elevation}"), views)
        earth = Surroundings(altitude_km=altitude_of_period(5930.0), eclipse=True)
        light = places(earth, config, views, sun).sunlight
        beta = math.radians(elevation)
        # Half the shadow's length on the orbit: cos u = sqrt(1 - 1/r^2) / cos(beta).
        cosine = math.sqrt(1.0 - 1.0 / earth.radius**2) / max(math.cos(beta), 1e-9)
        share = math.acos(min(cosine, 1.0)) / math.pi
        assert 1.0 - light.mean() == pytest.approx(share, abs=0.001)
        assert (share > 0.0) is shadow
        assert (places(Surroundings(), config, views, sun).sunlight == 1.0).all()


# --- earthshine -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [0.0, 40.0, 90.0, 130.0, 170.0])
def test_mean_over_the_disc_of_a_lambert_sphere_has_the_textbook_phase_law(phase: float) -> None:
    """From far away: 2/3 albedo (sin a + (pi - a) cos a) / pi (Russell 1916)."""
    a = math.radians(phase)
    sun = np.array([math.sin(a), 0.0, math.cos(a)])
    up = np.array([0.0, 0.0, 1.0])
    got = mean_over_disc(lambda n, d: np.maximum(n @ sun, 0.0)[:, None], up, 1e5, samples=20000)
    law = 2.0 / 3.0 * (math.sin(a) + (math.pi - a) * math.cos(a)) / math.pi
    assert got[0] == pytest.approx(law, abs=2e-3)


@pytest.mark.parametrize("altitude", [500.0, 705.0, 20000.0])
def test_mean_over_the_near_disc_agrees_with_quadrature(altitude: float) -> None:
    """Sun in the zenith: rings of the disc, one integral."""
    radius = 1.0 + altitude / EARTH_RADIUS_KM
    limb = math.asin(1.0 / radius)

    def ring(angle: float) -> float:
        p = radius * math.sin(angle)
        return math.sin(angle) * math.cos(math.asin(min(p, 1.0)) - angle)  # cosine of the sun there

    exact = quad(ring, 0.0, limb)[0] / (1.0 - math.cos(limb))
    up = np.array([0.6, 0.0, -0.8])
    got = mean_over_disc(lambda n, d: np.maximum(n @ up, 0.0)[:, None], up, radius)
    assert got[0] == pytest.approx(exact, abs=2e-3)
    n, direction = disc_rays(up, radius)
    assert np.linalg.norm(n, axis=1) == pytest.approx(np.ones(len(n)), abs=1e-9)
    assert (np.sum(n * direction, axis=1) < 1e-9).all()  # the near side


def test_the_earths_albedo_is_about_three_tenths() -> None:
    """Bond albedo: light in all directions from everywhere, over many views from afar."""
    earth = coarse_earth(0)
    rng = np.random.default_rng(0)
    up = rng.standard_normal((300, 3))
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    sun = np.array([0.0, 1.0, 0.0])
    seen = np.mean([earth.shine(u, sun, 1e4) for u in up], axis=0)
    # Mean radiance over all directions of view times the sphere's 4 discs, of irradiance pi.
    albedo = 4.0 * seen @ [0.2126, 0.7152, 0.0722]
    assert 0.25 < albedo < 0.36
    night = earth.shine(np.array([0.0, -1.0, 0.0]), sun, 1.11)
    day = earth.shine(sun, sun, 1.11)
    assert night.max() < 1e-3 and day.min() > 0.05
    assert np.array_equal(coarse_earth(0).cloud, coarse_earth(0).cloud)
    assert np.abs(coarse_earth(1).cloud - earth.cloud).max() > 0.5


def test_a_third_of_the_map_is_land_where_land_is() -> None:
    rows, columns = land_map().shape
    weight = np.cos(np.pi * ((np.arange(rows) + 0.5) / rows - 0.5))
    assert (land_map().mean(1) / 255.0 @ weight) / weight.sum() == pytest.approx(0.292, abs=0.005)

    def at(latitude: float, longitude: float) -> bool:
        row, column = (90.0 - latitude) / 180.0 * rows, (longitude + 180.0) / 360.0 * columns
        return bool(land_map()[int(row), int(column)])

    for name, latitude, longitude, land in (
        ("Sahara", 23.0, 10.0, True),
        ("Siberia beyond 180°", 66.5, -175.0, True),
        ("South pole", -89.0, 0.0, True),
        ("Atlantic", 30.0, -45.0, False),
        ("Caspian Sea", 41.5, 50.5, False),
        ("Lake Superior", 47.7, -87.5, False),
        ("Tasmania", -42.0, 146.5, True),
        ("North pole", 89.5, 0.0, False),
    ):
        assert at(latitude, longitude) is land, name


# --- the picture ----------------------------------------------------------------------------------


def looking(
    tilt: float, sun: np.ndarray, radius: float, camera: Camera, seed: int = 0
) -> np.ndarray:
    """The Earth, and its share of the pixels, from above Africa, the optical axis `tilt` radians
    from nadir toward the north."""
    up, north, east = (
        np.array([1.0, 0.0, 0.0]),
        np.array([0.0, 0.0, 1.0]),
        np.array([0.0, 1.0, 0.0]),
    )
    forward = -up * math.cos(tilt) + north * math.sin(tilt)
    down = -(north * math.cos(tilt) + up * math.sin(tilt))
    turn = np.stack([east, down, forward], axis=1)
    with EarthRenderer(camera, seed, float32=True) as renderer:
        radiance, share = renderer.draw(turn, turn.T @ sun, turn.T @ -up, radius)
    share = np.ones(radiance.shape[:2], np.float32) if share is None else share
    return np.concatenate([radiance, share[..., None]], axis=-1)


@pytest.mark.parametrize("altitude", [705.0, 20000.0])
def test_the_limb_is_where_geometry_has_it(altitude: float) -> None:
    earth = Surroundings(altitude_km=altitude)
    camera = Camera.from_fov(201, 201, 10.0)
    sun = np.array([1.0, 0.0, 0.0])
    drawn = looking(math.radians(earth.limb_deg), sun, earth.radius, camera)
    column = drawn[:, 100, 3]
    assert column[0] == 0.0 and column[-1] == 1.0
    # The limb crosses the optical axis: half of the pixels of the middle column see the Earth.
    edge = len(column) - column.sum() - 0.5
    assert edge == pytest.approx(camera.cy, abs=0.25)
    # Air glows above it, and there is nothing beyond 100 km.
    assert drawn[int(camera.cy) - 2, 100, 2] > 0.02
    top = math.asin(min((1.0 + 100.0 / EARTH_RADIUS_KM) / earth.radius, 1.0))
    row = int(camera.cy - camera.fy * math.tan(top - math.radians(earth.limb_deg))) - 4
    if row > 0:
        assert not drawn[:row].any()


def test_the_terminator_is_a_right_angle_from_the_sun() -> None:
    camera = Camera.from_fov(161, 161, 19.0)
    radius = 1.0 + 36000.0 / EARTH_RADIUS_KM
    drawn = looking(0.0, np.array([0.0, 1.0, 0.0]), radius, camera)  # the sun in the east
    light = drawn[..., :3].sum(axis=-1)
    assert light[:, :70].max() < 1e-4  # night
    assert light[80, 95:130].min() > 0.01
    assert light[60:100, 80].mean() < 0.1 * light[60:100, 110].mean()


def test_the_picture_and_the_earthshine_are_of_one_earth() -> None:
    """Means over the disc from afar: the shader's, in detail, and the coarse Earth's."""
    camera = Camera.from_fov(300, 300, 19.0)
    radius = 1.0 + 36000.0 / EARTH_RADIUS_KM
    for sun in ([1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, -0.8, 0.6]):
        drawn = looking(0.0, np.array(sun), radius, camera)
        inside = drawn[..., 3] > 0.5
        means = drawn[inside][:, :3].mean(axis=0)
        shine = coarse_earth(0).shine(np.array([1.0, 0.0, 0.0]), np.array(sun), radius)
        assert np.abs(means - shine).max() < 0.1 * shine.max()


def test_the_picture_follows_from_its_seed() -> None:
    camera = Camera.from_fov(33, 20, 20.0)  # odd, not square
    sun = np.array([1.0, 0.0, 0.0])
    one, same, other = (looking(0.3, sun, 1.11, camera, seed) for seed in (0, 0, 1))
    assert one.shape == (20, 33, 4)
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.05


def test_a_dataset_over_an_orbit_is_whole_and_the_same_over_workers(
    craft_path: Path, tmp_path: Path
) -> None:
    wish = {"trajectory": "orbit", "sun": "inertial:20,10", "background": "earth", "step": 4}
    request = options(craft_path, start=236, stop=276, **wish)
    render(request, tmp_path / "two", workers=2)
    render(request, tmp_path / "here", workers=0)
    assert tree(tmp_path / "two") == tree(tmp_path / "here")
    assert verify(tmp_path / "two").ok
    data = Dataset(tmp_path / "two")
    assert data.description["background"] == "earth"
    assert data.description["surroundings"]["altitude_km"] == pytest.approx(703.0, abs=1.0)
    light = data.frames["sunlight"].to_numpy()
    assert list(data.frames)[-1] == "sunlight" and light.min() == 0.0 and light.max() == 1.0
    means = {
        k: np.mean([f.rgb[f.mask].mean() for f in data if light[data.indices == f.index] == k])
        for k in (0.0, 1.0)
    }
    assert means[0.0] < 0.5 * means[1.0]
    # A table that says otherwise is found.
    table = read_csv(tmp_path / "two" / "frames.csv", described_columns(data.description))
    table["sunlight"][0] = 0.5
    (tmp_path / "two" / "frames.csv").write_bytes(csv_bytes(table))
    (tmp_path / "two" / "frames.parquet").unlink()
    assert any("sunlight" in problem.cause for problem in verify(tmp_path / "two").problems)
    # The sun stays on where that is asked for, and where it is not placed in the orbit.
    for changes in ({"eclipse": False}, {"sun": "phase:35"}):
        config = resolve(options(craft_path, **{**wish, **changes}), load_target(craft_path))
        assert config.columns == () and not config.surroundings.eclipse


def test_a_spiral_flies_an_orbit_too() -> None:
    config = TrajectoryConfig(motion=Spiral(), distance_m=30.0)
    views = observe(config, [1, 2])
    angle = flown_angle(Surroundings(altitude_km=705.0), config, views)
    assert angle[0] == 0.0 and angle[1] == pytest.approx(2 * math.pi / 5928.0, rel=1e-3)
