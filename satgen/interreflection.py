"""How light goes from part to part of a target: what is baked once, and how a frame reads it.

A target's surface is divided into *receivers*, patches of one part and material that face about one
way. Of each is known, from rays that were cast once (`satgen.modelling.bake`):

- which receiver, if any, lies in each of BINS² directions over it (`hits`);
- how much of the sun it sees, times the cosine, for SUNS² directions of the sun (`sunlit`).

From the first follow the form factors between receivers, how much of sky and Earth is hidden from
each, and what a mirror there shows; from both, for any sun and Earth, how much light every receiver
sends on after any number of bounces (`satgen.rendering.bounce`). Directions over a receiver are
laid out as a hemi-octahedron about its normal (Cigolle et al., JCGT 2014, §3), the sun's as an
octahedron in the target frame.

A face finds its receivers through its *nodes*: a triangular lattice of `levels` steps a side over
it, row by row along the second edge; each node names one receiver.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.model import TargetModel
from satgen.reading import read_npz

FORMAT = 1
BINS = 16
"""Directions over a receiver, along each side of the hemi-octahedron."""

SUNS = 24
"""Directions of the sun, along each side of the octahedron."""

LEAF = 4
"""Faces in a leaf of the tree of boxes, at most."""

SKY = 0
"""Value of `hits` where a direction leads into space; receivers count from 1."""


@dataclass(frozen=True)
class BakedLight:
    """What is known of the light between a target's parts, whatever the sun.

    Receiver 0 is dark: what a ray meets that got inside a closed body.

    Attributes:
        key: of the model that it was baked for (`light_key`).
        levels: (F,) uint8 steps along the sides of each face's lattice.
        nodes: (Σ (n + 1)(n + 2) / 2,) uint16 receiver of each node, face after face.
        normals: (N, 3) float32 mean unit normal of each receiver, target frame.
        albedo: (N, 3) float32 share of the light that it sends back, linear RGB.
        hits: (N, BINS, BINS) uint16 receiver plus one that lies in each direction, or SKY.
        order: (K,) uint32 the faces that mirrors show, as the tree has them.
        tree: (M, 3) uint32 boxes about them, every branch before what hangs on it: the first of its
            faces in `order`, the end of them, and the box after all that hang on it. Nothing hangs
            on a leaf, which has at most LEAF faces.
        sunlit: (SUNS, SUNS, N) uint8 mean of cosine and visibility of the sun, in 255ths.
    """

    key: str
    levels: NDArray[np.uint8]
    nodes: NDArray[np.uint16]
    normals: NDArray[np.float32]
    albedo: NDArray[np.float32]
    hits: NDArray[np.uint16]
    order: NDArray[np.uint32]
    tree: NDArray[np.uint32]
    sunlit: NDArray[np.uint8]

    @property
    def starts(self) -> NDArray[np.int64]:
        """(F,) first node of each face."""
        n = self.levels.astype(np.int64)
        return np.concatenate([[0], np.cumsum((n + 1) * (n + 2) // 2)[:-1]])


def light_key(model: TargetModel) -> str:
    """SHA-256 of what of a model has a part in its light: triangles, parts, materials.

    Of textures every 31st row is taken: no edit of a picture leaves these rows alone.
    """
    digest = hashlib.sha256(b"satgen light %d" % FORMAT)
    for array in (model.vertices, model.normals, model.faces, model.face_material, model.face_part):
        digest.update(np.ascontiguousarray(array).tobytes())
    if model.colours is not None:
        digest.update(np.ascontiguousarray(model.colours).tobytes())
    for material in model.materials:
        values = (*material.base_color, material.metallic, material.roughness)
        digest.update(repr((values, material.double_sided)).encode())
        for image in (material.base_color_image, material.metallic_roughness_image):
            digest.update(b"-" if image is None else np.ascontiguousarray(image[::31]).tobytes())
    return digest.hexdigest()


def boxes(
    light: BakedLight, corners: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high corners (M, 3) of the boxes of a light's tree.

    Args:
        light: of the model.
        corners: (F, 3, 3) of its faces, metres.
    """
    faces = corners[light.order]
    ranges = light.tree[:, :2].astype(np.int64).reshape(-1)
    # One more row, so that a range may end with the last face.
    low = np.append(faces.min(axis=1), [[np.inf] * 3], axis=0)
    high = np.append(faces.max(axis=1), [[-np.inf] * 3], axis=0)
    return np.minimum.reduceat(low, ranges)[::2], np.maximum.reduceat(high, ranges)[::2]


