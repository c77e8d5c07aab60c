"""The light that the parts of a target send to one another, for one sun and Earth.

Radiosity over the receivers of a `BakedLight` (Goral et al., SIGGRAPH 1984): every receiver sends
back its albedo's share of what it gets, evenly over its hemisphere. The solution is carried to the
shader as, for each receiver, what that changes against free space: the irradiance from what lies
around it less that from the sky behind, and the radiance that it sends back, for mirrors that show
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from satgen.colour import LUMA
from satgen.interreflection import (
    BINS,
    SUNS,
    BakedLight,
    bin_directions,
    cells,
    frames,
    octahedral_taps,
    sphere,
)

BOUNCES = 2
"""Times that light goes on from receiver to receiver before the last look around."""

EARTHS = 12
"""Directions of the Earth, along each side of an octahedron, between which is interpolated."""

_COSINES = np.linspace(-1.0, 1.0, 257)

TEXELS = 4
"""RGBA texels of a receiver in the shader's buffer, see `Bounce.solve`."""

_LUMINANCE = np.array(LUMA, dtype=np.float32)


@dataclass(frozen=True)
class Exchange:
    """What follows from a target's baked light for the exchange between its N receivers.

    The E entries are the blocked directions of all receivers, one receiver after the other. Sparse
    matrices are compressed by rows.

    Attributes:
        albedo, normals: (N, 3) float32 of the receivers.
        sunlit: (SUNS², N) uint8 as `BakedLight` has it.
        ways: (E, 3) float32 moments of the directions, over pi: white paper that sees radiance 1
            there has 1.
        directions: (E, 3) float32 their unit vectors, target frame.
        first: (N,) each receiver's first entry; blocked: (N,) bool whether it has any.
        to, to_columns, to_rows: values, columns and row starts of the matrix (N, N) that takes what
            receivers send to irradiances.
        around, around_columns, around_rows: likewise (3 N, N), to vectors of irradiance.
    """

    albedo: NDArray[np.float32]
    normals: NDArray[np.float32]
    sunlit: NDArray[np.uint8]
    ways: NDArray[np.float32]
    directions: NDArray[np.float32]
    first: NDArray[np.int64]
    blocked: NDArray[np.bool_]
    to: NDArray[np.float32]
    to_columns: NDArray[np.int32]
    to_rows: NDArray[np.int32]
    around: NDArray[np.float32]
    around_columns: NDArray[np.int32]
    around_rows: NDArray[np.int32]


def exchange_of(light: BakedLight) -> Exchange:
    """What follows from a target's baked light."""
    from scipy.sparse import csr_array, vstack

    n = len(light.normals)
    mean, angle = bin_directions()
    hits = light.hits.reshape(n, BINS * BINS)
    row, column = np.nonzero(hits)
    axes = frames(light.normals).astype(np.float32)
    # Moments of the blocked directions.
    moment = (mean * angle[:, None] / np.pi).astype(np.float32)[column]
    ways = np.einsum("ek,ekx->ex", moment, axes[row])
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    directions = np.einsum("ek,ekx->ex", unit.astype(np.float32)[column], axes[row])
    shape = (n, n)
    there = hits[row, column].astype(np.int64) - 1
    parts = [csr_array((ways[:, k], (row, there)), shape=shape) for k in range(3)]
    for matrix in parts:
        matrix.sum_duplicates()
        matrix.indices = matrix.indices.astype(np.int32)
        matrix.indptr = matrix.indptr.astype(np.int32)
    around = vstack(parts, format="csr")
    to = sum(
        (m.multiply(light.normals[:, k : k + 1]) for k, m in enumerate(parts)),
        start=csr_array(shape, dtype=np.float32),
    ).tocsr()
    return Exchange(
        albedo=light.albedo,
        normals=light.normals,
        sunlit=light.sunlit.reshape(SUNS * SUNS, n),
        ways=ways,
        directions=directions,
        first=np.searchsorted(row, np.arange(n)),
        blocked=np.bincount(row, minlength=n) > 0,
        to=to.data,
        to_columns=to.indices,
        to_rows=to.indptr,
        around=around.data,
        around_columns=around.indices,
        around_rows=around.indptr,
    )


