"""The true shader against integrals: what it reflects of even light, of the Earth, of the sun."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.model import Material, Part, TargetModel
from satgen.rendering.lighting import Lighting
from satgen.rendering.reflectance import albedo_terms, table
from satgen.rendering.renderer import Renderer
from tests.scenes import Witness, look, model_of

ROUGHNESS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
ANGLES = (0.0, 20.0, 40.0, 60.0, 75.0, 85.0)
CAMERA = Camera.from_fov(8, 8, 1.0)
POSE = look(0.0, 90.0, 500.0)  # from +z


def facets(normals: NDArray, materials: list[Material]) -> TargetModel:
    """Triangles about the origin, one for each normal (N, 3) and material, normals first."""
    side = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    x = np.cross(normals, side)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(normals, x)
    turns = np.radians([0.0, 120.0, 240.0])
    corners = np.cos(turns)[:, None] * x[:, None] + np.sin(turns)[:, None] * y[:, None]
    count, kinds = len(normals), len(materials)
    vertices = np.tile(corners.reshape(-1, 3), (kinds, 1))
    return TargetModel(
        name="facets",
        vertices=vertices,
        normals=np.tile(np.repeat(normals, 3, axis=0), (kinds, 1)).astype(np.float32),
        uv=np.zeros((len(vertices), 2), np.float32),
        faces=np.arange(len(vertices), dtype=np.int32).reshape(-1, 3),
        face_material=np.repeat(np.arange(kinds), count).astype(np.int32),
        face_part=np.ones(count * kinds, np.uint8),
        materials=tuple(materials),
        parts=(Part(1, "facets", "bus"),),
    )


def shading(renderer: Renderer, faces: int) -> Callable[..., NDArray]:
    """A function that shades the middle of every facet, without shadows: (faces, 3)."""
    device: Any = renderer._device
    shade, draw = device.shade, device.draw_shadow_map
    samples = np.zeros((faces, 4), np.float32)
    samples[:, :2] = CAMERA.cx, CAMERA.cy
    samples[:, 2] = np.arange(faces)
    answer: list[NDArray] = []

    def only_ours(asked: NDArray, looks: NDArray, uniforms: Any) -> NDArray:
        answer[:] = [shade(samples, np.zeros(faces, np.uint8), uniforms)]
        return np.zeros((len(asked), 3), np.float32)

    def nothing(faces: NDArray, clip: NDArray, *size: Any) -> None:
        beyond = clip.copy()
        beyond[0, 3] += 10.0
        draw(faces, beyond, *size)

    device.shade, device.draw_shadow_map = only_ours, nothing

    def shaded(sun: NDArray, *, earth: NDArray | None = None, shine: float = 0.0) -> NDArray:
        turn = POSE[:3, :3]
        down = None if earth is None else turn @ earth
        renderer.render(POSE, turn @ sun, down, np.full(3, shine))
        return answer[0]

    return shaded


def _outward(length: float) -> tuple[NDArray, NDArray]:
    """Places from 0 on, finest there, and their weights in an integral to `length`."""
    place = np.geomspace(4e-4, length, 96)
    weight = place * np.log(place[1] / place[0])
    weight[[0, -1]] /= 2.0
    weight[0] += place[0]
    return place, weight


def tilted(angle_deg: float, around_deg: NDArray) -> NDArray:
    """Unit vectors at an angle from +z."""
    a, p = np.radians(angle_deg), np.radians(around_deg)
    return np.stack([np.sin(a) * np.cos(p), np.sin(a) * np.sin(p), np.cos(a) * np.ones_like(p)], -1)


def dark(**changes: Any) -> Lighting:
    return Lighting(**{"earthshine": (0.0, 0.0, 0.0), "ambient": 0.0, **changes})


@pytest.fixture(scope="module")
def furnace() -> dict[tuple[str, float, float], float]:
    """Share of even light that comes back, by kind of surface, roughness and angle of view.

    The sun goes over the sky in steps that are finest about the mirror's direction: in polar
    coordinates about the view, whose second is how the facet is turned. The sum is good to 0.2 %,
    for the narrowest lobe to 0.4 %.
    """
    around, over_around = _outward(np.pi)
    white = (1.0, 1.0, 1.0)
    kinds = [("metal", 1.0, white), ("paint", 0.0, white), ("black", 0.0, (0.0, 0.0, 0.0))]
    materials = [Material(k, c, m, r) for (k, m, c), r in product(kinds, ROUGHNESS)]
    found = {}
    for angle in ANGLES:
        model = facets(tilted(angle, np.degrees(around)), materials)
        middle = 2.0 * np.radians(angle)
        polar, over_polar = _outward(np.pi - middle)
        polar = middle + polar
        if middle > 0.0:
            below, weights = _outward(middle)
            polar = np.append(middle - below, polar)
            over_polar = np.append(weights, over_polar)
        with Renderer(model, CAMERA, dark(), float32=True) as renderer:
            shaded = shading(renderer, len(model.faces))
            suns = [np.array([np.sin(p), 0.0, np.cos(p)]) for p in polar]
            radiance = np.stack([shaded(sun)[:, 0] for sun in suns]).astype(np.float64)
        radiance = radiance.reshape(len(polar), len(materials), len(around))
        total = (
            2.0 / np.pi * np.einsum("pma,a,p->m", radiance, over_around, over_polar * np.sin(polar))
        )
        for (kind, roughness), value in zip(
            product([k for k, *_ in kinds], ROUGHNESS), total, strict=True
        ):
            found[kind, roughness, angle] = float(value)
    return found


@pytest.mark.parametrize("kind", ["metal", "paint"])
def test_a_white_surface_in_a_white_furnace_gives_back_what_it_gets(
    furnace: dict[tuple[str, float, float], float], kind: str
) -> None:
    for roughness, angle in product(ROUGHNESS, ANGLES):
        share = furnace[kind, roughness, angle]
        least = 0.98 if roughness > 0.05 or angle < 60.0 else 0.5  # no glint outshines the Sun
        assert least <= share <= 1.002 + 0.002 * (roughness == 0.05), (roughness, angle, share)


def test_ambient_light_and_the_table_agree_with_the_integral(
    furnace: dict[tuple[str, float, float], float],
) -> None:
    """A black dielectric mirrors alone; under even light the shader takes that from its table."""
    materials = [Material("black", (0.0, 0.0, 0.0), 0.0, r) for r in ROUGHNESS]
    for angle in ANGLES[:-1]:
        model = facets(tilted(angle, np.zeros(1)), materials)
        with Renderer(model, CAMERA, dark(ambient=1.0), float32=True) as renderer:
            even = shading(renderer, len(model.faces))(np.array([0.0, 0.0, -1.0]))[:, 0]
        integral = [furnace["black", r, angle] for r in ROUGHNESS]
        assert np.allclose(even, integral, rtol=0.03, atol=2e-3)


def test_white_paper_that_faces_the_sun_has_radiance_one_at_sixty_degrees_and_less() -> None:
    paper = [Material("paper", (1.0, 1.0, 1.0), 0.0, 1.0)]
    for angle in (0.0, 15.0, 30.0, 45.0, 60.0):
        normal = tilted(angle, np.zeros(1))
        with Renderer(facets(normal, paper), CAMERA, dark(), float32=True) as renderer:
            radiance = shading(renderer, 1)(normal[0])
        assert np.allclose(radiance, 1.0, atol=0.005), (angle, radiance)


def test_earthshine_is_the_form_factor_of_its_disc() -> None:
    """The difference of white and black, over the same under even light, is what comes of the
    disc over a cosine; here by summing over the sky, cut off by the surface's horizon."""
    angles = np.arange(0.0, 181.0, 7.5)
    down = np.array([0.0, 0.0, 1.0])
    tilt = np.radians(40.0)
    normal = np.array([[np.sin(tilt), 0.0, np.cos(tilt)]])
    pair = [Material("w", (1.0, 1.0, 1.0), 0.0, 1.0), Material("b", (0.0, 0.0, 0.0), 0.0, 1.0)]
    model = facets(normal, pair)
    cosines = (np.arange(1500) + 0.5) / 1500
    turns = 2.0 * np.pi * (np.arange(720) + 0.5) / 720
    for limb in (64.3, 30.0, 5.0):
        with Renderer(model, CAMERA, dark(earth_limb_deg=limb), float32=True) as renderer:
            shaded = shading(renderer, 2)
            white, black = np.stack(
                [shaded(-down, earth=earth, shine=1.0)[:, 0] for earth in _about(normal[0], angles)]
            ).T
        with Renderer(model, CAMERA, dark(ambient=1.0), float32=True) as renderer:
            even = shading(renderer, 2)(-down)[:, 0]
        found = (white - black) / (even[0] - even[1])
        z, turn = np.meshgrid(cosines, turns, indexing="ij")
        x = np.sqrt(1.0 - z**2) * np.cos(turn)
        for angle, share in zip(np.radians(angles), found, strict=True):
            inside = x * np.sin(angle) + z * np.cos(angle) > np.cos(np.radians(limb))
            assert abs(share - 2.0 * np.mean(z * inside)) < 1e-3


