"""A target as the renderer takes it: one triangle mesh, its parts, its materials.

Every target, bundled or the user's own, is brought to this form by `satgen.targets.load`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from satgen.interreflection import BakedLight

MAX_PARTS = 65535
"""Most parts of a target: labels are written as images of 8 bits, of 16 where there are more than
255 parts, and 0 is the background."""

PartLabels: TypeAlias = "NDArray[np.unsignedinteger[Any]]"
"""Labels of parts, uint8, or uint16 where a target has more than 255."""


def label_bits(count: int) -> int:
    """Bits of a part image of a target with `count` parts."""
    return 8 if count <= 255 else 16


def used_vertices(vertices: NDArray[Any], faces: NDArray[Any]) -> NDArray[Any]:
    """Those of vertices (V, …) that faces (F, 3) name, each once, in their order."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    return vertices if used.all() else vertices[used]


@dataclass(frozen=True)
class Material:
    """A metallic-roughness material (glTF 2.0, §3.9).

    Attributes:
        name: as in the file.
        base_color: linear RGB factor, 0..1.
        metallic, roughness: factors, 0..1.
        normal_scale: factor on the normal map's x and y.
        base_color_image: (H, W, 3) uint8, sRGB, or None.
        metallic_roughness_image: (H, W, 3) uint8, linear, or None; green is
            roughness, blue metallic.
        normal_image: (H, W, 3) uint8 tangent-space normal map (+y up, as glTF), or None.
        emissive: linear RGB radiance added to the reflected light.
        double_sided: whether the back faces of its triangles are drawn.
        emissive_image: (H, W, 3) uint8, sRGB, that `emissive` is multiplied with, or None.
        unlit: drawn in its base colour whatever the light.
        opacity, alpha_image: 0..1, and (H, W) uint8 or None, which make up with the vertices' the
            opacity of a point.
        cutoff: where the opacity is less nothing is drawn, seen, or shaded; 0 for nowhere.
        wrap: "repeat", "clamp" or "mirror", what is beyond the textures' edges along u and v.
        second: of "base", "packed" (metalness and roughness), "normal" and "glow" the textures that
            lie by `TargetModel.uv2`; the opacity lies with "base".
    """

    name: str
    base_color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    metallic: float = 0.0
    roughness: float = 0.6
    normal_scale: float = 1.0
    base_color_image: NDArray[np.uint8] | None = None
    metallic_roughness_image: NDArray[np.uint8] | None = None
    normal_image: NDArray[np.uint8] | None = None
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    double_sided: bool = False
    emissive_image: NDArray[np.uint8] | None = None
    unlit: bool = False
    opacity: float = 1.0
    alpha_image: NDArray[np.uint8] | None = None
    cutoff: float = 0.0
    wrap: tuple[str, str] = ("repeat", "repeat")
    second: frozenset[str] = frozenset()

    @property
    def textured(self) -> bool:
        """Whether it has any image."""
        images = (self.base_color_image, self.metallic_roughness_image, self.normal_image)
        return any(i is not None for i in (*images, self.emissive_image, self.alpha_image))


class LateMaterials(Sequence[Material]):
    """Materials that are read when one of them is first asked for: their images take long.

    Args:
        count: how many.
        textured: whether any of them has an image.
        read: gives them, raising an InputError where it cannot.
    """

    def __init__(self, count: int, textured: bool, read: Callable[[], Sequence[Material]]) -> None:
        self._count = count
        self._read = read
        self.textured = textured

    @cached_property
    def _all(self) -> tuple[Material, ...]:
        return tuple(self._read())

    def __len__(self) -> int:
        """Number of materials."""
        return self._count

    @overload
    def __getitem__(self, at: int) -> Material: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Material, ...]: ...

    def __getitem__(self, at: int | slice) -> Material | tuple[Material, ...]:
        """A material, or some."""
        return self._all[at]


@dataclass(frozen=True)
class Part:
    """A part of the target: `label` is its value in the part images, from 1."""

    label: int
    name: str
    cls: str


@dataclass(frozen=True)
class TargetModel:
    """Geometry, materials and parts of a target, in the target frame and metres.

    Attributes:
        name: short name, used for the default output folder.
        vertices: (V, 3) float64.
        normals: (V, 3) float32 unit vertex normals, outward.
        uv: (V, 2) float32 texture coordinates, v down (glTF's).
        faces: (F, 3) int32, counter-clockwise seen from outside.
        face_material: (F,) int32 index into `materials`.
        face_part: (F,) part label, of `label_bits`.
        materials, parts: as above; parts are ordered by label.
        colours: (V, 4) float32 linear RGB and opacity, 0..1, that the materials' base colours are
            multiplied with between the vertices; None where no surface has any.
        uv2: (V, 2) float32 coordinates of the textures that lie by a second set, or None.
        islands: what of its textures no surface shows has nothing to do with it.
        landmarks: name -> (x, y, z).
        card: the target's JSON card (facts, sources, frame); for a user's model what is known.
        light: how light goes between the parts, where it was baked.
        warnings: what of the model's file is not drawn as it says, a line each.
    """

    name: str
    vertices: NDArray[np.float64]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    faces: NDArray[np.int32]
    face_material: NDArray[np.int32]
    face_part: PartLabels
    materials: Sequence[Material]
    parts: tuple[Part, ...]
    landmarks: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    light: BakedLight | None = None
    warnings: tuple[str, ...] = ()
    colours: NDArray[np.float32] | None = None
    uv2: NDArray[np.float32] | None = None
    islands: bool = False

    @cached_property
    def bounding_sphere(self) -> tuple[NDArray[np.float64], float]:
        """Centre (3,) of the axis-aligned box and the radius that reaches the farthest vertex."""
        used = used_vertices(self.vertices, self.faces)
        centre = (used.min(axis=0) + used.max(axis=0)) / 2.0
        return centre, float(np.linalg.norm(used - centre, axis=1).max())

    @property
    def textured(self) -> bool:
        """Whether any material has an image."""
        if isinstance(self.materials, LateMaterials):
            return self.materials.textured
        return any(material.textured for material in self.materials)

    @cached_property
    def inertia(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Principal moments, axes and centre of mass, as `framing.principal_inertia` has them."""
        from satgen.trajectory.framing import principal_inertia

        return principal_inertia(self.vertices, self.faces)

    @property
    def extents(self) -> NDArray[np.float64]:
        """Size of the axis-aligned bounding box, (3,) float64 metres."""
        used = used_vertices(self.vertices, self.faces)
        return np.asarray(used.max(axis=0) - used.min(axis=0))
