"""Putting a target together: parts with classes, landmarks, and the facts its card cites."""

from __future__ import annotations

import fnmatch
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from satgen.modelling.materials import MATERIALS, Surface
from satgen.modelling.shapes import CELLS_PER_TILE, Shape, join

Array = NDArray[np.float64]

CLASSES = (
    "bus",
    "solar_array",
    "antenna",
    "instrument",
    "radiator",
    "thruster",
    "sensor",
    "boom",
    "structure",
)
"""Classes that a part may have. A blanket belongs to the class of what it covers."""

MAX_LABEL = 254
MIN_PARTS, MIN_LANDMARKS, MIN_TRIANGLES, MAX_TRIANGLES = 40, 16, 10_000, 80_000


@dataclass(frozen=True)
class Primitive:
    """The triangles of one part in one material; uv are in texture units, v up.

    Attributes:
        material: name in MATERIALS.
        shape: vertices, faces, normals and uv (`uv_unit` is set).
    """

    material: str
    shape: Shape


@dataclass
class PartBuilder:
    """A part under construction; made by `Assembly.part`."""

    label: int
    name: str
    cls: str
    surfaces: Mapping[str, Surface] = field(default_factory=lambda: MATERIALS)
    pieces: list[tuple[str, Shape]] = field(default_factory=list)

    def add(self, shape: Shape, material: str, uv_seed: int | str | None = None) -> PartBuilder:
        """Add a shape in a named material; returns the part, so that calls chain.

        The texture is shifted (and turned, where the material allows it) per piece of connected
        surface, drawn from the part's name and the number of the shape, or from `uv_seed`.
        """
        if material not in self.surfaces:
            raise ValueError(f"unknown material {material!r}: one of {', '.join(self.surfaces)}")
        seed = f"{self.name}/{len(self.pieces)}" if uv_seed is None else f"seed/{uv_seed}"
        self.pieces.append((material, _textured(shape, self.surfaces[material], seed)))
        return self

    def primitives(self) -> list[Primitive]:
        """One primitive a material, in order of first use."""
        names = list(dict.fromkeys(material for material, _ in self.pieces))
        return [Primitive(n, join(*(s for m, s in self.pieces if m == n))) for n in names]

    @property
    def triangles(self) -> int:
        """Triangles in all its shapes."""
        return sum(s.triangles for _, s in self.pieces)

    @property
    def bounds(self) -> Array:
        """(2, 3) lowest and highest corner."""
        b = np.stack([s.bounds for _, s in self.pieces])
        return np.stack([b[:, 0].min(axis=0), b[:, 1].max(axis=0)])


