"""Small synthetic targets and the independent witnesses that the tests share."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray

from satgen.camera import Camera
from satgen.model import Material, Part, TargetModel


def model_of(
    meshes: list[trimesh.Trimesh],
    materials: list[Material] | None = None,
    name: str = "toy",
    smooth: bool = False,
) -> TargetModel:
    """A target with one part and one material a mesh; flat-shaded unless `smooth`."""
    materials = materials or [Material(f"m{i}") for i in range(len(meshes))]
    vertices, normals, faces, owner = [], [], [], []
    for i, mesh in enumerate(meshes):
        offset = sum(len(v) for v in vertices)
        if smooth:
            vertices.append(np.asarray(mesh.vertices))
            normals.append(np.asarray(mesh.vertex_normals))
            faces.append(np.asarray(mesh.faces) + offset)
        else:
            vertices.append(mesh.triangles.reshape(-1, 3))
            normals.append(np.repeat(mesh.face_normals, 3, axis=0))
            faces.append(np.arange(3 * len(mesh.faces)).reshape(-1, 3) + offset)
        owner += [i] * len(mesh.faces)
    points = np.concatenate(vertices)
    return TargetModel(
        name=name,
        vertices=points,
        normals=np.concatenate(normals).astype(np.float32),
        uv=points[:, :2].astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        face_material=np.array(owner, np.int32),
        face_part=(np.array(owner) + 1).astype(np.uint8),
        materials=tuple(materials),
        parts=tuple(Part(i + 1, f"part{i + 1}", "bus") for i in range(len(meshes))),
    )


def toy() -> TargetModel:
    """A lopsided craft: box, thin wing, ball, dish-like cone and a strut."""
    box = trimesh.creation.box([1.0, 1.2, 2.0])
    wing = trimesh.creation.box([0.8, 3.0, 0.03])
    wing.apply_translation([0.0, 2.3, 0.2])
    ball = trimesh.creation.icosphere(3, 0.4)
    ball.apply_translation([0.3, -0.2, 1.2])
    cone = trimesh.creation.cone(0.5, 0.6, sections=48)
    cone.apply_translation([0.1, -0.9, -0.2])
    strut = trimesh.creation.cylinder(0.02, 1.5, sections=12)
    strut.apply_translation([-0.4, -0.3, 1.6])
    return model_of([box, wing, ball, cone, strut])


def look(azimuth_deg: float, elevation_deg: float, distance: float, aim: NDArray | None = None):
    """A pose from textbook spherical angles, written out apart from the package."""
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    out = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    rotation = np.stack([right, np.cross(-out, right), -out])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = np.array([0.0, 0.0, distance]) - rotation @ (np.zeros(3) if aim is None else aim)
    return pose


class Witness:
    """Embree's view of a mesh: which face each ray meets first, and how far."""

    def __init__(self, vertices: NDArray, faces: NDArray) -> None:
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh

        self._faces = np.asarray(faces)
        self._vertices = np.asarray(vertices, dtype=np.float64)
        self._scene = rtcore_scene.EmbreeScene(robust=True)
        self._mesh = TriangleMesh(
            self._scene, self._vertices.astype(np.float32)[self._faces].astype(np.float32)
        )

    def first(self, origins: NDArray, directions: NDArray) -> NDArray:
        """Face index a ray, (N,) int, -1 where it meets none."""
        origins = np.ascontiguousarray(np.broadcast_to(origins, directions.shape), np.float32)
        return self._scene.run(origins, np.ascontiguousarray(directions, np.float32))

    def depth(self, pose: NDArray, camera: Camera) -> tuple[NDArray, NDArray]:
        """z (H, W) float64 and face (H, W) seen through the pixel centres; 0 and -1 for none."""
        rotation, translation = pose[:3, :3], pose[:3, 3]
        eye = -rotation.T @ translation
        rays = camera.rays().reshape(-1, 3) @ rotation
        face = self.first(eye, rays)
        corner = self._vertices[self._faces[face, 0]]
        edge1 = self._vertices[self._faces[face, 1]] - corner
        edge2 = self._vertices[self._faces[face, 2]] - corner
        normal = np.cross(edge1, edge2)
        along = np.einsum("ij,ij->i", normal, rays)
        z = np.einsum("ij,ij->i", normal, corner - eye) / np.where(along == 0.0, 1.0, along)
        shape = (camera.height, camera.width)
        return np.where(face >= 0, z, 0.0).reshape(shape), face.reshape(shape)

    def planes(self, pose: NDArray, camera: Camera, face: NDArray) -> NDArray:
        """(H, W, 3): a·u + b·v + c = 1 / z on the plane of the face that each pixel sees."""
        rotation, translation = pose[:3, :3], pose[:3, 3]
        eye = -rotation.T @ translation
        corner = self._vertices[self._faces[face, 0]]
        edge1 = self._vertices[self._faces[face, 1]] - corner
        edge2 = self._vertices[self._faces[face, 2]] - corner
        normal = np.cross(edge1, edge2)
        height = np.einsum("...i,...i->...", normal, corner - eye)
        return (normal @ rotation.T @ np.linalg.inv(camera.K)) / height[..., None]