def triangle(n: int) -> tuple[Floats, NDArray[np.int64]]:
    """Barycentric coordinates (L, 3) of the nodes of a lattice of n steps a side, and the small
    triangles (n², 3) between them."""
    i = np.concatenate([np.arange(n + 1 - j) for j in range(n + 1)])
    j = np.concatenate([np.full(n + 1 - j, j) for j in range(n + 1)])

    def at(i: Any, j: Any) -> Any:
        return i + j * (2 * n + 3 - j) // 2

    up = i + j < n
    down = i + j < n - 1
    a, b = i[up], j[up]
    c, d = i[down], j[down]
    small = [
        np.stack([at(a, b), at(a + 1, b), at(a, b + 1)], axis=1),
        np.stack([at(c + 1, d + 1), at(c, d + 1), at(c + 1, d)], axis=1),
    ]
    bary = np.stack([n - i - j, i, j], axis=1) / n
    return bary, np.concatenate(small)


# --- directions -----------------------------------------------------------------------------------


def frames(normals: NDArray[Any]) -> NDArray[Any]:
    """(N, 3, 3) rows tangent, bitangent, normal of unit normals (N, 3), as the shader has them
    (Duff et al., JCGT 2017)."""
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2]
    sign = np.where(z >= 0.0, 1.0, -1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    tangent = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=-1)
    bitangent = np.stack([b, sign + y * y * a, -y], axis=-1)
    return np.stack([tangent, bitangent, normals], axis=1)


def hemisphere(p: Floats) -> Floats:
    """Unit vectors (…, 3) about +z of hemi-octahedral coordinates (…, 2) in -1 … 1."""
    x, y = 0.5 * (p[..., 0] + p[..., 1]), 0.5 * (p[..., 0] - p[..., 1])
    v = np.stack([x, y, 1.0 - np.abs(x) - np.abs(y)], axis=-1)
    unit: Floats = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return unit


def sphere(p: Floats) -> Floats:
    """Unit vectors (…, 3) of octahedral coordinates (…, 2) in -1 … 1."""
    x, y = p[..., 0], p[..., 1]
    z = 1.0 - np.abs(x) - np.abs(y)
    fold = np.maximum(-z, 0.0)
    v = np.stack([x - np.where(x >= 0, fold, -fold), y - np.where(y >= 0, fold, -fold), z], axis=-1)
    unit: Floats = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return unit


def cells(side: int) -> Floats:
    """(side, side, 2) middles of the cells of a square from -1 to 1."""
    at = (np.arange(side) + 0.5) * (2.0 / side) - 1.0
    return np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1)


def bin_directions() -> tuple[Floats, Floats]:
    """Mean directions (BINS², 3) about +z, not unit, and solid angles (BINS²,) of the bins."""
    finer = 16
    p = cells(BINS * finer)
    # Solid angle of an octahedral cell is 1 / |v|³ in the octahedron's coordinates, times a half.
    x, y = 0.5 * (p[..., 0] + p[..., 1]), 0.5 * (p[..., 0] - p[..., 1])
    z = 1.0 - np.abs(x) - np.abs(y)
    solid = 1.0 / (x * x + y * y + z * z) ** 1.5
    solid *= 2.0 * np.pi / solid.sum()
    shape = (BINS, finer, BINS, finer)
    weighted = (hemisphere(p) * solid[..., None]).reshape(*shape, 3).sum(axis=(1, 3))
    angle = solid.reshape(shape).sum(axis=(1, 3))
    return (weighted / angle[..., None]).reshape(-1, 3), angle.reshape(-1)


