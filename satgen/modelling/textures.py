"""Procedural textures of spacecraft surfaces, NumPy only, the same bytes each time.

Every function draws a square tile that wraps without a seam on all four sides. Arrays are indexed
[row, column], row 0 at the top, as in an image file. Heights are metres; a normal map stores the
unit normal of the height field with x to the right and y up the image (glTF 2.0, §3.9.3).
Random numbers come from PCG64 seeded per call; nothing is drawn from a shared stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


def generator(*seed: int) -> np.random.Generator:
    """A random generator of its own for these numbers."""
    return np.random.Generator(np.random.PCG64(list(seed)))


# --- building blocks ----------------------------------------------------------------------------


def pixel_grid(n: int) -> tuple[Array, Array]:
    """x to the right and y down of pixel centres, both (n, n), 0..1."""
    t = (np.arange(n) + 0.5) / n
    x, y = np.meshgrid(t, t)
    return x, y


def value_noise(n: int, cells: int | tuple[int, int], seed: int) -> Array:
    """Smooth noise (n, n) in -1..1 with `cells` lattice cells along x (and y), periodic."""
    cx, cy = (cells, cells) if isinstance(cells, int) else cells
    lattice = generator(seed, cx, cy, 11).uniform(-1.0, 1.0, (cy, cx))
    t = (np.arange(n) + 0.5) / n

    def axis(count: int) -> tuple[NDArray[np.int64], Array]:
        p = t * count
        i = np.floor(p).astype(np.int64)
        f = p - i
        return i % count, f * f * f * (f * (f * 6.0 - 15.0) + 10.0)

    ix, fx = axis(cx)
    iy, fy = axis(cy)
    row0, row1 = lattice[iy], lattice[(iy + 1) % cy]
    rows = row0 + (row1 - row0) * fy[:, None]
    left, right = rows[:, ix], rows[:, (ix + 1) % cx]
    return np.asarray(left + (right - left) * fx[None, :])


def fbm(n: int, cells: int, octaves: int, seed: int, gain: float = 0.5) -> Array:
    """`octaves` of value noise, each twice as fine and `gain` times as strong; within -1..1."""
    out = np.zeros((n, n))
    weight = 1.0
    total = 0.0
    for k in range(octaves):
        out += weight * value_noise(n, cells * 2**k, seed + 101 * k)
        total += weight
        weight *= gain
    return out / total


def sample(image: Array, x: Array, y: Array) -> Array:
    """Bilinear look-up of a tile (n, n) at x, y in tile units, wrapping."""
    n = image.shape[0]
    px, py = x * n - 0.5, y * n - 0.5
    ix, iy = np.floor(px).astype(np.int64), np.floor(py).astype(np.int64)
    fx, fy = px - ix, py - iy
    ix, iy = ix % n, iy % n
    jx, jy = (ix + 1) % n, (iy + 1) % n
    top = image[iy, ix] * (1 - fx) + image[iy, jx] * fx
    low = image[jy, ix] * (1 - fx) + image[jy, jx] * fx
    return np.asarray(top * (1 - fy) + low * fy)


def blur(image: Array, radius: int) -> Array:
    """Box blur of (2·radius + 1) pixels each way, twice, wrapping."""
    out = image
    for _ in range(2):
        for axis in (0, 1):
            total = np.zeros_like(out)
            for k in range(-radius, radius + 1):
                total += np.roll(out, k, axis=axis)
            out = total / (2 * radius + 1)
    return out


def facets(n: int, cells: int, seed: int, jitter: float = 0.42) -> Array:
    """A crumpled sheet (n, n): heights -1..1 at random points, flat triangles between them.

    The triangles come from a jittered lattice of `cells` by `cells`, each quadrilateral split along
    a diagonal that keeps both halves upright.
    """
    rng = generator(seed, cells, 23)
    at = rng.uniform(-jitter, jitter, (cells, cells, 2))
    height = rng.uniform(-1.0, 1.0, (cells, cells))
    coin = rng.random((cells, cells)) < 0.5
    out = np.zeros((n, n))

    def node(i: int, j: int) -> tuple[float, float, float]:
        a, b = i % cells, j % cells
        return (
            (i + 0.5 + at[a, b, 0]) / cells * n,
            (j + 0.5 + at[a, b, 1]) / cells * n,
            float(height[a, b]),
        )

    for j in range(cells):
        for i in range(cells):
            q = (node(i, j), node(i + 1, j), node(i + 1, j + 1), node(i, j + 1))
            first = ((q[0], q[1], q[2]), (q[0], q[2], q[3]))
            second = ((q[0], q[1], q[3]), (q[1], q[2], q[3]))
            choice = (first, second) if coin[j, i] else (second, first)
            upright = min(_double_area(*t) for t in choice[0]) > 0
            for triangle in choice[0] if upright else choice[1]:
                _fill(out, *triangle)
    return out


Corner = tuple[float, float, float]


def _double_area(a: Corner, b: Corner, c: Corner) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _fill(out: Array, a: Corner, b: Corner, c: Corner) -> None:
    """Draw one triangle with linearly interpolated height into a wrapping tile."""
    n = out.shape[0]
    area = _double_area(a, b, c)
    if area <= 1e-9:
        return
    x = np.arange(math.floor(min(a[0], b[0], c[0])), math.ceil(max(a[0], b[0], c[0])) + 1)
    y = np.arange(math.floor(min(a[1], b[1], c[1])), math.ceil(max(a[1], b[1], c[1])) + 1)
    px, py = (x + 0.5)[None, :], (y + 0.5)[:, None]
    wa = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) / area
    wb = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) / area
    wc = 1.0 - wa - wb
    inside = (wa >= -1e-9) & (wb >= -1e-9) & (wc >= -1e-9)
    rows, columns = np.nonzero(inside)
    value = wa * a[2] + wb * b[2] + wc * c[2]
    out[y[rows] % n, x[columns] % n] = value[rows, columns]


def creases(
    n: int, count: int, seed: int, length: tuple[float, float], width: tuple[float, float]
) -> Array:
    """Sharp folds (n, n): `count` straight ridges or valleys of height -1..1, tapered at the ends.

    `length` and `width`: range in tile units (a fold's length below 0.7).
    """
    rng = generator(seed, count, 31)
    out = np.zeros((n, n))
    for _ in range(count):
        cx, cy = rng.random(2)
        angle = rng.uniform(0.0, math.pi)
        half, w = 0.5 * rng.uniform(*length), rng.uniform(*width)
        strength = rng.choice([-1.0, 1.0]) * rng.uniform(0.4, 1.0)
        bend = rng.uniform(-0.15, 0.15)
        reach = half + w
        m = min(math.ceil(reach * n), n // 2 - 1)
        offset = np.arange(-m, m + 1)
        dx = ((offset + 0.5) / n)[None, :]
        dy = ((offset + 0.5) / n)[:, None]
        c, s = math.cos(angle), math.sin(angle)
        along = c * dx + s * dy
        across = c * dy - s * dx - bend * (along**2 / max(half, 1e-6) - half)
        end = np.clip(1.0 - np.abs(along) / half, 0.0, 1.0)
        ridge = np.clip(1.0 - np.abs(across) / (w * (0.25 + 0.75 * end)), 0.0, 1.0)
        rows = (offset + math.floor(cy * n)) % n
        columns = (offset + math.floor(cx * n)) % n
        out[np.ix_(rows, columns)] += strength * ridge * np.sqrt(end)
    return out


def band(t: Array, at: float, width: float, soft: float) -> Array:
    """1 within `width` of `at` along the wrapping coordinate t, 0 outside, with `soft` edges."""
    d = np.abs((t - at + 0.5) % 1.0 - 0.5)
    return np.clip((0.5 * width - d) / soft + 0.5, 0.0, 1.0)


def dots(n: int, centres: ArrayLike, radius: float, soft: float) -> Array:
    """1 inside discs of `radius` around `centres` (k, 2) in tile units, 0 outside, wrapping."""
    out = np.zeros((n, n))
    m = min(math.ceil((radius + soft) * n) + 1, n // 2 - 1)
    offset = np.arange(-m, m + 1)
    for cx, cy in np.asarray(centres, dtype=float):
        ix, iy = math.floor(cx * n), math.floor(cy * n)
        dx = ((ix + offset + 0.5) / n - cx)[None, :]
        dy = ((iy + offset + 0.5) / n - cy)[:, None]
        disc = np.clip((radius - np.hypot(dx, dy)) / soft + 0.5, 0.0, 1.0)
        where = np.ix_((iy + offset) % n, (ix + offset) % n)
        out[where] = np.maximum(out[where], disc)
    return out


def to_bytes(value: Array) -> Image:
    """0..1 to 0..255, rounded."""
    return np.round(np.clip(value, 0.0, 1.0) * 255.0).astype(np.uint8)


def slopes(height: Array, tile_m: float) -> tuple[Array, Array]:
    """Slope to the right and up the image of a height field in metres."""
    step = 2.0 * tile_m / height.shape[0]
    right = (np.roll(height, -1, axis=1) - np.roll(height, 1, axis=1)) / step
    up = (np.roll(height, 1, axis=0) - np.roll(height, -1, axis=0)) / step
    return right, up


def _limit(right: Array, up: Array, most: float) -> tuple[Array, Array]:
    """Slopes bent smoothly below `most`."""
    factor = 1.0 / np.sqrt(1.0 + (right**2 + up**2) / most**2)
    return right * factor, up * factor


def normal_map(right: Array, up: Array) -> Image:
    """Normal map (n, n, 3) of slopes to the right and up the image."""
    length = np.sqrt(right**2 + up**2 + 1.0)
    return to_bytes(np.stack([-right / length, -up / length, 1.0 / length], axis=-1) * 0.5 + 0.5)


def roughness_metallic(roughness: Array, metallic: Array | float) -> Image:
    """glTF's packing: green is roughness, blue is metallic; red (unused) repeats the roughness."""
    metal = np.broadcast_to(np.asarray(metallic, dtype=float), roughness.shape)
    return to_bytes(np.stack([roughness, roughness, metal], axis=-1))


def colour(weight: Array, stops: Sequence[tuple[float, float, float]]) -> Array:
    """(n, n, 3) colour from stops spread evenly over 0..1."""
    t = np.clip(weight, 0.0, 1.0) * (len(stops) - 1)
    i = np.minimum(t.astype(np.int64), len(stops) - 2)
    f = (t - i)[..., None]
    table = np.asarray(stops, dtype=float)
    return np.asarray(table[i] * (1.0 - f) + table[i + 1] * f)


def mix(a: Array, b: ArrayLike, weight: Array) -> Array:
    """a where weight is 0, b where it is 1; (n, n, 3)."""
    return a + (np.asarray(b, dtype=float) - a) * weight[..., None]


def shrink(image: Array) -> Array:
    """Half the size, by means of four."""
    return (image[0::2, 0::2] + image[1::2, 0::2] + image[0::2, 1::2] + image[1::2, 1::2]) / 4.0


# --- blankets -----------------------------------------------------------------------------------


def foil_height(n: int, tile_m: float, seed: int, crumple: float) -> Array:
    """Height in metres of a crumpled foil: flat facets at three sizes, folds, small dents.

    Where the sheet is taut the fine facets fade, where it is slack they crowd, as in a blanket that
    was folded, unfolded and laced down.
    """
    x, y = pixel_grid(n)
    warp_x = 0.035 * value_noise(n, 5, seed + 1) + 0.012 * value_noise(n, 14, seed + 2)
    warp_y = 0.035 * value_noise(n, 5, seed + 3) + 0.012 * value_noise(n, 14, seed + 4)
    slack = np.clip(0.55 + 0.65 * fbm(n, 4, 2, seed + 5), 0.15, 1.0)
    height = np.zeros((n, n))
    for k, (cells, slope) in enumerate(((7, 0.22), (17, 0.36), (41, 0.40))):
        sheet = facets(n, cells, seed + 10 + k, 0.36 if k == 0 else 0.42)
        sheet = sample(sheet, x + warp_x / (k + 1), y + warp_y / (k + 1))
        amplitude = 0.5 * slope * tile_m / cells
        height += amplitude * sheet * (1.0 if k == 0 else slack if k == 1 else slack**2)
    folds = creases(n, 120, seed + 20, (0.08, 0.42), (0.004, 0.014))
    height += 0.0016 * tile_m * folds
    height += 0.0009 * tile_m * slack * creases(n, 420, seed + 21, (0.02, 0.12), (0.003, 0.007))
    return crumple * height


def crinkle(n: int, tile_m: float, seed: int) -> tuple[Array, Array]:
    """Slopes of the fine wrinkles that handling leaves in a film, to the right and up the image.

    Sharp little ridges a few centimetres and about a centimetre long, patchy: a film that was
    creased in one place is smooth in another.
    """
    right, up = np.zeros((n, n)), np.zeros((n, n))
    for k, (pitch_m, slope) in enumerate(((0.036, 0.17), (0.014, 0.11))):
        cells = max(2, round(tile_m / pitch_m))
        patchy = np.clip(0.35 + 1.1 * fbm(n, 5 + 3 * k, 3, seed + 10 * k), 0.04, 1.0)
        ridge = 1.0 - np.abs(value_noise(n, cells, seed + 10 * k + 1))
        ridge = ridge**3 * (0.6 + 0.4 * value_noise(n, cells // 2, seed + 10 * k + 2))
        a, b = slopes(ridge, tile_m)
        scale = slope / max(float(np.sqrt(np.mean(a**2 + b**2))), 1e-12)
        right += scale * patchy * a
        up += scale * patchy * b
    return right, up


TAPE_V = (0.345, 0.372)
"""Where the tape lies in a blanket's tile, from and to in texture units upward: it runs along u."""


def mli(
    n: int,
    seed: int,
    tile_m: float,
    tint: tuple[float, float, float],
    tape: tuple[float, float, float],
    metallic: float,
    roughness: tuple[float, float],
    crumple: float = 1.0,
) -> tuple[Image, Image, Image]:
    """A multi-layer-insulation blanket: base colour, roughness and metallic, normal map.

    The film has one colour; all play of light is in the normal map. Its lobe is narrow where the
    film lies smooth and wider where it is creased, and what `metallic` leaves of 1 is its haze.

    Args:
        n: pixels of a side.
        seed: draws the creases.
        tile_m: metres of a side.
        tint: sRGB colour (0..1) of the film.
        tape: sRGB colour of the tape at TAPE_V and of patches.
        metallic: 0..1; roughness: smooth film, creased places.
        crumple: strength of facets and folds.
    """
    x, y = pixel_grid(n)
    height = foil_height(n, tile_m, seed, crumple)
    right, up = slopes(height, tile_m)
    fine_right, fine_up = crinkle(n, tile_m, seed + 60)
    right, up = _limit(right + crumple * fine_right, up + crumple * fine_up, 1.1)

    # a band of tape with a row of stitches along both edges, a few patches, buttons between layers
    middle, wide = 1.0 - 0.5 * sum(TAPE_V), TAPE_V[1] - TAPE_V[0]
    lap = band(y, middle, wide, 1.0 / n)
    rng = generator(seed, 41)
    patches = np.zeros((n, n))
    for _ in range(4):
        at_x, at_y = rng.random(2)
        w, h = rng.uniform(0.04, 0.09, 2) / tile_m
        patches = np.maximum(patches, band(x, at_x, w, 1.5 / n) * band(y, at_y, h, 1.5 / n))
    pitch = 1.0 / round(tile_m / 0.025)
    run = np.arange(0.5 * pitch, 1.0, pitch)
    rows = [np.full_like(run, middle + s * 0.40 * wide) for s in (-1, 1)]
    stitches = dots(
        n, np.concatenate([np.column_stack([run, r]) for r in rows]), 0.0022 / tile_m, 1.2 / n
    )
    per = max(2, round(tile_m / 0.5))
    grid = (np.stack(np.meshgrid(np.arange(per), np.arange(per)), -1).reshape(-1, 2) + 0.5) / per
    grid = (grid + rng.uniform(-0.03, 0.03, grid.shape)) % 1.0
    buttons = dots(n, grid, 0.010 / tile_m, 1.5 / n) * (1.0 - lap)
    hollow = blur(dots(n, grid, 0.05 / tile_m, 0.09 / tile_m), max(2, n // 200)) * (1.0 - lap)

    # tape lies flatter than the film, puckered across its run
    cover = np.maximum(lap, 0.8 * patches)
    calm = 1.0 - 0.75 * cover
    detail = 0.0005 * patches - 0.0012 * stitches + 0.002 * buttons - 0.006 * crumple * hollow
    d_right, d_up = slopes(detail, tile_m)
    d_right, d_up = np.clip(d_right, -0.45, 0.45), np.clip(d_up, -0.45, 0.45)
    pucker = 0.05 * lap * value_noise(n, (round(tile_m / 0.022), 4), seed + 45)
    n_right, n_up = right * calm + d_right + pucker, up * calm + d_up
    normal = normal_map(n_right, n_up)

    base = np.broadcast_to(np.asarray(tint), (n, n, 3))
    base = mix(base, tape, cover)
    base = mix(base, 0.45 * np.asarray(tape), 0.7 * stitches)
    base = mix(base, np.asarray(tape), buttons)

    curve = height - blur(height, max(2, n // 170))
    creased = np.clip(np.abs(curve) / (2.5 * np.std(curve) + 1e-12), 0.0, 1.0)
    rough = roughness[0] + (roughness[1] - roughness[0]) * creased
    rough = rough + 0.02 * fbm(n, 10, 3, seed + 52) + 0.05 * cover
    packed = roughness_metallic(shrink(rough), shrink(metallic * (1.0 - 0.5 * stitches)))
    return to_bytes(base), packed, normal


def cloth(
    n: int, seed: int, tile_m: float, tint: tuple[float, float, float]
) -> tuple[Image, Image, Image]:
    """A blanket whose outermost layer is woven glass cloth: base colour, roughness, normal map.

    Softer folds than a foil's, a weave that close views resolve, matt all over.
    """
    height = blur(foil_height(n, tile_m, seed, 1.0), max(1, n // 250))
    right, up = _limit(*slopes(height, tile_m), 0.5)
    weave, weave_right, weave_up = _twill(n, round(tile_m / 0.008), seed + 3)
    cloud = fbm(n, 4, 4, seed + 5)
    base = np.asarray(tint) * (1.0 + 0.012 * cloud + 0.010 * weave)[..., None]
    base = mix(base, base * (0.96, 0.93, 0.87), np.clip(1.6 * fbm(n, 3, 4, seed + 6), 0.0, 1.0))
    rough = np.full((n, n), 0.80) + 0.03 * cloud
    normal = normal_map(right + 0.35 * weave_right, up + 0.35 * weave_up)
    return to_bytes(base), roughness_metallic(shrink(rough), 0.0), normal


# --- solar cells --------------------------------------------------------------------------------


def solar_cells(n: int, cells: int, seed: int) -> tuple[Image, Image, Image]:
    """`cells` by `cells` solar cells under cover glass: base colour, roughness/metallic, normals.

    Every cell has its own tone, and its glass its own slight tilt, so that the Sun's image breaks
    up over a panel; glass is a smooth dielectric, grids and tabs are metal, gaps show the panel.
    """
    x, y = pixel_grid(n)
    rng = generator(seed, 61)
    per = n // cells
    k = per / 128.0  # widths below are pixels of a cell of 128
    cx, cy = (np.arange(n) // per)[None, :], (np.arange(n) // per)[:, None]
    u = ((np.arange(n) % per) + 0.5)[None, :] + 0.0 * y  # pixels inside the cell
    v = ((np.arange(n) % per) + 0.5)[:, None] + 0.0 * x
    gap, crop = 2.6 * k, 0.11 * per
    inset = np.minimum(np.minimum(u, per - u), np.minimum(v, per - v)) - gap
    corner = np.minimum(np.minimum(u, per - u) + np.minimum(v, per - v) - 2 * gap - crop, per)
    low_corner = np.where(v > 0.5 * per, corner, per)  # cropped at two of the corners
    glass = np.clip(np.minimum(inset, low_corner / math.sqrt(2.0)) + 0.5, 0.0, 1.0)

    tone = rng.normal(0.0, 1.0, (cells, cells))[cy, cx]
    hue = rng.normal(0.0, 1.0, (cells, cells))[cy, cx]
    gradient = rng.normal(0.0, 1.0, (2, cells, cells))
    drift = gradient[0][cy, cx] * (u / per - 0.5) + gradient[1][cy, cx] * (v / per - 0.5)
    batch = fbm(n, 2, 3, seed + 67)  # cells of one delivery lie together
    light = 1.0 + 0.10 * tone + 0.09 * drift + 0.04 * fbm(n, 2 * cells, 3, seed + 62) + 0.14 * batch
    cell = np.stack(
        [
            0.088 * light * (1.0 + 0.09 * hue),
            0.125 * light,
            0.285 * light * (1.0 - 0.06 * hue),
        ],
        axis=-1,
    )
    fingers = np.clip(0.9 - np.abs((u - gap) % (per / 16.0) - per / 32.0) / k, 0.0, 1.0)
    bus = np.clip(2.4 - np.abs(v - (gap + 5.0 * k)) / k, 0.0, 1.0)
    cell = mix(cell, (0.30, 0.33, 0.42), 0.34 * fingers * (v > gap + 5.0 * k))
    cell = mix(cell, (0.62, 0.63, 0.65), 0.85 * bus)
    rim = np.clip(1.6 - np.abs(inset / k - 1.2), 0.0, 1.0)
    cell = mix(cell, (0.22, 0.25, 0.36), 0.35 * rim)

    substrate = np.broadcast_to(np.array([0.34, 0.25, 0.16]), cell.shape)
    substrate = substrate * (1.0 + 0.10 * value_noise(n, 8 * cells, seed + 63))[..., None]
    tabs = np.zeros((n, n))
    for at in (0.2, 0.5, 0.8):
        tabs = np.maximum(tabs, np.clip(2.6 - np.abs(u - at * per) / k, 0.0, 1.0))
    tabs = tabs * np.clip((gap - np.minimum(v, per - v)) / k + 5.0, 0.0, 1.0)
    wire = np.clip(1.5 - np.abs(np.minimum(u, per - u) - 0.5) / k, 0.0, 1.0) * (cx % 4 == 0)
    base = substrate + (cell - substrate) * glass[..., None]
    base = mix(base, (0.72, 0.73, 0.74), 0.9 * tabs)
    base = mix(base, (0.55, 0.55, 0.54), 0.5 * wire * (1 - glass))

    silver = np.maximum(0.9 * tabs, np.maximum(0.75 * bus, 0.25 * fingers) * glass)
    smooth = 0.085 + 0.006 * np.clip(tone, -2.0, 2.0)
    rough = 0.50 + (smooth - 0.50) * glass + 0.22 * tabs
    tilt = rng.normal(0.0, 0.009, (2, cells, cells))
    step_right, step_up = slopes(0.0004 * blur(glass, 1) + 0.0003 * tabs, 0.05 * cells)
    right = tilt[0][cy, cx] * glass + 0.55 * step_right * (1 - 0.8 * glass)
    up = tilt[1][cy, cx] * glass + 0.55 * step_up * (1 - 0.8 * glass)
    packed = roughness_metallic(shrink(rough), shrink(silver))
    return to_bytes(base), packed, normal_map(right, up)


def panel_back(n: int, seed: int, tile_m: float) -> tuple[Image, Image, Image]:
    """The rear of a solar panel: carbon-fibre weave, flat harness under tape, doublers."""
    x, y = pixel_grid(n)
    weave_c, weave_r, weave_u = _twill(n, round(tile_m / 0.011), seed)
    light = 0.125 + 0.016 * weave_c + 0.012 * fbm(n, 5, 4, seed + 71)
    base = np.stack([light * 1.03, light, light * 0.97], axis=-1)
    height = np.zeros((n, n))
    rough = 0.46 - 0.05 * weave_c
    wires = np.zeros((n, n))
    for k, (at, width) in enumerate(((0.17, 0.018), (0.49, 0.030), (0.83, 0.012))):
        sway = 0.0025 * value_noise(n, 8, seed + 80 + k)
        ribbon = band(x + sway, at, width / tile_m, 1.5 / n)
        strand = 0.5 + 0.5 * np.cos(2 * math.pi * (x + sway - at) * tile_m / 0.003)
        wires = np.maximum(wires, ribbon * (0.65 + 0.35 * strand))
    feeder = band(y + 0.002 * value_noise(n, 8, seed + 90), 0.36, 0.014 / tile_m, 1.5 / n)
    wires = np.maximum(wires, 0.9 * feeder)
    height += 0.002 * wires
    clamps = np.zeros((n, n))
    for at in (0.17, 0.49, 0.83):
        for row in np.arange(0.06, 1.0, 0.155):
            clamps = np.maximum(
                clamps, band(x, at, 0.055 / tile_m, 1.5 / n) * band(y, row, 0.02 / tile_m, 1.5 / n)
            )
    doublers = np.zeros((n, n))
    for px, py in ((0.33, 0.10), (0.66, 0.72), (0.02, 0.55)):
        doublers = np.maximum(
            doublers, band(x, px, 0.09 / tile_m, 1.5 / n) * band(y, py, 0.06 / tile_m, 1.5 / n)
        )
    heads = dots(
        n, np.array([[a, b] for a in (0.33, 0.66) for b in (0.1, 0.72)]), 0.008 / tile_m, 1.5 / n
    )
    height += 0.001 * clamps + 0.002 * doublers + 0.003 * heads
    base = mix(base, (0.34, 0.22, 0.11), 0.9 * wires)
    base = mix(base, (0.42, 0.30, 0.15), 0.85 * clamps)
    base = mix(base, (0.20, 0.20, 0.21), 0.8 * doublers)
    base = mix(base, (0.55, 0.55, 0.55), 0.9 * heads)
    base = base * (1.0 + 0.10 * fbm(n, 3, 4, seed + 92))[..., None]
    right, up = slopes(height, tile_m)
    cover = np.clip(wires + clamps + doublers, 0.0, 1.0)
    right = np.clip(right, -0.5, 0.5) + weave_r * (1 - cover)
    up = np.clip(up, -0.5, 0.5) + weave_u * (1 - cover)
    return (
        to_bytes(base),
        roughness_metallic(shrink(rough + 0.08 * cover), shrink(0.1 + 0.7 * heads)),
        normal_map(right, up),
    )


def _twill(n: int, tows: int, seed: int) -> tuple[Array, Array, Array]:
    """A two-by-two twill of about `tows` tows: tone, slope to the right, slope up."""
    tows = max(4, 4 * round(tows / 4))
    t = (np.arange(n) + 0.5) / n * tows
    i = np.floor(t).astype(np.int64)
    f = t - i - 0.5
    warp_over = ((i[None, :] + i[:, None]) % 4) < 2
    rng = generator(seed, 77)
    tone_x, tone_y = rng.normal(0, 1, tows)[i], rng.normal(0, 1, tows)[i]
    across = np.where(warp_over, f[None, :], f[:, None])
    tone = np.where(warp_over, 0.55 + 0.25 * tone_x[None, :], -0.55 + 0.25 * tone_y[:, None])
    tone = tone - 1.6 * np.abs(across) ** 3
    round_off = 0.22 * across
    return tone, np.where(warp_over, -round_off, 0.0), np.where(warp_over, 0.0, round_off)


def cfrp(n: int, seed: int) -> tuple[Image, Image, Image]:
    """Bare carbon-fibre twill under clear resin."""
    tone, right, up = _twill(n, 32, seed)
    light = 0.165 + 0.045 * tone + 0.015 * fbm(n, 4, 4, seed + 1)
    base = np.stack([light, light * 1.01, light * 1.03], axis=-1)
    rough = 0.36 - 0.06 * tone + 0.05 * fbm(n, 8, 3, seed + 2)
    return to_bytes(base), roughness_metallic(rough, 0.15), normal_map(right, up)


_GLYPHS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "J": "00111 00010 00010 00010 00010 10010 01100",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "W": "10001 10001 10001 10101 10101 11011 10001",
}
LABELS = (4, 8)
"""Labels across and down the label sheet."""


def labels(n: int, seed: int) -> tuple[Image, Image, Image]:
    """A sheet of LABELS printed plates, each with a designation and a bar code."""
    across, down = LABELS
    wide, high = n // across, n // down
    unit = max(1, high // 16)
    rng = generator(seed, 97)
    ink = np.zeros((n, n))
    for k in range(across * down):
        cell = ink[(k // across) * high :, (k % across) * wide :][:high, :wide]
        cell[:unit] = cell[-unit:] = cell[:, :unit] = cell[:, -unit:] = 0.6
        text = "JPTW"[k % 4] + f"{int(rng.integers(0, 1000)):03d}"
        for place, letter in enumerate(text):
            rows = _GLYPHS[letter].split()
            dots_ = np.array([[float(c) for c in row] for row in rows])
            image = np.kron(dots_, np.ones((unit, unit)))
            x = 3 * unit + place * 7 * unit
            cell[2 * unit : 9 * unit, x : x + 5 * unit] = image
        bars = np.repeat(rng.integers(0, 2, (wide - 6 * unit) // unit), unit).astype(float)
        cell[11 * unit : 14 * unit, 3 * unit : 3 * unit + len(bars)] = bars[None, :]
    base = np.broadcast_to(np.array([0.84, 0.84, 0.81]), (n, n, 3))
    base = base * (1.0 + 0.02 * fbm(n, 8, 4, seed))[..., None]
    base = mix(base, (0.06, 0.06, 0.07), 0.9 * ink)
    rough = 0.42 + 0.05 * fbm(n, 16, 3, seed + 1)
    right, up = 0.02 * fbm(n, 24, 3, seed + 2), 0.02 * fbm(n, 24, 3, seed + 3)
    return to_bytes(base), roughness_metallic(shrink(rough), 0.0), normal_map(right, up)


def harness(n: int, seed: int, tile_m: float) -> tuple[Image, Image, Image]:
    """A bundle of wires along v: strands of several colours under a tie every 8 cm."""
    x, y = pixel_grid(n)
    count = round(tile_m / 0.004)
    rng = generator(seed, 99)
    wander = 0.10 / count * value_noise(n, (6, 10), seed + 1)
    place = (x + wander) * count
    strand = np.floor(place).astype(np.int64) % count
    across = place - np.floor(place) - 0.5
    palette = np.array([[0.78, 0.77, 0.74], [0.66, 0.62, 0.55], [0.20, 0.20, 0.21]])
    pick = rng.choice(3, count, p=(0.60, 0.25, 0.15))
    base = palette[pick][strand] * (1.0 - 1.5 * np.abs(across) ** 3)[..., None]
    base = base * (1.0 + 0.05 * fbm(n, 12, 3, seed + 2))[..., None]
    ties = round(tile_m / 0.08)
    tie = band((y * ties) % 1.0, 0.5, 0.07, 0.02)
    base = mix(base, (0.84, 0.83, 0.80), tie)
    right = -0.9 * across * (1.0 - tie)
    up = np.clip(slopes(0.0008 * tie, tile_m)[1], -0.5, 0.5)
    rough = 0.50 - 0.08 * tie + 0.04 * fbm(n, 20, 2, seed + 3)
    return to_bytes(base), roughness_metallic(shrink(rough), 0.0), normal_map(right, up)


# --- paints, mirrors, metals --------------------------------------------------------------------


def worn(n: int, seed: int, tile_m: float) -> Array:
    """Where a finish is rubbed off (n, n), 0..1: along the band at TAPE_V, which edges wear."""
    _, y = pixel_grid(n)
    middle = 1.0 - 0.5 * sum(TAPE_V)
    across = np.abs(y - middle) * tile_m  # metres from the ridge of the edge
    chips = 0.0022 * (1.0 + 1.5 * fbm(n, round(tile_m / 0.05), 3, seed + 81))
    gone = np.clip((chips - across) / 0.0015 + 0.5, 0.0, 1.0)
    return gone * np.clip(0.7 + 1.6 * fbm(n, round(tile_m / 0.12), 2, seed + 82), 0.0, 1.0)


def paint(
    n: int,
    seed: int,
    tile_m: float,
    tint: tuple[float, float, float],
    roughness: float,
    mottle: float = 0.02,
    stain: float = 1.0,
) -> tuple[Image, Image, Image]:
    """Sprayed paint: mottling, stains, runs, touched-up spots, scratches, rubbed edges.

    Args:
        n: pixels of a side.
        seed: draws all of it.
        tile_m: metres of a side.
        tint: sRGB colour (0..1).
        roughness: of clean paint.
        mottle: relative unevenness of the spray.
        stain: strength of the yellow-brown stains that outgassing and handling leave.
    """
    x, y = pixel_grid(n)
    cloud = fbm(n, 4, 5, seed, 0.6)
    light = 1.0 + mottle * cloud + 0.4 * mottle * fbm(n, 64, 2, seed + 1)
    base = np.asarray(tint) * light[..., None]

    blotch = np.clip(2.2 * fbm(n, 3, 5, seed + 2, 0.62) - 0.45, 0.0, 1.0)
    base = mix(base, base * (0.93, 0.885, 0.80), 0.45 * stain * blotch)
    run = np.clip(value_noise(n, (60, 3), seed + 3) - 0.6, 0.0, 1.0)
    base = mix(base, base * (0.93, 0.90, 0.85), stain * run)
    rng = generator(seed, 83)
    fresh, border = np.zeros((n, n)), np.zeros((n, n))
    for _ in range(5):
        at_x, at_y = rng.random(2)
        wide, high = rng.uniform(0.03, 0.12, 2) / tile_m
        soft = 0.004 / tile_m
        spot = band(x, at_x, wide, soft) * band(y, at_y, high, soft)
        fresh = np.maximum(fresh, spot)
        border = np.maximum(border, 4.0 * spot * (1.0 - spot))
    base = mix(base, np.asarray(tint), 0.8 * fresh)
    base = mix(base, 0.9 * base, 0.5 * border)
    scratch = np.abs(creases(n, 26, seed + 6, (0.02, 0.16), (0.0008, 0.0014)))
    base = mix(base, 0.80 * base, np.clip(1.2 * scratch, 0.0, 0.7))
    bare = worn(n, seed, tile_m)
    base = mix(base, (0.62, 0.62, 0.63), 0.9 * bare)

    right, up = slopes(0.00012 * fresh - 0.0002 * bare, tile_m)
    right += 0.012 * fbm(n, 90, 2, seed + 4)
    up += 0.012 * fbm(n, 90, 2, seed + 5)
    rough = roughness + 0.05 * cloud - 0.06 * blotch * stain + 0.04 * fresh
    rough = rough + (0.4 - rough) * bare
    packed = roughness_metallic(shrink(rough), shrink(0.9 * bare))
    return to_bytes(base), packed, normal_map(right, up)


def osr(n: int, tiles: int, seed: int) -> tuple[Image, Image, Image]:
    """Second-surface mirrors, `tiles` by `tiles`: silver under quartz, grey joints between.

    Each mirror leans and bows a little on its own; a few are chipped or were replaced.
    """
    rng = generator(seed, 91)
    per = n // tiles
    cx, cy = (np.arange(n) // per)[None, :], (np.arange(n) // per)[:, None]
    u, v = ((np.arange(n) % per) + 0.5)[None, :], ((np.arange(n) % per) + 0.5)[:, None]
    inset = np.minimum(np.minimum(u, per - u), np.minimum(v, per - v))
    joint = 0.40 * (1.0 - np.clip(inset - 0.4, 0.0, 1.0))
    chip = rng.uniform(0.0, 1.0, (tiles, tiles)) < 0.03
    broken = np.clip(0.16 * per - u - v + 0.5, 0.0, 1.0) * chip[cy, cx]
    joint = np.maximum(joint, broken)
    tone = np.clip(rng.normal(0.0, 1.0, (tiles, tiles)), -2.0, 2.0)[cy, cx]
    hue = rng.normal(0.0, 1.0, (tiles, tiles))[cy, cx]
    light = 1.0 + 0.008 * tone
    base = np.stack(
        [0.940 * light * (1 - 0.004 * hue), 0.950 * light, 0.955 * light * (1 + 0.003 * hue)],
        axis=-1,
    )
    base = mix(base, (0.25, 0.25, 0.26), joint)
    tilt = rng.normal(0.0, 0.011, (2, tiles, tiles))
    bow = 0.01
    right = tilt[0][cy, cx] - bow * (u / per - 0.5) + 0.0 * v
    up = tilt[1][cy, cx] + bow * (v / per - 0.5) + 0.0 * u
    rough = 0.10 + 0.008 * tone + 0.5 * joint
    packed = roughness_metallic(shrink(rough), shrink(0.98 * (1 - joint)))
    return to_bytes(base), packed, normal_map(right, up)


def metal(
    n: int,
    seed: int,
    tile_m: float,
    tint: tuple[float, float, float],
    roughness: float,
    brushed: float = 1.0,
    metallic: float = 0.95,
    stain: float = 0.04,
    *,
    edges: bool = False,
) -> tuple[Image, Image, Image]:
    """Bare or anodised metal: brushed along x, faint stains, scratches; `edges` rubbed bare."""
    streaks = value_noise(n, (4, n // 2), seed) + 0.6 * value_noise(n, (9, n // 4), seed + 1)
    cloud = fbm(n, 4, 4, seed + 2)
    scratch = np.abs(creases(n, 40, seed + 3, (0.05, 0.3), (0.0015, 0.0025)))
    light = 1.0 + 0.032 * brushed * streaks + stain * cloud + 0.10 * scratch
    warm = 0.5 * stain * value_noise(n, 3, seed + 4)
    base = np.asarray(tint) * light[..., None]
    base = base * np.stack([1 + warm, np.ones((n, n)), 1 - warm], axis=-1)
    rough = roughness + 0.05 * brushed * streaks + 0.06 * cloud - 0.08 * scratch
    up = 0.028 * brushed * streaks + 0.01 * cloud
    right = 0.008 * fbm(n, 12, 3, seed + 5)
    metalness = np.full((n, n), metallic)
    if edges:
        bare = worn(n, seed, tile_m)
        base = mix(base, (0.74, 0.74, 0.75), 0.85 * bare)
        metalness = metalness + (0.95 - metalness) * bare
    return (
        to_bytes(base),
        roughness_metallic(shrink(np.clip(rough, 0.06, 1.0)), shrink(metalness)),
        normal_map(right, up),
    )


def rough_black(n: int, seed: int, light: float) -> tuple[Image, Image]:
    """The inside of a baffle: near-black velvet. Base colour, normals."""
    tone = light * (1.0 + 0.25 * fbm(n, 32, 3, seed) + 0.15 * fbm(n, 4, 2, seed + 1))
    base = np.stack([tone, tone, tone * 1.03], axis=-1)
    right, up = 0.12 * fbm(n, 80, 2, seed + 2), 0.12 * fbm(n, 80, 2, seed + 3)
    return to_bytes(base), normal_map(right, up)
