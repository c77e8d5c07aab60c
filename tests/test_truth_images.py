"""Normals and flow on disk: against the mesh, and against points projected by hand."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.rendering.renderer import Renderer
from satgen.truth_images import decode_flow, decode_normals, encode_normals
from satgen.verify import verify
from tests.datasets import make, options
from tests.scenes import Witness, look, toy
from tests.test_renderer import CAMERAS, TOWARD_CAMERA, whole

LENS = (-0.28, 0.07, 2e-4, -3e-4, 0.0)


def test_normals_are_those_of_the_triangles_that_embree_meets() -> None:
    model, camera = toy(), CAMERAS["off-centre"]
    witness = Witness(model.vertices, model.faces)
    pose = look(40, 20, 9, np.array([0.0, 0.8, 0.2]))
    with Renderer(model, camera) as renderer:
        frame = renderer.render(pose, TOWARD_CAMERA, normals=True, shadow=True)
        assert renderer.render(pose, TOWARD_CAMERA).normals is None
    normals, depth = whole(frame, "normals", camera), whole(frame, "depth", camera)
    truth, face = witness.depth(pose, camera)
    corners = model.vertices[model.faces[face]]
    expected = np.cross(
        corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    )
    expected = expected @ pose[:3, :3].T
    expected /= np.linalg.norm(expected, axis=-1, keepdims=True)
    both = (face >= 0) & (np.abs(depth - truth) < 1e-6)
    assert both.sum() > 2000
    assert np.mean(np.abs(normals - expected).max(axis=-1)[both] < 1e-9) > 0.999
    assert not normals[depth == 0].any()


def test_coding_normals_loses_next_to_nothing() -> None:
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((40, 50, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[:5] = 0.0
    normals[10, 10] = (-1.0, 0.0, 0.0)
    image = encode_normals(normals)
    assert image.dtype == np.uint16
    assert not image[:5].any()
    assert image[5:].any(axis=-1).all()
    assert np.abs(decode_normals(image) - normals).max() < 3e-5


@pytest.fixture(scope="module")
def data(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    changes = {"fov": 50.0, "distance": 6.0, "distortion": LENS, "step": 3, "stop": 3012}
    out = tmp_path_factory.mktemp("flowing") / "craft"
    return Dataset(make(craft_path, out, normals=True, flow=True, shadow=True, **changes))


def test_datasets_with_normals_and_flow_verify(data: Dataset) -> None:
    report = verify(data.folder)
    assert report.ok, report.problems
    names = ["depth", "flow_backward", "flow_forward", "normals", "parts", "rgb", "shadow"]
    assert sorted(p.name for p in data.folder.iterdir() if p.is_dir()) == names
    assert data.description["columns"][-1] == "flow_backward_sha256"


@pytest.mark.parametrize(("kind", "steps"), [("flow_forward", 3), ("flow_backward", -3)])
def test_flow_is_where_opencv_projects_the_surface(data: Dataset, kind: str, steps: int) -> None:
    frame = data[3006]
    flow = getattr(frame, kind)
    pose, camera = data.pose(3006 + steps), data.camera
    points = frame.points
    turn, _ = cv2.Rodrigues(pose[:3, :3])
    uv, _ = cv2.projectPoints(points.xyz, turn, pose[:3, 3], camera.K, np.array(camera.distortion))
    u, v = points.uv.T
    off = np.abs(flow.flow[v, u] - (uv[:, 0] - points.uv))
    assert off.max() < 1.0 / 128.0 + 1e-3  # the depth image is rounded, too
    assert np.isnan(flow.flow[frame.depth == 0]).all()
    again = data.flow(3006, 3006 + steps)
    assert np.mean(flow.visible == again.visible) > 0.97
    assert flow.visible.sum() > 0.6 * len(points)


def test_flow_reads_as_kittis(data: Dataset) -> None:
    """OpenCV's own reading of KITTI's files: 16 bits, blue first, 64 counts a pixel."""
    path = data.folder / "flow_forward" / "003003.png"
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float64)
    flow = data[3003].flow_forward
    there = image[..., 0] > 0
    assert np.array_equal(there, np.isfinite(flow.flow[..., 0]))
    assert np.array_equal((image[there][:, 2] - 2**15) / 64.0, flow.flow[there][:, 0])
    assert np.array_equal((image[there][:, 1] - 2**15) / 64.0, flow.flow[there][:, 1])


def test_forward_and_backward_flow_undo_each_other(data: Dataset) -> None:
    there = data[3003].flow_forward
    back = data[3006].flow_backward
    v, u = np.nonzero(there.visible)
    end = there.flow[v, u] + np.stack([u, v], axis=-1)
    x, y = np.rint(end).astype(int).T
    known = back.visible[y, x]
    home = end + back.flow[y, x]
    off = np.linalg.norm(home - np.stack([u, v], axis=-1), axis=-1)[known]
    assert np.median(off) < 0.1
    assert known.mean() > 0.7


def test_flow_at_the_end_goes_on_and_beyond_it_there_is_none(
    craft_path: Path, tmp_path: Path
) -> None:
    """An index has the same flow whatever range is rendered, and none where there is no pose."""
    common = {"flow": True, "step": 3}
    long = Dataset(make(craft_path, tmp_path / "long", start=8094, stop=8100, **common))
    short = Dataset(make(craft_path, tmp_path / "short", start=8094, stop=8097, **common))
    for kind in ("flow_forward", "flow_backward"):
        for index in (8094, 8097):
            name = f"{kind}/{index:06d}.png"
            assert (long.folder / name).read_bytes() == (short.folder / name).read_bytes()
    assert not np.isfinite(long[8100].flow_forward.flow).any()
    assert np.isfinite(long[8100].flow_backward.flow).any()


def test_verify_finds_normals_and_flow_that_are_wrong(data: Dataset, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(data.folder, tmp_path / "craft"))
    for kind, index in (("normals", 3003), ("flow_forward", 3006), ("flow_backward", 3009)):
        path = folder / kind / f"{index:06d}.png"
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).copy()
        image[image[..., 0] > 0, 1:] += 200
        cv2.imwrite(str(path), image)
    os.remove(folder / "normals" / "003000.png")
    causes = {(p.index, p.file.split("/")[0]) for p in verify(folder).problems}
    wanted = {(3000, "normals"), (3003, "normals"), (3006, "flow_forward"), (3009, "flow_backward")}
    assert wanted <= causes
    texts = " ".join(str(p) for p in verify(folder).problems)
    assert "do not flow as they should" in texts


def test_what_was_not_asked_for_is_not_there(pristine: Path, craft_path: Path) -> None:
    frame = Dataset(pristine)[3000]
    for name, option in (("normals", "--normals"), ("flow_forward", "--flow")):
        with pytest.raises(InputError, match=option):
            getattr(frame, name)
    with pytest.raises(InputError, match="pyrender"):
        options(craft_path, flow=True, renderer="pyrender")
    assert decode_flow(np.zeros((4, 5, 3), np.uint16)).valid.sum() == 0


def test_the_files_are_16_bit_images(data: Dataset) -> None:
    for kind in ("normals", "flow_forward"):
        image = cv2.imread(str(data.folder / kind / "003000.png"), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint16
        assert image.shape == (64, 72, 3)
    assert Image.open(data.folder / "normals" / "003000.png").size == (72, 64)