def octahedral_taps(direction: Floats, side: int) -> tuple[NDArray[np.int64], Floats]:
    """The four cells (4,) of an octahedral map, flat, about a unit vector (3,), and their weights.

    Beyond an edge of the square lies the cell that the fold brings there.
    """
    v = direction / np.abs(direction).sum()
    p = v[:2].copy()
    if v[2] < 0.0:
        p = (1.0 - np.abs(v[1::-1])) * np.where(v[:2] >= 0.0, 1.0, -1.0)
    at = (p * 0.5 + 0.5) * side - 0.5
    low = np.floor(at).astype(int)
    f = at - low
    index, weight = [], []
    for di in (0, 1):
        for dj in (0, 1):
            i, j = int(low[0]) + di, int(low[1]) + dj
            if not 0 <= i < side:
                i, j = min(max(i, 0), side - 1), side - 1 - j
            if not 0 <= j < side:
                i, j = side - 1 - i, min(max(j, 0), side - 1)
            index.append(i * side + j)
            weight.append((f[0] if di else 1.0 - f[0]) * (f[1] if dj else 1.0 - f[1]))
    return np.array(index), np.array(weight)


# --- files ----------------------------------------------------------------------------------------


def light_path(model_file: Path) -> Path:
    """The file of light beside a model's own."""
    return model_file.with_suffix(".light.npz")


def light_bytes(light: BakedLight) -> bytes:
    """The file of a baked light, the same bytes each time."""
    out = io.BytesIO()
    arrays = {f.name: getattr(light, f.name) for f in fields(light) if f.name != "key"}
    arrays["key"] = np.frombuffer(bytes.fromhex(light.key), dtype=np.uint8)
    arrays["format"] = np.array(FORMAT)
    np.savez_compressed(out, **arrays)
    return out.getvalue()


_LIGHT: dict[str, tuple[type, tuple[int | None, ...]]] = {
    "levels": (np.uint8, (None,)),
    "nodes": (np.uint16, (None,)),
    "normals": (np.float32, (None, 3)),
    "albedo": (np.float32, (None, 3)),
    "hits": (np.uint16, (None, BINS, BINS)),
    "order": (np.uint32, (None,)),
    "tree": (np.uint32, (None, 3)),
    "sunlit": (np.uint8, (SUNS, SUNS, None)),
}
"""Type and shape of a file's arrays; None for any length."""


def _fits(values: NDArray[Any], kind: type, shape: tuple[int | None, ...]) -> bool:
    """Whether an array is of a type and a shape."""
    lengths = zip(values.shape, shape, strict=False)
    alike = all(wanted in (None, length) for length, wanted in lengths)
    return values.dtype == kind and values.ndim == len(shape) and alike


def read_light(path: Path, model: TargetModel) -> BakedLight | None:
    """The light that was baked for a model, or None where there is no file.

    Raises:
        InputError: the file is damaged, or belongs to another model.
    """
    if not path.exists():
        return None
    names = [f.name for f in fields(BakedLight)]
    data = read_npz(path, [*names, "format"])
    if data.pop("format").tolist() != FORMAT:
        raise InputError(f"{path}: of another version of satgen")
    key = data.pop("key").tobytes().hex()
    light = BakedLight(key, **data)
    wrong = [name for name, (kind, shape) in _LIGHT.items() if not _fits(data[name], kind, shape)]
    if wrong:
        raise InputError(f"{path}: not a file of light, {wrong[0]} has another type or shape")
    if light.key != light_key(model):
        raise InputError(f"{path}: baked for another model than {model.name} is now")
    return light
