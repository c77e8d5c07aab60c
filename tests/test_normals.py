"""satgen.targets.normals against its definition, each corner with each."""

from __future__ import annotations

import numpy as np
import pytest

from satgen.targets.normals import crease_normals


def by_definition(vertices: np.ndarray, faces: np.ndarray, degrees: float) -> np.ndarray:
    """Normals (F, 3, 3) of the corners, by comparing each with each."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = cross / np.linalg.norm(cross, axis=1, keepdims=True)
    out = np.empty((*faces.shape, 3))
    for f, face in enumerate(faces):
        for k, vertex in enumerate(face):
            total = np.zeros(3)
            for g, other in enumerate(faces):
                for j in np.flatnonzero((np.abs(vertices[other] - vertices[vertex]) < 1e-9).all(1)):
                    if flat[f] @ flat[g] < np.cos(np.radians(degrees)):
                        continue
                    a = corners[g, (j + 1) % 3] - corners[g, j]
                    b = corners[g, (j + 2) % 3] - corners[g, j]
                    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                    total += np.arccos(np.clip(cosine, -1, 1)) * flat[g]
            out[f, k] = total / np.linalg.norm(total)
    return out


def bowl(n: int, bend: float) -> tuple[np.ndarray, np.ndarray]:
    """A sheet of n × n squares, bent, with a fold."""
    x, y = np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0))
    z = bend * (x**2 + 0.7 * y**2) + 0.8 * np.abs(x - 2)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    a = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).reshape(-1)
    squares = np.stack([a, a + 1, a + n + 2, a, a + n + 2, a + n + 1], axis=1)
    return vertices, squares.reshape(-1, 3).astype(np.int32)


@pytest.mark.parametrize("bend", [0.0, 0.02, 0.3])
def test_normals_are_as_defined(bend: float) -> None:
    vertices, faces = bowl(4, bend)
    expected = by_definition(vertices, faces, 30.0)
    for split in (False, True):
        if split:  # as in a file that shares no vertices
            vertices, faces = vertices[faces].reshape(-1, 3), np.arange(faces.size, dtype=np.int32)
            faces = faces.reshape(-1, 3)
        source, new, normals = crease_normals(vertices, faces)
        assert np.allclose(normals[new], expected, atol=1e-7)
        assert np.array_equal(vertices[source][new], vertices[faces])


def cone(count: int, height: float) -> tuple[np.ndarray, np.ndarray]:
    """An open cone of `count` faces around its tip."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], axis=1)
    k = np.arange(count)
    faces = np.stack([np.full(count, count), k, (k + 1) % count], axis=1).astype(np.int32)
    return np.concatenate([ring, [[0.0, 0.0, height]]]), faces


def test_faces_around_one_vertex_are_smooth_however_many() -> None:
    tips = []
    for count in (128, 129, 40_000):
        vertices, faces = cone(count, 1.0)
        _, new, normals = crease_normals(vertices, faces)
        tips.append(normals[new[0, 0]])
        flat = np.cross(vertices[0] - vertices[-1], vertices[1] - vertices[0])
        flat /= np.linalg.norm(flat)
        # symmetric about the face's own direction
        assert tips[-1] @ flat == pytest.approx(tips[0] @ flat, abs=0.02)
        assert np.allclose(np.linalg.norm(normals, axis=1), 1.0)


def test_a_fan_of_forty_thousand_is_flat() -> None:
    vertices, faces = cone(40_000, 0.0)
    source, _, normals = crease_normals(vertices, faces)
    assert len(source) == len(vertices)
    assert np.allclose(normals, [0.0, 0.0, 1.0])
