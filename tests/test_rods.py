"""Rods thinner than a pixel: an even line of the right brightness, and the truth as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.model import Material, TargetModel
from satgen.rendering.packing import pack
from satgen.rendering.renderer import Renderer
from tests.scenes import Witness, look, model_of

DISTANCE = 20.0
SIZE = 96
CAMERA = Camera.from_fov(SIZE, SIZE, 20.0)
TOWARD_CAMERA = np.array([0.0, 0.0, -1.0])
RAYS = 8
"""Rays a pixel and axis of the reference."""


def boom(width_px: float, tilt_deg: float, nearer_m: float = 0.0) -> trimesh.Trimesh:
    """A round rod across two thirds of the image, turned in its plane."""
    pixel = DISTANCE / CAMERA.fx
    rod = trimesh.creation.cylinder(width_px * pixel / 2.0, 0.66 * SIZE * pixel, sections=16)
    rod.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2.0, [1, 0, 0]))
    rod.apply_transform(trimesh.transformations.rotation_matrix(np.radians(tilt_deg), [1, 0, 0]))
    rod.apply_translation([nearer_m, 0.0, 0.0])
    return rod


def rays(model: TargetModel, camera: Camera, times: int) -> NDArray[np.int64]:
    """The face from 0 that Embree meets along `times` rays a pixel and axis."""
    fine = Camera(
        width=times * camera.width,
        height=times * camera.height,
        fx=times * camera.fx,
        fy=times * camera.fy,
        cx=times * (camera.cx + 0.5) - 0.5,
        cy=times * (camera.cy + 0.5) - 0.5,
    )
    return Witness(model.vertices, model.faces).depth(look(0, 0, DISTANCE), fine)[1]


def image(view: object, name: str, camera: Camera) -> NDArray[np.float64]:
    """Radiance (red) or coverage of a view as a whole image."""
    x, y, w, h = view.window  # type: ignore[attr-defined]
    values = getattr(view, name)
    part = np.zeros((h, w))
    part.reshape(-1)[view.pixels] = values if values.ndim == 1 else values[:, 0]  # type: ignore[attr-defined]
    out = np.zeros((camera.height, camera.width))
    out[y : y + h, x : x + w] = part
    return out


@pytest.mark.parametrize("width_px", [0.2, 0.4, 0.65])
@pytest.mark.parametrize("tilt_deg", [1.7, 21.1, 63.3])
def test_a_thin_boom_is_an_even_line(width_px: float, tilt_deg: float) -> None:
    model = model_of([boom(width_px, tilt_deg)])
    with Renderer(model, CAMERA, float32=True) as renderer:
        view = renderer.render(look(0, 0, DISTANCE), TOWARD_CAMERA)
    seen = rays(model, CAMERA, RAYS) >= 0
    truth = seen.reshape(SIZE, RAYS, SIZE, RAYS).mean(axis=(1, 3))
    across = 0 if tilt_deg < 45.0 else 1
    ours, theirs = image(view, "coverage", CAMERA).sum(across), truth.sum(across)
    inner = np.flatnonzero(theirs)[3:-3]
    assert ours[inner].std() < 0.1 * ours[inner].mean()
    assert ours[inner].mean() == pytest.approx(theirs[inner].mean(), rel=0.03)
    shaded = image(view, "radiance", CAMERA).sum(across)[inner]
    assert shaded.std() < 0.15 * shaded.mean()


def test_depth_and_parts_are_those_of_the_pixels_centres() -> None:
    model = model_of([boom(0.6, 7.0), boom(0.3, 50.0, 0.5)])
    with Renderer(model, CAMERA) as renderer:
        pose = look(0, 0, DISTANCE)
        view, bare = renderer.render(pose, TOWARD_CAMERA), renderer.geometry(pose)
    np.testing.assert_array_equal(view.depth, bare.depth)
    np.testing.assert_array_equal(view.parts, bare.parts)
    face = rays(model, CAMERA, 1)
    x, y, w, h = view.window
    parts = np.append(model.face_part, 0)[face][y : y + h, x : x + w]
    assert np.mean(view.parts != parts) < 1e-3


def test_what_hides_a_boom_hides_all_of_it_and_it_lets_through_what_it_leaves() -> None:
    white = Material("white", base_color=(1.0, 1.0, 1.0), unlit=True)
    dark = Material("dark", base_color=(0.0, 0.0, 0.0), unlit=True)
    pixel = DISTANCE / CAMERA.fx
    board = trimesh.creation.box([0.1, 0.5 * SIZE * pixel, 0.5 * SIZE * pixel])
    for nearer in (-1.0, 1.0):
        model = model_of([board, boom(0.4, 5.0, nearer)], [white, dark])
        with Renderer(model, CAMERA, float32=True) as renderer:
            view = renderer.render(look(0, 0, DISTANCE), TOWARD_CAMERA)
        inner = slice(SIZE // 4 + 4, -SIZE // 4 - 4)
        lost = 1.0 - image(view, "radiance", CAMERA)[inner, inner]
        if nearer < 0.0:
            assert not lost.any()
        else:  # a dark line of the boom's own width
            assert lost.sum(axis=0) == pytest.approx(0.4 * 21.0 / 20.0, rel=0.05)


def test_the_same_through_a_lens() -> None:
    model = model_of([boom(0.4, 7.0)])
    bent = replace(CAMERA, distortion=(1e-9, 0.0, 0.0, 0.0, 0.0))
    pose, shown = look(0, 0, DISTANCE), []
    for camera in (CAMERA, bent):
        with Renderer(model, camera, float32=True) as renderer:
            shown.append(image(renderer.render(pose, TOWARD_CAMERA), "coverage", camera))
    assert np.mean(shown[0] != shown[1]) < 0.01
    assert shown[1].sum() == pytest.approx(shown[0].sum(), rel=0.01)


def test_rods_are_long_thin_bodies() -> None:
    packed = pack(model_of([boom(0.5, 0.0), trimesh.creation.box([1.0, 1.0, 0.001])]))
    assert len(packed.rods.width) == 1
    assert set(packed.rods.faces) == set(np.flatnonzero(packed.face_part == 1))