class Bounce:
    """Solves the exchange of light between a target's receivers.

    Args:
        exchange: of the target.

    Attributes:
        receivers: how many there are.
    """

    def __init__(self, exchange: Exchange) -> None:
        e = exchange
        self.receivers = n = len(e.normals)
        self._exchange = e
        self._normals, self._sunlit = e.normals, e.sunlit
        self._albedo, self._faces = e.albedo.T.copy(), e.normals.T.copy()  # (3, N)
        blocked = self._per_receiver(e.ways)
        self._open_sky = 1.0 - np.einsum("ij,ij->i", e.normals, blocked)
        self._to = Product(e.to, e.to_columns, e.to_rows, n)
        self._around = Product(e.around, e.around_columns, e.around_rows, n)
        self._texels = np.zeros((n, TEXELS, 4), dtype=np.float32)
        self._texels[:, 1, :3] = e.normals
        self._cos_limb = float("nan")
        self._disc = EvenTable(np.zeros_like(_COSINES))
        self._hidden: dict[int, NDArray[np.float32]] = {}

    def _per_receiver(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sums (N, …) of values of the blocked directions (E, …)."""
        if not len(values):
            return np.zeros((self.receivers, *values.shape[1:]), dtype=np.float32)
        starts = np.minimum(self._exchange.first, len(values) - 1)
        total: NDArray[np.float32] = np.add.reduceat(values, starts, axis=0)
        total[~self._exchange.blocked] = 0.0
        return total

    def solve(
        self,
        sun: NDArray[np.float64],
        sunlight: float,
        earth: NDArray[np.float64],
        earthshine: NDArray[np.float64],
        cos_limb: float,
        ambient: float,
    ) -> NDArray[np.float32]:
        """The shader's buffer, (N * TEXELS, 4) float32, until the next call.

        Of each receiver: irradiance over pi, RGB, beyond that of free space, for a surface that
        faces as it does; its normal n; the vector d for which a surface of unit normal m gets d · m
        times the irradiance that comes from other receivers, d · n being 1; radiance sent back.

        Args:
            sun, earth: (3,) unit vectors, target frame.
            sunlight: share of the sun's light that reaches the target.
            earthshine: (3,) radiance of the Earth's disc.
            cos_limb: cosine of its angular radius.
            ambient: radiance of the whole sky.
        """
        index, weight = octahedral_taps(sun, SUNS)
        direct = weight.astype(np.float32) @ self._sunlit[index] * np.float32(sunlight / 255.0)
        hidden, disc = self._earth(earth, cos_limb)
        shine = earthshine.astype(np.float32)[:, None]
        # What the sky gives: ambient over the open hemisphere, Earth's disc where it is open.
        open_disc = disc - np.einsum("ij,ij->i", self._normals, hidden)
        first = direct + ambient * np.maximum(self._open_sky, 0.0)
        # Colour by colour from here on.
        source = self._albedo * (first + np.maximum(open_disc, 0.0) * shine)
        sent = source
        for _ in range(BOUNCES):
            sent = self._to(sent)
            sent *= self._albedo
            sent += source
        got = self._to(sent)
        got -= (disc - open_disc) * shine
        got -= np.float32(ambient) * (1.0 - self._open_sky)
        # Where from, by brightness: a normal that leans that way gets more.
        lean = self._around((_LUMINANCE @ sent)[None]).reshape(3, -1)
        level = lean[0] * self._faces[0] + lean[1] * self._faces[1] + lean[2] * self._faces[2]
        texels = self._texels
        texels[:, 0, :3] = got.T
        np.divide(lean, np.maximum(level, 1e-6), out=lean)
        texels[:, 2, :3] = np.where(level > 1e-6, lean, self._faces).T
        texels[:, 3, :3] = sent.T
        return texels.reshape(-1, 4)

    def _earth(
        self, earth: NDArray[np.float64], cos_limb: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vector irradiance (N, 3) of the part of a disc of radiance 1 that is blocked, and the
        irradiance (N,) of the whole disc in free space."""
        if cos_limb != self._cos_limb:
            self._cos_limb, self._hidden = cos_limb, {}
            self._disc = EvenTable(disc_irradiance(_COSINES, cos_limb))
        index, weight = octahedral_taps(earth, EARTHS)
        hidden = np.zeros((self.receivers, 3), dtype=np.float32)
        for k, share in zip(index.tolist(), weight.tolist(), strict=True):
            if share > 0.0:
                hidden += np.float32(share) * self._hidden_disc(k)
        return hidden, self._disc.at(self._normals @ earth).astype(np.float32)

    def _hidden_disc(self, k: int) -> NDArray[np.float32]:
        """Vector irradiance (N, 3) of what is blocked of a disc about the k-th of EARTHS²
        directions; kept."""
        if k not in self._hidden:
            earth = sphere(cells(EARTHS)).reshape(-1, 3)[k].astype(np.float32)
            width = np.float32(2.0 / BINS)
            at = self._exchange.directions @ earth
            inside = np.clip((at - np.float32(self._cos_limb)) / width + 0.5, 0.0, 1.0)
            self._hidden[k] = self._per_receiver(self._exchange.ways * inside[:, None])
        return self._hidden[k]


class Product:
    """A sparse matrix (M, N) that is multiplied with vectors.

    Its rows are kept by their number of entries: a processor foresees the ends of loops that are as
    long as the ones before.

    Args:
        values, columns, rows: of the matrix, compressed by rows.
        width: N.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        columns: NDArray[np.int32],
        rows: NDArray[np.int32],
        width: int,
    ) -> None:
        from scipy.sparse import csr_array

        order = np.argsort(np.diff(rows), kind="stable")
        self._matrix = csr_array((values, columns, rows), shape=(len(order), width))[order]
        self._rank = np.empty_like(order)
        self._rank[order] = np.arange(len(order))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Products (K, M) with K vectors, (K, N)."""
        products = np.empty((len(vectors), len(self._rank)), dtype=np.float32)
        for vector, product in zip(vectors, products, strict=True):
            np.take(self._matrix @ vector, self._rank, out=product, mode="clip")
        return products


class EvenTable:
    """Values at even steps from -1 to 1, to look up between them.

    Args:
        values: (N,) of them.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._steps = len(values) - 1
        self._slope = np.diff(values) * (self._steps / 2.0)
        self._zero = values[:-1] - self._slope * np.linspace(-1.0, 1.0, len(values))[:-1]

    def at(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at places (K,) from -1 to 1, by rounding beyond."""
        step = ((places + 1.0) * (self._steps / 2.0)).astype(np.intp)
        np.clip(step, 0, self._steps - 1, out=step)
        return np.asarray(np.take(self._slope, step) * places + np.take(self._zero, step))


def disc_irradiance(cosine: NDArray[np.float64], cos_limb: float) -> NDArray[np.float64]:
    """Irradiance over pi of surfaces by a disc of radiance 1.

    Args:
        cosine: (N,) between each surface's normal and the disc's middle.
        cos_limb: cosine of the disc's angular radius, up to a right angle.

    The disc above the horizon gives cosine · sin²(radius); one that the horizon cuts is integrated
    over rings about its middle.
    """
    polar = np.arccos(np.clip(cos_limb, 0.0, 1.0)) * (np.arange(64) + 0.5) / 64.0
    step = polar[0] * 2.0
    sine = np.sqrt(1.0 - cosine**2)[:, None]
    a, b = np.cos(polar) * cosine[:, None], np.sin(polar) * sine
    # Mean over a ring of max(a + b cos φ, 0): in closed form.
    half = np.arccos(np.clip(-a / np.maximum(b, 1e-12), -1.0, 1.0))
    ring = (a * half + b * np.sin(half)) / np.pi
    total: NDArray[np.float64] = (2.0 * np.sin(polar) * step * ring).sum(axis=1)
    return total
