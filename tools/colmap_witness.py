"""COLMAP finds the poses of a satellite's frames from the images alone; do they agree with ours?

    python tools/colmap_witness.py [--target aura] [--frames 60] [--out FOLDER]

Renders the frames, of which COLMAP (pycolmap, `pip install 'pycolmap>=4'`) gets the images and the
intrinsics, and nothing else: no pose, no depth, no mask. It finds SIFT features, matches all pairs,
and reconstructs. What it finds is determined up to a similarity, so its cameras are first brought
over ours: one rotation, the mean of all (chordal), then scale and shift by Umeyama's method.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import satgen


def reconstruct(images: Path, work: Path, camera: satgen.Camera) -> Any:
    """The largest model that COLMAP makes of a folder of images."""
    import pycolmap

    pycolmap.set_random_seed(0)
    inner = f"{camera.fx},{camera.fy},{camera.cx + 0.5},{camera.cy + 0.5}"
    database = work / "database.db"
    reading = pycolmap.ImageReaderOptions(camera_model="PINHOLE", camera_params=inner)
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.use_gpu = False
    extraction.sift.peak_threshold = 0.002
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reading,
        extraction_options=extraction,
    )
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    pycolmap.match_exhaustive(database, matching_options=matching)
    options = pycolmap.IncrementalPipelineOptions()
    options.ba_refine_focal_length = False
    options.ba_refine_extra_params = False
    options.ba_refine_principal_point = False
    options.num_threads = 1
    models = pycolmap.incremental_mapping(database, images, work, options)
    if not models:
        raise SystemExit("COLMAP reconstructed nothing")
    return max(models.values(), key=lambda model: model.num_reg_images())


def compare(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """How far poses (N, 4, 4), world to camera, are apart after alignment."""
    turns = np.swapaxes(theirs[:, :3, :3], 1, 2) @ ours[:, :3, :3]  # our world to theirs
    u, _, v = np.linalg.svd(turns.sum(axis=0))
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    off = np.swapaxes(ours[:, :3, :3], 1, 2) @ theirs[:, :3, :3] @ turn
    angle = np.degrees(np.arccos(np.clip((np.trace(off, axis1=1, axis2=2) - 1.0) / 2.0, -1, 1)))
    centre_ours = -np.einsum("nij,ni->nj", ours[:, :3, :3], ours[:, :3, 3])
    centre_theirs = -np.einsum("nij,ni->nj", theirs[:, :3, :3], theirs[:, :3, 3]) @ turn
    a = centre_ours - centre_ours.mean(axis=0)
    b = centre_theirs - centre_theirs.mean(axis=0)
    scale = float((a * b).sum() / (b * b).sum())
    far = np.linalg.norm(a - scale * b, axis=1)
    distance = float(np.linalg.norm(ours[:, :3, 3], axis=1).mean())
    return {
        "rotation_rms_deg": float(np.sqrt((angle**2).mean())),
        "rotation_max_deg": float(angle.max()),
        "position_rms_m": float(np.sqrt((far**2).mean())),
        "position_rms_share": float(np.sqrt((far**2).mean())) / distance,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="aura")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--start", type=int, default=3831)
    parser.add_argument("--step", type=int, default=2)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument(
        "--sun", default="body:290,25", help="fixed to the target, so that shadows are"
    )
    parser.add_argument("--fov", type=float, default=40.0)
    parser.add_argument("--distance", type=float, default=25.0)
    parser.add_argument("--out", type=Path, help="keep the work here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = asked.out or Path(scratch)
        stop = asked.start + asked.step * (asked.frames - 1)
        data = satgen.render(
            asked.target,
            work / "data",
            start=asked.start,
            stop=stop,
            step=asked.step,
            size=asked.size,
            sun=asked.sun,
            fov=asked.fov,
            distance=asked.distance,
        )
        model = reconstruct(data.folder / "rgb", work, data.camera)
        found = {
            int(Path(image.name).stem): np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
            for image in model.images.values()
            if image.has_pose
        }
        ours = np.stack([data.pose(index) for index in found])
        figures = compare(ours, np.stack(list(found.values())))
        error = model.compute_mean_reprojection_error()
        print(
            json.dumps(
                {"frames": len(data), "posed": len(found), **figures, "reprojection_px": error},
                indent=1,
            )
        )
        if len(found) < asked.frames or figures["rotation_rms_deg"] >= 0.2:
            sys.exit(1)


if __name__ == "__main__":
    main()
