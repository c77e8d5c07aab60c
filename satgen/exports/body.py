"""The target's body, read from its model file: what a format wants of it beyond the dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from satgen.config import model_path
from satgen.dataset import Dataset
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.model import TargetModel
from satgen.runfolder import file_sha256


def body_of(data: Dataset) -> TargetModel:
    """The model that a dataset was rendered of, without vertices that no face uses.

    Raises:
        InputError: its file is not there, or another one.
    """
    from satgen.targets.load import load_target

    target = data.config.target
    path = model_path(target)
    if not path.is_file():
        raise InputError(f"{path}: not there; this format needs the model that was rendered")
    if file_sha256(path) != target.sha256:
        raise InputError(f"{path}: is not the model that was rendered, its SHA-256 is another")
    model = load_target(target.source, target.scale, target.up, light=False)
    used, faces = np.unique(model.faces, return_inverse=True)
    return replace(
        model,
        vertices=model.vertices[used],
        normals=model.normals[used],
        uv=model.uv[used],
        faces=faces.reshape(-1, 3).astype(np.int32),
    )


def diameter(vertices: Floats) -> float:
    """Largest distance between two of the points (V, 3)."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    try:
        points = vertices[ConvexHull(vertices).vertices]
    except QhullError:  # flat
        points = np.unique(vertices, axis=0)
    return float(pdist(points).max())


def ply_bytes(vertices: Floats, normals: NDArray[np.float32], faces: NDArray[np.int32]) -> bytes:
    """An ASCII PLY file of a mesh with normals."""
    head = (
        "ply\nformat ascii 1.0\n"
        f"element vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property float nx\nproperty float ny\nproperty float nz\n"
        f"element face {len(faces)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    rows = np.concatenate([vertices, normals.astype(np.float64)], axis=1).tolist()
    body = "".join(f"{' '.join(f'{v:.9g}' for v in row)}\n" for row in rows)
    body += "".join(f"3 {a} {b} {c}\n" for a, b, c in faces.tolist())
    return (head + body).encode("ascii")