@dataclass
class Assembly:
    """A target: parts in the order of their labels, landmarks, facts.

    Attributes:
        name: short name, as the command line takes it.
        title: for people.
        frame: what the axes and the origin are.
        facts: name -> {"value", "unit", "source", "note" (optional), "measure" (optional)}. A
            "measure" ties the figure to the mesh: "extent_x" (or y, z) of everything, or
            "extent_x:PATTERN,PATTERN" of the parts whose names match; "extent_(X,Y,Z)" is along a
            direction of the target frame, and " plus 0.25" at the end adds metres that the mesh
            does not show. The card then states the measured figure and the difference in per cent.
        surfaces: the materials that its parts may be of, by name.
    """

    name: str
    title: str = ""
    frame: str = ""
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    surfaces: Mapping[str, Surface] = field(default_factory=lambda: MATERIALS)
    parts: list[PartBuilder] = field(default_factory=list)
    landmarks: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def part(self, name: str, cls: str) -> PartBuilder:
        """A new part; its label is one more than the last part's."""
        if cls not in CLASSES:
            raise ValueError(f"part {name!r}: class {cls!r} is not one of {', '.join(CLASSES)}")
        if any(p.name == name for p in self.parts):
            raise ValueError(f"two parts are named {name!r}")
        if len(self.parts) >= MAX_LABEL:
            raise ValueError(f"more than {MAX_LABEL} parts")
        self.parts.append(PartBuilder(len(self.parts) + 1, name, cls, self.surfaces))
        return self.parts[-1]

    def landmark(self, name: str, xyz: ArrayLike) -> None:
        """A named point of the surface, (3,) metres in the target frame."""
        if name in self.landmarks:
            raise ValueError(f"two landmarks are named {name!r}")
        x, y, z = (float(v) for v in np.asarray(xyz, dtype=float))
        if not all(math.isfinite(v) for v in (x, y, z)):
            raise ValueError(f"landmark {name!r} is not finite")
        self.landmarks[name] = (x, y, z)

    @property
    def triangles(self) -> int:
        """Triangles in all parts."""
        return sum(p.triangles for p in self.parts)

    @property
    def bounds(self) -> Array:
        """(2, 3) lowest and highest corner of everything."""
        b = np.stack([p.bounds for p in self.parts])
        return np.stack([b[:, 0].min(axis=0), b[:, 1].max(axis=0)])

    def measure(self, what: str) -> float:
        """Evaluate a fact's "measure" (see the class), metres."""
        grammar = r"extent_(x|y|z|\([^()]*\))(?::(.*?))?(?: plus ([0-9.]+))?"
        found = re.fullmatch(grammar, what)
        if found is None:
            raise ValueError(
                f"unknown measure {what!r}: extent_x, extent_y, extent_z or extent_(X,Y,Z), then "
                "':PATTERN,...' of parts, then ' plus METRES'"
            )
        direction, patterns, more = found.groups()
        wanted = [p.strip() for p in patterns.split(",")] if patterns else ["*"]
        chosen = [p for p in self.parts if any(fnmatch.fnmatchcase(p.name, w) for w in wanted)]
        if not chosen:
            raise ValueError(f"measure {what!r} matches no part")
        if direction in "xyz":
            way = np.eye(3)["xyz".index(direction)]
        else:
            way = np.array([float(v) for v in direction.strip("()").split(",")])
            way = way / np.linalg.norm(way)
        along = np.concatenate([s.vertices @ way for p in chosen for _, s in p.pieces])
        return float(along.max() - along.min()) + float(more or 0.0)

    def problems(self, strict: bool = True) -> list[str]:
        """What is wrong with it, one line each; `strict` includes the targets' minimum counts."""
        out: list[str] = []
        for p in self.parts:
            if not p.pieces:
                out.append(f"part {p.name!r} has no shape")
            for k, (material, shape) in enumerate(p.pieces):
                out += [f"part {p.name!r}, shape {k} ({material}): {t}" for t in _defects(shape)]
        for name, fact in self.facts.items():
            missing = {"value", "unit", "source"} - set(fact)
            if missing:
                out.append(f"fact {name!r} lacks {', '.join(sorted(missing))}")
        if strict:
            if len(self.parts) < MIN_PARTS:
                out.append(f"{len(self.parts)} parts, fewer than {MIN_PARTS}")
            if not MIN_TRIANGLES <= self.triangles <= MAX_TRIANGLES:
                out.append(f"{self.triangles} triangles, not {MIN_TRIANGLES} to {MAX_TRIANGLES}")
            if len(self.landmarks) < MIN_LANDMARKS:
                out.append(f"{len(self.landmarks)} landmarks, fewer than {MIN_LANDMARKS}")
            for name, xyz in self.landmarks.items():
                distance = self.surface_distance(xyz)
                if distance > 0.02:
                    out.append(f"landmark {name!r} is {distance:.3f} m off every surface")
            for name, fact in self.facts.items():
                if "measure" in fact:
                    got, want = self.measure(str(fact["measure"])), float(fact["value"])
                    if abs(got / want - 1.0) > 0.05:
                        out.append(f"fact {name!r}: {got:.3f} m is over 5 % from {want}")
        return out

    def check(self, strict: bool = True) -> None:
        """Raise ValueError with every problem."""
        found = self.problems(strict)
        if found:
            raise ValueError(f"target {self.name}: " + "; ".join(found))

    def surface_distance(self, xyz: ArrayLike) -> float:
        """Distance of a point (3,) from the nearest triangle, metres."""
        point = np.asarray(xyz, dtype=float)
        best = math.inf
        for p in self.parts:
            low, high = p.bounds
            if np.linalg.norm(np.maximum(0.0, np.maximum(low - point, point - high))) > best:
                continue
            for _, shape in p.pieces:
                best = min(best, _distance_to_triangles(point, shape.vertices[shape.faces]))
        return best


def _rng(seed: str) -> np.random.Generator:
    digest = hashlib.sha256(seed.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))