def test_the_earth_in_a_mirror_is_as_bright_as_itself_times_fresnel() -> None:
    mirror = [
        Material("gold", (1.0, 0.8, 0.3), 1.0, 0.05),
        Material("gloss", (0.0,) * 3, 0.0, 0.05),
    ]
    model = facets(tilted(30.0, np.zeros(1)), mirror)
    mirrored, down = tilted(60.0, np.zeros(1))[0], np.array([0.0, 0.0, -1.0])
    with Renderer(model, CAMERA, dark(earth_limb_deg=60.0), float32=True) as renderer:
        shaded = shading(renderer, 2)
        gold, gloss = shaded(down, earth=mirrored, shine=0.3)
        beside = shaded(down, earth=-mirrored, shine=0.3)
    assert np.allclose(gold, 0.3 * np.array([1.0, 0.8, 0.3]), rtol=0.01)
    assert np.allclose(
        gloss, 0.3 * (0.04 + 0.96 * (1.0 - np.cos(np.radians(30.0))) ** 5), rtol=0.01
    )
    assert beside.max() < 1e-3


def _about(normal: NDArray, angles_deg: NDArray) -> list[NDArray]:
    """Unit vectors at angles from a vector in the xz plane."""
    aside = np.array([normal[2], 0.0, -normal[0]])
    return [np.cos(a) * normal + np.sin(a) * aside for a in np.radians(angles_deg)]


