"""Exports, read back by the formats' own readers, or plain parsers of what is documented.

Everywhere the landmarks, projected through the exported pose and camera, must fall where the
keypoint table has them, to a thousandth of a pixel.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pycolmap
import pytest
import webdataset
from evo.tools import file_interface
from PIL import Image
from pycocotools.coco import COCO

import satgen
from satgen.dataset import Dataset
from satgen.errors import InputError
from tests.datasets import make

TOLERANCE_PX = 1e-3
LENS = (-0.2, 0.05, 2e-4, -3e-4, 0.01)
OPENCV_LENS = (*LENS[:4], 0.0)
TURNED = cv2.Rodrigues(np.array([0.02, -0.06, 0.1]))[0]
RIGHT = np.vstack([np.column_stack([TURNED, [0.4, 0.1, -0.2]]), [0, 0, 0, 1]])

Exporter = Callable[..., Path]


@pytest.fixture(scope="module")
def whole(pristine: Path) -> Dataset:
    return Dataset(pristine)


@pytest.fixture(scope="module")
def bent(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Through a lens of all five coefficients."""
    folder = tmp_path_factory.mktemp("bent") / "bent"
    return Dataset(make(craft_path, folder, stop=3002, fov=40.0, distortion=LENS))


@pytest.fixture(scope="module")
def bent_less(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Through a lens of four."""
    folder = tmp_path_factory.mktemp("less") / "less"
    return Dataset(make(craft_path, folder, stop=3002, fov=40.0, distortion=OPENCV_LENS))


@pytest.fixture(scope="module")
def deep(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Of 12 bits, grey."""
    folder = tmp_path_factory.mktemp("deep") / "deep"
    return Dataset(make(craft_path, folder, stop=3002, bit_depth=12, mono=True, curve="linear"))


@pytest.fixture(scope="module")
def grey(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("grey") / "grey"
    return Dataset(make(craft_path, folder, stop=3002, mono=True))


@pytest.fixture(scope="module")
def cut_off(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """So near that the target goes beyond the image."""
    folder = tmp_path_factory.mktemp("cut") / "cut"
    return Dataset(make(craft_path, folder, stop=3002, distance=9.0))


@pytest.fixture(scope="module")
def rigged(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    folder = tmp_path_factory.mktemp("rig")
    left = np.eye(4)
    left[0, 3] = -0.4
    cameras = [
        {"name": "left", "T_rig_cam": left.tolist()},
        {"name": "right", "T_rig_cam": RIGHT.tolist(), "fov": 30.0, "size": 80},
    ]
    (folder / "rig.json").write_text(json.dumps({"cameras": cameras}))
    common = {"start": 3000, "stop": 3003, "size": 64, "distance": 11.0}
    made = satgen.render_rig(
        craft_path, folder / "rig.json", folder / "out", workers=0, quiet=True, **common
    )
    return list(made.values())


@pytest.fixture
def export(tmp_path: Path) -> Exporter:
    """Exports into the test's folder."""

    def run(data: Any, to: str, **options: Any) -> Path:
        name = data.folder.name if isinstance(data, Dataset) else "several"
        return satgen.export(data, to, tmp_path / f"{name}-{to}", quiet=True, **options)

    return run


def projected(
    xyz: Any, K: Any, R: Any, t: Any, distortion: Any = (), half: float = 0.0
) -> np.ndarray:
    """Pixels of points by OpenCV; `half` is what the format's origin is off satgen's."""
    turn, _ = cv2.Rodrigues(np.array(R, dtype=np.float64))
    bent = np.array(distortion, dtype=np.float64) if len(distortion) else None
    uv, _ = cv2.projectPoints(
        np.array(xyz, dtype=np.float64).reshape(-1, 1, 3), turn, np.array(t, float).ravel(),
        np.array(K, dtype=np.float64), bent,
    )  # fmt: skip
    return uv[:, 0] - half


def check_landmarks(data: Dataset, index: int, uv: np.ndarray) -> None:
    """The landmarks' pixels are those of the dataset."""
    rows = data.keypoints[data.keypoints["index"] == index]
    truth = rows[["u", "v"]].to_numpy()
    assert len(uv) == len(truth) == len(data.landmarks)
    known = np.isfinite(truth[:, 0])
    assert known.any()
    assert np.abs(uv[known] - truth[known]).max() < TOLERANCE_PX


def same_image(data: Dataset, index: int, path: Path, kind: str = "rgb") -> None:
    assert path.read_bytes() == (data.folder / kind / f"{index:06d}.png").read_bytes()


def unrolled(rle: dict[str, Any]) -> np.ndarray:
    """BOP's and COCO's run lengths, by their description: column by column, zeros first."""
    values = np.repeat(np.arange(len(rle["counts"])) % 2, rle["counts"])
    return values.reshape(rle["size"], order="F").astype(bool)


# --- BOP


def read_ply(path: Path) -> np.ndarray:
    lines = path.read_text().splitlines()
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    start = lines.index("end_header") + 1
    return np.array([line.split() for line in lines[start : start + count]], dtype=np.float64)


def check_bop(data: Dataset, out: Path, split: str, index: int, name: str = "") -> dict[str, Any]:
    """One image of a scene; its entry of scene_gt_info."""
    scene = out / split / "000001"

    def entry(file: str) -> Any:
        return json.loads((scene / f"{file}{name}.json").read_text())[str(index)]

    camera, (truth,), (info,) = entry("scene_camera"), entry("scene_gt"), entry("scene_gt_info")
    K, R = (np.reshape(v, (3, 3)) for v in (camera["cam_K"], truth["cam_R_m2c"]))
    middle = json.loads((out / "models" / "models_info.json").read_text())["1"]
    points = read_ply(out / "models" / "obj_000001.ply")[:, :3]
    low, high = points.min(axis=0), points.max(axis=0)
    assert np.allclose(low + high, 0.0, atol=1e-3)
    assert np.allclose(low, [middle[f"min_{axis}"] for axis in "xyz"], atol=1e-3)
    # The model's own frame, found from the frame's: what its landmarks are relative to.
    sphere = data.description["target"]["bounding_sphere"]
    xyz = 1000.0 * (data.landmarks.xyz - np.array(sphere["centre"]))
    check_landmarks(data, index, projected(xyz, K, R, truth["cam_t_m2c"]))
    pose = np.reshape(camera["cam_R_w2c"], (3, 3)), camera["cam_t_w2c"]
    check_landmarks(data, index, projected(1000.0 * data.landmarks.xyz, K, *pose))
    picture = "gray" if data.config.sensor.mono else "rgb"
    same_image(data, index, scene / f"{picture}{name}" / f"{index:06d}.png")
    depth = np.asarray(Image.open(scene / f"depth{name}" / f"{index:06d}.png"))
    assert np.allclose(depth * camera["depth_scale"], 1000.0 * data.depth(index))
    mask = np.asarray(Image.open(scene / f"mask_visib{name}" / f"{index:06d}_000000.png"))
    assert ((mask == 255) == (data.parts(index) > 0)).all()
    rows, columns = np.nonzero(mask)
    x, y = columns.min(), rows.min()
    assert info["bbox_visib"] == [x, y, columns.max() - x, rows.max() - y]
    assert info["px_count_visib"] == len(rows)
    return dict(info)


def test_bop(whole: Dataset, export: Exporter) -> None:
    out = export(whole, "bop")
    for index in (3000, 3023):
        info = check_bop(whole, out, "train", index)
        assert info["visib_fract"] == 1.0 and info["bbox_obj"] == info["bbox_visib"]
    model = json.loads((out / "models" / "models_info.json").read_text())["1"]
    points = read_ply(out / "models" / "obj_000001.ply")[:, :3]
    widest = max(np.linalg.norm(points - point, axis=1).max() for point in points)
    assert model["diameter"] == pytest.approx(widest, rel=1e-6)
    coco = COCO(str(out / "train" / "000001" / "scene_gt_coco.json"))
    (label,) = coco.loadAnns(coco.getAnnIds(imgIds=[3005]))
    assert (coco.annToMask(label).astype(bool) == (whole.parts(3005) > 0)).all()


def test_bop_counts_what_is_beyond_the_image(cut_off: Dataset, export: Exporter) -> None:
    info = check_bop(cut_off, export(cut_off, "bop"), "train", 3001)
    x, y, w, h = info["bbox_obj"]
    assert x < 0 or y < 0 or x + w >= 72 or y + h >= 64
    assert info["px_count_visib"] < info["px_count_all"] < 9 * 72 * 64
    # The same camera in a larger image shows as many pixels.
    camera = cut_off.camera
    wide = satgen.Camera(3 * 72, 3 * 64, camera.fx, camera.fy, camera.cx + 72, camera.cy + 64)
    target = str(cut_off.config.target.file)
    frame = satgen.render_frame(target, cut_off.pose(3001), camera=wide)
    satgen.close_renderers()
    assert abs(int(frame.mask.sum()) - info["px_count_all"]) <= 0.002 * info["px_count_all"]


def test_bop_of_a_rig(rigged: list[Dataset], export: Exporter) -> None:
    out = export(rigged, "bop")
    for data, name in zip(rigged, ("_left", "_right"), strict=True):
        check_bop(data, out, "train", 3002, name)
        assert json.loads((out / f"camera{name}.json").read_text())["width"] == data.camera.width


def test_bop_of_a_grey_deep_sensor(deep: Dataset, export: Exporter) -> None:
    check_bop(deep, export(deep, "bop"), "train", 3001)


# --- SPEED


def test_speed(whole: Dataset, bent: Dataset, export: Exporter) -> None:
    for data in (whole, bent):
        out = export(data, "speed")
        camera = json.loads((out / "camera.json").read_text())
        assert camera["fx"] / camera["ppx"] == pytest.approx(data.camera.fx)
        rows = json.loads((out / "synthetic" / "train.json").read_text())
        assert len(rows) == len(data)
        for row in rows:
            index = int(row["filename"][3:9])
            w, x, y, z = row["q_vbs2tango_true"]
            # What the authors' code turns points by: the transpose of their direction cosines.
            R = np.array([
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ])  # fmt: skip
            K, bends = camera["cameraMatrix"], camera["distCoeffs"]
            uv = projected(data.landmarks.xyz, K, R, row["r_Vo2To_vbs_true"], bends)
            check_landmarks(data, index, uv)
            same_image(data, index, out / "synthetic" / "images" / row["filename"])


# --- COCO


def test_coco(whole: Dataset, deep: Dataset, bent: Dataset, export: Exporter) -> None:
    for data in (whole, deep, bent):
        out = export(data, "coco")
        coco = COCO(str(out / "annotations" / "instances.json"))
        assert coco.getImgIds() == data.indices.tolist()
        for index in data.indices.tolist():
            (label,) = coco.loadAnns(coco.getAnnIds(imgIds=[index]))
            mask = data.parts(index) > 0
            assert (coco.annToMask(label).astype(bool) == mask).all()
            assert label["area"] == mask.sum()
            assert label["bbox"] == data.frames.set_index("index").loc[
                index, ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]
            ].tolist()  # fmt: skip
            same_image(data, index, out / "images" / coco.imgs[index]["file_name"])
            points = np.reshape(label["keypoints"], (-1, 3))
            rows = data.keypoints[data.keypoints["index"] == index]
            inside = points[:, 2] > 0
            assert label["num_keypoints"] == inside.sum() > 0
            assert np.array_equal(points[:, 2] == 2, rows["visible"])
            assert np.array_equal(points[inside, :2], rows[["u", "v"]].to_numpy()[inside])
        parts = COCO(str(out / "annotations" / "parts.json"))
        index = int(data.indices[-1])
        seen = np.zeros_like(data.parts(index))
        for label in parts.loadAnns(parts.getAnnIds(imgIds=[index])):
            seen += (parts.annToMask(label) * label["category_id"]).astype(np.uint8)
        assert (seen == data.parts(index)).all()
        names = {c["id"]: c["name"] for c in parts.loadCats(parts.getCatIds())}
        assert names == data.part_names


# --- COLMAP


def check_colmap(data: Dataset, model: pycolmap.Reconstruction, image: Any, index: int) -> None:
    camera = model.cameras[image.camera_id]
    assert (camera.width, camera.height) == (data.camera.width, data.camera.height)
    xyz = data.landmarks.xyz
    seen = np.array([image.cam_from_world() * point for point in xyz])
    uv = np.array([camera.img_from_cam(point) for point in seen]) - 0.5
    check_landmarks(data, index, uv)


@pytest.mark.parametrize(
    ("kind", "model"),
    [("whole", "PINHOLE"), ("bent_less", "OPENCV"), ("bent", "FULL_OPENCV"), ("deep", "PINHOLE")],
)
def test_colmap(kind: str, model: str, export: Exporter, request: Any) -> None:
    data: Dataset = request.getfixturevalue(kind)
    out = export(data, "colmap", masks=True)
    found = pycolmap.Reconstruction(out / "sparse" / "0")
    assert found.cameras[1].model_name == model
    assert found.num_reg_images() == len(data)
    for image in found.images.values():
        index = int(image.name[:6])
        check_colmap(data, found, image, index)
        same_image(data, index, out / "images" / image.name)
    mask = np.asarray(Image.open(out / "masks" / "003001.png.png"))
    assert ((mask == 255) == (data.parts(3001) > 0)).all()
    assert len(found.points3D) > 2
    found.update_point_3d_errors()
    for point in found.points3D.values():
        assert point.error < TOLERANCE_PX
        assert point.track.length() > 1
        assert np.abs(data.landmarks.xyz - point.xyz).max(axis=1).min() < 1e-9


def test_colmap_of_a_rig(rigged: list[Dataset], export: Exporter) -> None:
    out = export(rigged, "colmap")
    found = pycolmap.Reconstruction(out / "sparse" / "0")
    assert (found.num_rigs(), found.num_frames(), found.num_images()) == (1, 4, 8)
    for image in found.images.values():
        data = rigged[0 if image.name.startswith("left/") else 1]
        index = int(image.name[-10:-4])
        check_colmap(data, found, image, index)
        same_image(data, index, out / "images" / image.name)


# --- Nerfstudio


def test_nerf(whole: Dataset, bent: Dataset, export: Exporter) -> None:
    for data in (whole, bent):
        out = export(data, "nerf", masks=True)
        meta = json.loads((out / "transforms.json").read_text())
        assert len(meta["frames"]) == len(data)
        for frame in meta["frames"]:
            index = int(Path(frame["file_path"]).stem)
            # Nerfstudio's rays: through (u + 0.5, v + 0.5), y up, looking along -z.
            pose = np.linalg.inv(np.array(frame["transform_matrix"]))
            seen = data.landmarks.xyz @ pose[:3, :3].T + pose[:3, 3]
            seen = seen * (1.0, -1.0, -1.0)
            K = [[meta["fl_x"], 0, meta["cx"]], [0, meta["fl_y"], meta["cy"]], [0, 0, 1]]
            bends = [meta[name] for name in ("k1", "k2", "p1", "p2", "k3")]
            uv = projected(seen, K, np.eye(3), np.zeros(3), bends, half=0.5)
            check_landmarks(data, index, uv)
            same_image(data, index, out / frame["file_path"])
            counts = np.asarray(Image.open(out / frame["depth_file_path"]))
            assert np.allclose(counts * meta["depth_unit_scale_factor"], data.depth(index))
            mask = np.asarray(Image.open(out / frame["mask_path"]))
            assert ((mask > 0) == (data.parts(index) > 0)).all()


# --- trajectories


def check_trajectory(data: Dataset, found: Any) -> None:
    assert found.check()[0]
    assert np.allclose(found.timestamps, data.frames["time_s"])
    for pose, index in zip(found.poses_se3, data.indices.tolist(), strict=True):
        back = np.linalg.inv(pose)
        uv = projected(
            data.landmarks.xyz, data.camera.K, back[:3, :3], back[:3, 3], data.camera.distortion
        )
        check_landmarks(data, index, uv)


def test_tum(whole: Dataset, bent: Dataset, export: Exporter) -> None:
    for data in (whole, bent):
        out = export(data, "tum") / "groundtruth.txt"
        check_trajectory(data, file_interface.read_tum_trajectory_file(out))


def test_euroc(bent_less: Dataset, rigged: list[Dataset], export: Exporter) -> None:
    import yaml

    for several in ([bent_less], rigged):
        out = export(several, "euroc", overwrite=True) / "mav0"
        truth = out / "state_groundtruth_estimate0" / "data.csv"
        found = file_interface.read_euroc_csv_trajectory(truth)
        check_trajectory(several[0], found)
        for number, data in enumerate(several):
            folder = out / f"cam{number}"
            sheet = yaml.safe_load((folder / "sensor.yaml").read_text())
            sensor = np.reshape(sheet["T_BS"]["data"], (4, 4))
            fu, fv, cu, cv = sheet["intrinsics"]
            K = [[fu, 0, cu], [0, fv, cv], [0, 0, 1]]
            rows = (folder / "data.csv").read_text().splitlines()[1:]
            for row, body, index in zip(rows, found.poses_se3, data.indices.tolist(), strict=True):
                pose = np.linalg.inv(body @ sensor)
                bends = sheet["distortion_coefficients"]
                uv = projected(data.landmarks.xyz, K, pose[:3, :3], pose[:3, 3], bends)
                check_landmarks(data, index, uv)
                same_image(data, index, folder / "data" / row.split(",")[1])


# --- WebDataset


def test_webdataset(whole: Dataset, grey: Dataset, export: Exporter) -> None:
    for data in (whole, grey):
        out = export(data, "webdataset")
        assert set(json.loads((out / "key_to_shard.json").read_text()).values()) == {0}
        shard = str(out / "shard-000000.tar")
        samples = list(webdataset.WebDataset(shard, shardshuffle=False))
        assert len(samples) == len(data)
        sphere = data.description["target"]["bounding_sphere"]
        xyz = 1000.0 * (data.landmarks.xyz - np.array(sphere["centre"]))
        for sample in samples:
            index = int(sample["__key__"].split("_")[1])
            camera, (truth,) = json.loads(sample["camera.json"]), json.loads(sample["gt.json"])
            K, R = (np.reshape(v, (3, 3)) for v in (camera["cam_K"], truth["cam_R_m2c"]))
            check_landmarks(data, index, projected(xyz, K, R, truth["cam_t_m2c"]))
            name = "gray.tiff" if data is grey else "rgb.png"
            picture = np.asarray(Image.open(io.BytesIO(sample[name])))
            assert np.array_equal(picture, data.rgb(index))
            mask = unrolled(json.loads(sample["mask_visib.json"])["0"])
            assert (mask == (data.parts(index) > 0)).all()
            depth = np.asarray(Image.open(io.BytesIO(sample["depth.png"])))
            assert np.allclose(depth * camera["depth_scale"], 1000.0 * data.depth(index))


def test_webdataset_begins_a_shard_at_a_thousand_images(
    whole: Dataset, export: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("satgen.exports.webdataset.SHARD", 10)
    out = export(whole, "webdataset")
    keys = json.loads((out / "key_to_shard.json").read_text())
    for key, shard in keys.items():
        with tarfile.open(out / f"shard-{shard:06d}.tar") as tar:
            assert f"{key}.rgb.png" in tar.getnames()
    assert sorted(set(keys.values())) == [0, 1, 2]


# --- OpenSTL


def test_openstl(whole: Dataset, export: Exporter) -> None:
    options = {"frames_in": 2, "frames_out": 1, "guard": 0.0, "size": 72}
    out = export(whole, "openstl", **options)
    # As OpenSTL's dataloader_taxibj.py does.
    arrays = np.load(out / "taxibj" / "dataset.npz")
    assert {"X_train", "Y_train", "X_val", "Y_val", "X_test", "Y_test"} <= set(arrays)
    shown, asked = (arrays["X_train"] + 1) / 2, (arrays["Y_train"] + 1) / 2
    assert shown.dtype == np.float32 and shown.shape[1:] == (2, 3, 64, 72)
    assert asked.shape[:2] == (len(shown), 1)
    frames = {data.tobytes() for data in (whole.rgb(i) for i in whole.indices.tolist())}
    for window, after in zip(shown, asked, strict=True):
        pixels = np.rint(255 * np.concatenate([window, after])).astype(np.uint8)
        pictures = [np.ascontiguousarray(np.moveaxis(p, 0, -1)).tobytes() for p in pixels]
        assert set(pictures) <= frames
        order = [whole.rgb(i).tobytes() for i in whole.indices.tolist()]
        first = order.index(pictures[0])
        assert order[first : first + 3] == pictures
    small = export(whole, "openstl", overwrite=True, **{**options, "size": 36, "grey": True})
    assert np.load(small / "taxibj" / "dataset.npz")["X_test"].shape[2:] == (1, 32, 36)
    with pytest.raises(InputError, match="no window of 20"):
        export(whole, "openstl", overwrite=True, frames_in=20, guard=0.0)


# --- TAP-Vid


def test_tapvid(whole: Dataset, bent: Dataset, export: Exporter) -> None:
    for data in (whole, bent):
        out = export(data, "tapvid", tracks=40, clip=16)
        names = sorted(path.stem for path in out.glob("*.pkl"))
        assert names[0] == f"{data.folder.name}_003000"
        frames = 0
        for name in names:
            clip = pickle.loads((out / f"{name}.pkl").read_bytes())[name]
            count = len(clip["video"])
            assert clip["points"].shape == (40, count, 2) and clip["points"].dtype == np.float32
            assert clip["occluded"].shape == (40, count) and clip["occluded"].dtype == bool
            shown = ~clip["occluded"]
            assert shown.any(axis=1).all()
            assert (clip["points"][shown] >= 0).all() and (clip["points"][shown] <= 1).all()
            for at in range(count):
                assert np.array_equal(clip["video"][at], data.rgb(3000 + frames + at))
            frames += count
        assert frames == len(data)


def test_tapvid3d(whole: Dataset, export: Exporter) -> None:
    out = export(whole, "tapvid3d", tracks=30)
    clip = np.load(out / "craft_003000.npz")
    fx, fy, cx, cy = clip["fx_fy_cx_cy"]
    tracks, shown = clip["tracks_XYZ"], clip["visibility"]
    assert tracks.shape == (24, 30, 3) and shown.shape == (24, 30)
    # The tracks are of points fixed to the target, and queries lie on them.
    world = np.linalg.inv(clip["extrinsics_w2c"])
    fixed = np.einsum("tij,tnj->tni", world[:, :3, :3], tracks) + world[:, None, :3, 3]
    assert np.ptp(fixed, axis=0).max() < 1e-9
    for number, (x, y, t) in enumerate(clip["queries_xyt"]):
        point = tracks[int(t), number]
        seen = fx * point[0] / point[2] + cx, fy * point[1] / point[2] + cy
        assert np.allclose(seen, (x, y), atol=TOLERANCE_PX)
        assert shown[int(t), number]
    K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    for at, pose in enumerate(clip["extrinsics_w2c"]):
        uv = projected(whole.landmarks.xyz, K, pose[:3, :3], pose[:3, 3], half=0.5)
        check_landmarks(whole, 3000 + at, uv)
        picture = np.asarray(Image.open(io.BytesIO(clip["images_jpeg_bytes"][at])), dtype=float)
        assert np.abs(picture - whole.rgb(3000 + at)).mean() < 2.0


# --- glue-factory


def test_glue_factory(whole: Dataset, export: Exporter) -> None:
    out = export(whole, "glue-factory", gaps=(3, 7))
    views = {}
    # As gluefactory/datasets/posed_images.py does.
    for line in (out / "views.txt").read_text().splitlines():
        name, *words = line.rstrip().split(" ")
        views[name] = words
        index = int(name[:6])
        R, t = np.array(words[:9], float).reshape(3, 3), np.array(words[9:12], float)
        assert words[12] == "PINHOLE" and [int(w) for w in words[13:15]] == [72, 64]
        fx, fy, cx, cy = map(float, words[15:])
        K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
        check_landmarks(whole, index, projected(whole.landmarks.xyz, K, R, t, half=0.5))
        same_image(whole, index, out / "images" / name)
        with h5py.File(out / "depth" / f"{name.split('.')[0]}.h5", "r") as file:
            depth = file["/depth"].__array__().astype(np.float32, copy=False)
        assert np.array_equal(depth, whole.depth(index).astype(np.float32))
    pairs = [line.split(" ") for line in (out / "view_groups.txt").read_text().splitlines()]
    assert len(pairs) == 21 + 17
    assert {int(b[:6]) - int(a[:6]) for a, b in pairs} == {3, 7}
    assert all(name in views for pair in pairs for name in pair)


# --- what a format cannot hold


@pytest.mark.parametrize(
    ("kind", "formats", "words"),
    [
        ("bent", ("bop", "webdataset", "glue-factory", "tapvid3d"), "without distortion"),
        ("bent", ("euroc",), "4 coefficients"),
        (
            "deep",
            ("speed", "nerf", "webdataset", "openstl", "tapvid", "tapvid3d", "glue-factory"),
            "12-bit images, and format",
        ),
    ],
)
def test_what_a_format_cannot_hold_exactly_is_refused(
    kind: str, formats: tuple[str, ...], words: str, tmp_path: Path, request: Any
) -> None:
    for to in formats:
        with pytest.raises(InputError, match=words):
            satgen.export(request.getfixturevalue(kind), to, tmp_path / "out", quiet=True)
    assert list(tmp_path.iterdir()) == []