def _textured(shape: Shape, surface: Surface, seed: str) -> Shape:
    """The shape with uv in texture units, shifted per connected piece of surface."""
    uv = shape.uv if shape.uv_unit else shape.uv / surface.tile_m
    if surface.jitter != "none" and not (shape.uv_unit and surface.jitter != "grid"):
        piece = connected_pieces(len(shape.vertices), shape.faces)
        rng = _rng(seed)
        count = int(piece.max()) + 1
        if surface.jitter == "grid":
            uv = uv + (rng.integers(0, CELLS_PER_TILE, (count, 2)) / CELLS_PER_TILE)[piece]
        else:
            turn = rng.uniform(0.0, 2.0 * math.pi, count)
            if surface.jitter == "quarter":
                turn = np.floor(turn / (0.5 * math.pi)) * (0.5 * math.pi)
            shift = rng.uniform(0.0, 1.0, (count, 2))
            trim = np.zeros(count, dtype=bool)
            if surface.tape_v is not None:
                trim[piece[shape.trimmed]] = True
                size = _spans(uv, piece, count)
                size = size[:, 1] - size[:, 0]
                turn[trim] = np.where(size[trim, 0] < size[trim, 1], 0.5 * math.pi, 0.0)
            c, s = np.cos(turn)[piece], np.sin(turn)[piece]
            uv = np.stack([c * uv[:, 0] - s * uv[:, 1], s * uv[:, 0] + c * uv[:, 1]], axis=-1)
            if surface.tape_v is not None:
                low, high = _spans(uv, piece, count).transpose(1, 0, 2)[..., 1]
                shift[:, 1] = _beside_tape(low, high, shift[:, 1], trim, surface.tape_v)
            uv = uv + shift[piece]
    return replace(shape, uv=np.asarray(uv), uv_unit=True)


def _spans(uv: Array, piece: NDArray[np.int64], count: int) -> Array:
    """(count, 2, 2) least and greatest uv of every piece."""
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, piece, uv)
    np.maximum.at(high, piece, uv)
    return np.stack([low, high], axis=1)


def _beside_tape(
    low: Array, high: Array, chance: Array, trim: NDArray[np.bool_], tape: tuple[float, float]
) -> Array:
    """Shifts (P,) of v that put trim on the texture's tape and, where it fits, the rest off it.

    Args:
        low, high: (P,) least and greatest v of every piece.
        chance: (P,) 0..1, which of the places that are left.
        trim: (P,) bool.
        tape: v from and to.
    """
    room = 1.0 - (tape[1] - tape[0]) - (high - low)
    beside = tape[1] + chance * np.maximum(room, 0.0) - low
    free = np.where(room > 0.0, beside, chance)
    return np.where(trim, 0.5 * (tape[0] + tape[1]) - 0.5 * (low + high), free)


def connected_pieces(n: int, faces: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number (n,) of the piece that each vertex belongs to: pieces share no vertex index."""
    label = np.arange(n)
    f = faces.astype(np.int64)
    while True:
        low = label[f].min(axis=1)
        new = label.copy()
        for k in range(3):
            np.minimum.at(new, f[:, k], low)
        new = new[new]
        if np.array_equal(new, label):
            break
        label = new
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def _defects(shape: Shape) -> list[str]:
    """Degenerate triangles, normals against the winding, numbers that are not finite."""
    for name, value in (("vertices", shape.vertices), ("normals", shape.normals), ("uv", shape.uv)):
        if not np.all(np.isfinite(value)):
            return [f"{name} not finite"]
    tri = shape.vertices[shape.faces]
    cross = np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0])
    area = np.linalg.norm(cross, axis=1)
    out = []
    thin = int(np.sum(area < 2e-9))
    if thin:
        out.append(f"{thin} degenerate triangles")
    facing = np.einsum("fi,fki->fk", cross, shape.normals[shape.faces])
    against = int(np.sum(facing[area >= 2e-9] <= 0))
    if against:
        out.append(f"{against} normals against the winding")
    return out


def _distance_to_triangles(p: Array, tri: Array) -> float:
    """Distance from p (3,) to the nearest of triangles (T, 3, 3)."""
    a, b, c = tri[:, 0], tri[:, 1], tri[:, 2]
    n = np.cross(b - a, c - a)
    n = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-30)
    height = np.sum((p - a) * n, axis=1)
    foot = p - height[:, None] * n
    inside = np.ones(len(tri), dtype=bool)
    nearest = np.full(len(tri), np.inf)
    for s, e in ((a, b), (b, c), (c, a)):
        d = e - s
        inside &= np.sum(np.cross(d, foot - s) * n, axis=1) >= 0
        t = np.clip(np.sum((p - s) * d, axis=1) / np.maximum(np.sum(d * d, axis=1), 1e-30), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(p - s - t[:, None] * d, axis=1))
    return float(np.where(inside, np.abs(height), nearest).min())
