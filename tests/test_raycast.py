"""satgen.raycast: the rays themselves, and what they find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from satgen import dataset as ds
from satgen.errors import InputError
from satgen.raycast import Caster, compare, sample
from satgen.verify import verify, with_deep
from tests.scenes import Witness, look, toy


def test_rays_find_depth_and_silhouette_that_are_wrong(dataset: Path, tmp_path: Path) -> None:
    data = ds.Dataset(dataset)
    good = list(compare(data, [3002, 3003, 3004]))
    assert all(a.ok and a.compared > 100 for a in good)
    path = dataset / "depth" / "003003.png"
    counts = np.asarray(Image.open(path)).copy()
    counts[counts > 0] += 12
    Image.fromarray(counts).save(path)
    path = dataset / "depth" / "003004.png"
    Image.fromarray(np.roll(np.asarray(Image.open(path)), 1, axis=1)).save(path)
    right, deeper, shifted = compare(data, [3002, 3003, 3004])
    assert right.ok
    assert not deeper.ok and deeper.silhouette == right.silhouette
    assert shifted.silhouette < 0.999


def test_rays_need_the_file_that_was_rendered(dataset: Path, tmp_path: Path) -> None:
    path = dataset / ds.DESCRIPTION
    data = json.loads(path.read_text())
    for file, words in ((str(tmp_path / "gone.glb"), "not there"), (__file__, "another")):
        data["target"]["file"] = file
        path.write_text(json.dumps(data))
        with pytest.raises(InputError, match=words):
            with_deep(verify(dataset), 2)


def test_the_caster_against_another_ray_cast() -> None:
    from satgen.camera import Camera

    model = toy()
    camera = Camera(90, 70, 200.0, 190.0, 50.2, 30.1)
    pose = look(50, 20, 9.0)
    caster = Caster(model.vertices[model.faces], model.face_part.astype(np.int64))
    depth, edge = caster.cast(pose, camera)
    truth, face = Witness(model.vertices, model.faces).depth(pose, camera)
    assert ((depth > 0) == (face >= 0)).mean() > 0.999
    both = (depth > 0) & (face >= 0) & ~edge
    assert both.sum() > 500
    assert np.abs(depth - truth)[both].max() < 1e-6


def test_a_sample_is_spread_and_repeatable() -> None:
    index = np.arange(361, 8101)
    chosen = sample(index, 20)
    assert chosen == sample(index, 20)
    assert len(set(chosen)) == 20
    assert all(361 + 387 * i <= c < 361 + 387 * (i + 1) for i, c in enumerate(chosen))
    assert sample(index[:3], 20) == [361, 362, 363]


@pytest.mark.parametrize("up", ["z", "-z", "y", "-y", "x", "-x"])
def test_rays_take_scale_and_axes_as_the_renderer_does(craft_path: Path, up: str) -> None:
    from satgen.config import TargetRef
    from satgen.raycast import load_triangles
    from satgen.runfolder import file_sha256
    from satgen.targets.load import load_target

    model = load_target(craft_path, 2.5, up)
    triangles, _ = load_triangles(
        TargetRef("craft", str(craft_path), file_sha256(craft_path), 2.5, up)
    )
    ours = model.vertices[model.faces]
    assert np.allclose(triangles.mean(axis=(0, 1)), ours.mean(axis=(0, 1)), atol=1e-5)
    assert np.allclose(triangles.min(axis=(0, 1)), ours.min(axis=(0, 1)), atol=1e-5)
