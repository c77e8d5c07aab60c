"""Shadow images: against rays that Embree casts at the sun, and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from satgen.camera import Camera
from satgen.dataset import SHADOW_LABELS, Dataset
from satgen.errors import InputError
from satgen.png import encode_png
from satgen.rendering.renderer import Renderer
from satgen.targets.load import load_target
from satgen.verify import verify
from tests.datasets import make, options
from tests.scenes import Witness, look, toy

LIT, ATTACHED, CAST = (SHADOW_LABELS[name] for name in ("lit", "attached", "cast"))


def by_embree(model, pose, camera, sun, depth, face):
    """Labels (H, W) from one ray to the sun from each pixel's surface point."""
    rotation = pose[:3, :3]
    eye = -rotation.T @ pose[:3, 3]
    rays = camera.rays() @ rotation
    points = eye + rays * depth[..., None]
    a, b, c = (model.vertices[model.faces[face, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal *= np.where(np.sum(normal * rays, axis=-1) > 0.0, -1.0, 1.0)[..., None]
    lifted = (points + 1e-4 * normal).reshape(-1, 3)
    witness = Witness(model.vertices, model.faces)
    hit = witness.first(lifted, np.broadcast_to(sun, lifted.shape)).reshape(depth.shape) >= 0
    labels = np.where(normal @ sun <= 0.0, ATTACHED, np.where(hit, CAST, LIT))
    return np.where(face >= 0, labels, 0)


@pytest.mark.parametrize("target", ["toy", "worldview"])
@pytest.mark.parametrize("distance", [4.0, 1.0])  # whole, and close up: in sizes of the target
def test_labels_are_what_rays_to_the_sun_say(target: str, distance: float) -> None:
    model = toy() if target == "toy" else load_target(target)
    camera = Camera.from_fov(150, 120, 30.0)
    centre, radius = model.bounding_sphere
    rng = np.random.default_rng(4)
    shares = []
    with Renderer(model, camera) as renderer:
        for azimuth, elevation in ((20.0, 35.0), (200.0, -20.0), (100.0, 70.0)):
            pose = look(azimuth, elevation, 1.1 * distance * radius, centre)
            sun = rng.standard_normal(3) + 1.5 * pose[:3, :3].T @ np.array([0.0, 0.0, -1.0])
            sun /= np.linalg.norm(sun)
            seen = renderer.render(pose, pose[:3, :3] @ sun, shadow=True)
            assert seen.shadow is not None
            ours = np.zeros((camera.height, camera.width), np.uint8)
            x, y, w, h = seen.window
            ours[y : y + h, x : x + w] = seen.shadow
            depth, face = Witness(model.vertices, model.faces).depth(pose, camera)
            truth = by_embree(model, pose, camera, sun, depth, face)
            both = (ours > 0) & (truth > 0)
            assert np.mean((ours > 0) == (truth > 0)) > 0.999
            # Away from outlines, where the two may see another surface.
            outline = np.zeros(depth.shape, bool)
            for axis in (0, 1):
                outline |= np.abs(np.gradient(face.astype(float), axis=axis)) > 0.0
            flat = both & ~binary_dilation(outline)
            assert np.mean(ours[both] == truth[both]) > 0.99
            assert np.mean(ours[flat] == truth[flat]) > (0.9995 if target == "toy" else 0.997)
            shares.append([np.mean(ours[both] == label) for label in (LIT, ATTACHED, CAST)])
    assert np.mean(shares, axis=0).min() > 0.005


def test_shadow_images_are_asked_for_read_and_verified(
    craft_path: Path, pristine: Path, tmp_path: Path
) -> None:
    folder = make(craft_path, tmp_path / "d", shadow=True)
    data, plain = Dataset(folder), Dataset(pristine)
    assert verify(folder).ok
    frame = data[3004]
    assert ((frame.shadow > 0) == frame.mask).all() and frame.shadow.max() <= CAST
    lit = np.count_nonzero(frame.shadow == LIT) / np.count_nonzero(frame.shadow)
    assert data.frames["lit"][4] == lit and 0.0 < lit < 1.0
    # Nothing else changes, and the table has its new columns last.
    ours, theirs = data.frames, plain.frames
    assert list(ours)[: len(list(theirs))] == list(theirs)
    assert list(ours)[len(list(theirs)) :] == ["lit", "shadow_sha256"]
    assert ours[list(theirs)].equals(theirs)
    with pytest.raises(InputError, match="--shadow"):
        plain.shadow(3004)
    # A pixel that says another thing is found.
    path = folder / "shadow" / "003004.png"
    spoilt = frame.shadow.copy()
    spoilt[frame.mask] = CAST
    path.write_bytes(encode_png(spoilt, labels=True))
    causes = [problem.cause for problem in verify(folder).problems]
    assert any("SHA-256" in cause for cause in causes) and any("lit " in cause for cause in causes)
    # Rendering again mends it, byte for byte.
    make(craft_path, folder, shadow=True)
    assert verify(folder).ok and (data.shadow(3004) == frame.shadow).all()
    path.unlink()
    assert "missing" in str(verify(folder).problems[0])


def test_the_pyrender_renderer_refuses_what_it_cannot_draw(craft_path: Path) -> None:
    for wish in ({"shadow": True}, {"background": "earth"}):
        with pytest.raises(InputError, match="pyrender"):
            options(craft_path, renderer="pyrender", **wish)