def test_the_table_holds_the_terms_and_they_hold_energy() -> None:
    values = table().astype(np.float64)
    all_in = values[..., 0] + values[..., 1]
    assert values.shape == (32, 32, 4) and np.isfinite(values).all()
    assert all_in.max() <= 1.0 + 1e-6 and all_in.min() > 0.2
    # A smooth surface mirrors as Schlick says; at normal view a rough one as 1 - ln 2 of all.
    cosine = np.array([0.3, 0.6, 1.0])
    a, b = albedo_terms(cosine, np.full(3, 0.01))
    assert np.allclose(b, (1.0 - cosine) ** 5, atol=2e-3) and np.allclose(a + b, 1.0, atol=2e-3)
    a, b = albedo_terms(np.array([1.0]), np.array([1.0]))
    assert a + b == pytest.approx(1.0 - np.log(2.0), abs=2e-3)


# --- relief ---------------------------------------------------------------------------------------


def bumps(rms_slope: float, side: int = 128) -> tuple[NDArray, NDArray]:
    """A periodic heightfield (side, side) on a square of 1 m, metres, and its slopes (2, ...)."""
    rng = np.random.default_rng(3)
    frequency = np.fft.fftfreq(side, 1.0 / side)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    band = np.exp(-(((np.hypot(fx, fy) - 6.0) / 3.0) ** 2))
    spectrum = np.fft.fft2(rng.standard_normal((side, side))) * band
    slopes = np.stack([np.fft.ifft2(2j * np.pi * f * spectrum).real for f in (fx, fy)])
    scale = rms_slope / slopes.std()
    return np.fft.ifft2(spectrum).real * scale, slopes * scale


def cast_light(height: NDArray, slopes: NDArray, sun: NDArray) -> NDArray:
    """Radiance of a white matt heightfield seen from above: Embree's rays in a field of tiles."""
    side, tiles = len(height), 3
    n = tiles * side
    grid = np.arange(n + 1)
    z = height[np.ix_(grid % side, grid % side)]
    y, x = np.meshgrid(grid / side, grid / side, indexing="ij")
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    corner = (grid[:-1, None] * (n + 1) + grid[:-1]).ravel()
    halves = [(corner, corner + 1, corner + n + 2), (corner, corner + n + 2, corner + n + 1)]
    faces = np.concatenate([np.stack(half, axis=1) for half in halves])
    middle = slice(tiles // 2 * side, (tiles // 2 + 1) * side)
    points = np.stack([a[middle, middle] for a in (x, y, z)], axis=-1).reshape(-1, 3)
    points[:, 2] += 2e-4
    free = Witness(vertices, faces).first(points, np.broadcast_to(sun, points.shape)) < 0
    normals = np.stack([-slopes[0], -slopes[1], np.ones_like(height)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.maximum(normals @ sun, 0.0) * free.reshape(height.shape)


@pytest.mark.parametrize("rms_slope", [0.1, 0.3])
def test_bumps_of_a_normal_map_are_as_bright_as_bumps_of_geometry(rms_slope: float) -> None:
    height, slopes = bumps(rms_slope)
    normals = np.stack([-slopes[0], slopes[1], np.ones_like(height)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    image = np.clip(np.rint(normals * 127.5 + 128.0), 0, 255).astype(np.uint8)
    material = Material("bumpy", (1.0, 1.0, 1.0), 0.0, 1.0, normal_image=image)
    plate = model_of([trimesh.creation.box([4.0, 4.0, 0.1])], [material])
    camera = Camera(128, 128, 1280.0, 1280.0, 63.5, 63.5)
    with Renderer(plate, camera, dark(), float32=True) as renderer:
        for elevation in (3.0, 5.0, 15.0, 45.0):
            for azimuth in (0.0, 130.0):
                e, a = np.radians(elevation), np.radians(azimuth)
                sun = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
                pose = look(0.0, 90.0, 10.05)
                found = renderer.render(pose, pose[:3, :3] @ sun).linear[..., 0].mean()
                truth = cast_light(height, slopes, sun).mean()
                assert found <= 1.02 * np.sin(e)  # no more than falls on the plate
                assert found == pytest.approx(truth, rel=0.06)
