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
    for k, (cells, slope) in enumerate(((7, 0.20), (17, 0.26), (41, 0.20))):
        sheet = facets(n, cells, seed + 10 + k, 0.36 if k == 0 else 0.42)
        sheet = sample(sheet, x + warp_x / (k + 1), y + warp_y / (k + 1))
        amplitude = 0.5 * slope * tile_m / cells
        height += amplitude * sheet * (1.0 if k == 0 else slack if k == 1 else slack**2)
    folds = creases(n, 120, seed + 20, (0.08, 0.42), (0.004, 0.014))
    height += 0.0016 * tile_m * folds
    height += 0.0009 * tile_m * slack * creases(n, 420, seed + 21, (0.02, 0.12), (0.003, 0.007))
    return crumple * height


def mli(
    n: int,
    seed: int,
    tile_m: float,
    stops: Sequence[tuple[float, float, float]],
    tape: tuple[float, float, float],
    metallic: float,
    roughness: tuple[float, float],
    crumple: float = 1.0,
    relief: float = 1.0,
) -> tuple[Image, Image, Image]:
    """A multi-layer-insulation blanket: base colour, roughness and metallic, normal map.

    Args:
        n: pixels of a side.
        seed: draws the creases.
        tile_m: metres of a side.
        stops: sRGB colours (0..1) from the facets that look away from the light of a room to those
            that face it; the renderer has no surroundings to mirror, so a part of their play is
            painted in.
        tape: sRGB colour of the tape over the seams.
        metallic: 0..1; roughness: smooth facets, creased places.
        crumple: strength of the facets; relief: of the painted play of light.
    """
    x, y = pixel_grid(n)
    height = foil_height(n, tile_m, seed, crumple)
    right, up = _limit(*slopes(height, tile_m), 0.62)

    # seams: one tape each way, laced with stitches; buttons that hold the layers together
    seam_x, seam_y = 0.315, 0.64
    wide = 0.045 / tile_m
    wander = 0.0015 * value_noise(n, 6, seed + 40)
    tape_v = band(x + wander, seam_x, wide, 1.5 / n)
    tape_h = band(y + wander, seam_y, wide, 1.5 / n)
    lap = np.maximum(tape_v, tape_h)
    rng = generator(seed, 41)
    patches = np.zeros((n, n))
    for _ in range(5):
        cx, cy = rng.random(2)
        w, h = rng.uniform(0.04, 0.09, 2) / tile_m
        patches = np.maximum(patches, band(x, cx, w, 1.5 / n) * band(y, cy, h, 1.5 / n))
    stitch_pitch = 1.0 / round(tile_m / 0.04)
    stitch = np.arange(0.5 * stitch_pitch, 1.0, stitch_pitch)
    side = 0.5 * wide + 0.010 / tile_m
    lace = np.concatenate(
        [np.column_stack([np.full_like(stitch, seam_x + s * side), stitch]) for s in (-1, 1)]
        + [np.column_stack([stitch, np.full_like(stitch, seam_y + s * side)]) for s in (-1, 1)]
    )
    stitches = dots(n, lace % 1.0, 0.0035 / tile_m, 1.2 / n)
    per = max(2, round(tile_m / 0.5))
    grid = (np.stack(np.meshgrid(np.arange(per), np.arange(per)), -1).reshape(-1, 2) + 0.5) / per
    grid = (grid + rng.uniform(-0.012, 0.012, grid.shape)) % 1.0
    buttons = dots(n, grid, 0.011 / tile_m, 1.5 / n)
    hollow = blur(dots(n, grid, 0.05 / tile_m, 0.09 / tile_m), max(2, n // 200))

    # tape lies flatter than the foil, with a step at its border and small wrinkles across it
    calm = 1.0 - 0.62 * np.maximum(lap, 0.8 * patches)
    detail = 0.003 * tile_m / 2.0 * (lap + patches) + 0.0012 * stitches + 0.0035 * buttons
    detail = detail - 0.006 * hollow * crumple
    d_right, d_up = slopes(detail, tile_m)
    limit = 0.45
    d_right, d_up = np.clip(d_right, -limit, limit), np.clip(d_up, -limit, limit)
    n_right, n_up = right * calm + d_right, up * calm + d_up
    normal = normal_map(n_right, n_up)

    # the painted play of light: facets by their slope, creases as thin lines
    facing = 0.5 + relief * (0.62 * n_up - 0.48 * n_right)
    curve = height - blur(height, max(2, n // 170))
    line = np.clip(curve / (np.std(curve) + 1e-12) * 0.06, -0.2, 0.2)
    shade = np.clip(facing + relief * line + 0.05 * fbm(n, 6, 3, seed + 50), 0.0, 1.0)
    base = colour(shade, stops)
    tone = 1.0 + 0.10 * (shade - 0.5) + 0.03 * value_noise(n, 24, seed + 51)
    base = mix(base, np.asarray(tape) * tone[..., None], 0.8 * np.maximum(lap, 0.9 * patches))
    edge = np.clip(blur(lap, 2) * (1.0 - blur(lap, 2)) * 4.0, 0.0, 1.0)
    base = mix(base, 0.55 * base, 0.55 * edge)
    base = mix(base, 0.35 * base, 0.7 * stitches)
    base = mix(base, np.asarray(stops[-1]) * 0.85, 0.75 * buttons)

    creased = np.clip(np.abs(curve) / (2.5 * np.std(curve) + 1e-12), 0.0, 1.0)
    rough = roughness[0] + (roughness[1] - roughness[0]) * creased
    rough = rough + 0.03 * fbm(n, 10, 2, seed + 52) + 0.05 * np.maximum(lap, patches)
    metal = metallic * (1.0 - 0.5 * stitches)
    packed = roughness_metallic(shrink(rough), shrink(metal))
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
    """`cells` by `cells` solar cells with cover glass: base colour, roughness/metallic, normals."""
    x, y = pixel_grid(n)
    rng = generator(seed, 61)
    per = n // cells
    cx, cy = (np.arange(n) // per)[None, :], (np.arange(n) // per)[:, None]
    u = ((np.arange(n) % per) + 0.5)[None, :] + 0.0 * y  # pixels inside the cell
    v = ((np.arange(n) % per) + 0.5)[:, None] + 0.0 * x
    gap, crop = 2.6, 0.11 * per
    inset = np.minimum(np.minimum(u, per - u), np.minimum(v, per - v)) - gap
    corner = np.minimum(np.minimum(u, per - u) + np.minimum(v, per - v) - 2 * gap - crop, per)
    low_corner = np.where(v > 0.5 * per, corner, per)  # cropped at two of the corners
    glass = np.clip(np.minimum(inset, low_corner / math.sqrt(2.0)) + 0.5, 0.0, 1.0)

    tone = rng.normal(0.0, 1.0, (cells, cells))[cy, cx]
    hue = rng.normal(0.0, 1.0, (cells, cells))[cy, cx]
    gradient = rng.normal(0.0, 1.0, (2, cells, cells))
    drift = gradient[0][cy, cx] * (u / per - 0.5) + gradient[1][cy, cx] * (v / per - 0.5)
    light = 1.0 + 0.085 * tone + 0.08 * drift + 0.04 * fbm(n, 16, 3, seed + 62)
    cell = np.stack(
        [
            0.088 * light * (1.0 + 0.07 * hue),
            0.125 * light,
            0.285 * light * (1.0 - 0.05 * hue),
        ],
        axis=-1,
    )
    fingers = np.clip(0.9 - np.abs((u - gap) % (per / 16.0) - per / 32.0), 0.0, 1.0)
    bus = np.clip(2.4 - np.abs(v - (gap + 5.0)), 0.0, 1.0)
    cell = mix(cell, (0.30, 0.33, 0.42), 0.34 * fingers * (v > gap + 5.0))
    cell = mix(cell, (0.62, 0.63, 0.65), 0.85 * bus)
    rim = np.clip(1.6 - np.abs(inset - 1.2), 0.0, 1.0)
    cell = mix(cell, (0.22, 0.25, 0.36), 0.35 * rim)

    substrate = np.broadcast_to(np.array([0.34, 0.25, 0.16]), cell.shape)
    substrate = substrate * (1.0 + 0.10 * value_noise(n, 64, seed + 63))[..., None]
    tabs = np.zeros((n, n))
    for at in (0.2, 0.5, 0.8):
        tabs = np.maximum(tabs, np.clip(2.6 - np.abs(u - at * per), 0.0, 1.0))
    tabs = tabs * np.clip(gap + 5.0 - np.minimum(v, per - v), 0.0, 1.0)
    wire = np.clip(1.5 - np.abs(np.minimum(u, per - u) - 0.5), 0.0, 1.0) * (cx % 4 == 0)
    base = substrate + (cell - substrate) * glass[..., None]
    base = mix(base, (0.72, 0.73, 0.74), 0.9 * tabs)
    base = mix(base, (0.55, 0.55, 0.54), 0.5 * wire * (1 - glass))

    silver = np.maximum(0.9 * tabs, np.maximum(0.75 * bus, 0.25 * fingers) * glass)
    rough = 0.50 + (0.13 + 0.015 * tone - 0.50) * glass + 0.22 * tabs
    rough = rough + 0.02 * fbm(n, 32, 2, seed + 64)
    tilt = rng.normal(0.0, 0.006, (2, cells, cells))
    step_right, step_up = slopes(0.0004 * blur(glass, 1) + 0.0003 * tabs, 0.4)
    right = tilt[0][cy, cx] * glass + 0.55 * step_right + 0.004 * value_noise(n, 40, seed + 65)
    up = tilt[1][cy, cx] * glass + 0.55 * step_up + 0.004 * value_noise(n, 40, seed + 66)
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


# --- paints, mirrors, metals --------------------------------------------------------------------


def _fasteners(n: int, tile_m: float, pitch: float, radius: float) -> tuple[Array, Array]:
    """Heads (n, n) 0..1 on a grid along two panel borders, and their height in metres."""
    k = max(2, round(tile_m / pitch))
    run = (np.arange(k) + 0.5) / k
    inset = 0.02 / tile_m
    centres = np.concatenate(
        [
            np.column_stack([np.full(k, s), run])
            for s in (inset, 1 - inset, 0.5 + inset, 0.5 - inset)
        ]
        + [np.column_stack([run, np.full(k, s)]) for s in (inset, 1 - inset)]
    )
    heads = dots(n, centres % 1.0, radius / tile_m, 1.5 / n)
    return heads, 0.0016 * heads


def paint(
    n: int,
    seed: int,
    tile_m: float,
    tint: tuple[float, float, float],
    roughness: float,
    mottle: float = 0.02,
) -> tuple[Image, Image, Image]:
    """Sprayed paint over panels: mottling, faint joints, fastener heads."""
    x, y = pixel_grid(n)
    heads, raised = _fasteners(n, tile_m, 0.15, 0.0065)
    joint = np.maximum(
        np.maximum(band(x, 0.0, 0.004 / tile_m, 1.3 / n), band(x, 0.5, 0.004 / tile_m, 1.3 / n)),
        band(y, 0.0, 0.004 / tile_m, 1.3 / n),
    )
    cloud = fbm(n, 4, 5, seed, 0.6)
    light = 1.0 + mottle * cloud + 0.4 * mottle * fbm(n, 64, 2, seed + 1)
    base = np.asarray(tint) * light[..., None]
    ring = np.clip(blur(heads, 1) - heads, 0.0, 1.0)
    base = mix(base, 0.55 * base, 0.5 * joint)
    base = mix(base, 0.72 * base, np.clip(ring * 1.6, 0.0, 1.0))
    streak = np.clip(value_noise(n, (48, 3), seed + 3) - 0.55, 0.0, 1.0)
    base = mix(base, 0.93 * base, streak)
    height = raised - 0.0012 * joint
    right, up = slopes(height, tile_m)
    right, up = np.clip(right, -0.5, 0.5), np.clip(up, -0.5, 0.5)
    right += 0.012 * fbm(n, 90, 2, seed + 4)
    up += 0.012 * fbm(n, 90, 2, seed + 5)
    rough = roughness + 0.05 * cloud - 0.12 * heads
    return to_bytes(base), roughness_metallic(shrink(rough), 0.0), normal_map(right, up)


def osr(n: int, tiles: int, seed: int) -> tuple[Image, Image, Image]:
    """Second-surface mirrors: `tiles` by `tiles`, each tilted a little on its own, dark joints."""
    rng = generator(seed, 91)
    per = n // tiles
    cx, cy = (np.arange(n) // per)[None, :], (np.arange(n) // per)[:, None]
    u, v = ((np.arange(n) % per) + 0.5)[None, :], ((np.arange(n) % per) + 0.5)[:, None]
    inset = np.minimum(np.minimum(u, per - u), np.minimum(v, per - v))
    joint = 1.0 - np.clip(inset - 0.8, 0.0, 1.0)
    tone = rng.normal(0.0, 1.0, (tiles, tiles))[cy, cx]
    hue = rng.normal(0.0, 1.0, (tiles, tiles))[cy, cx]
    light = 1.0 + 0.022 * tone + 0.02 * fbm(n, 5, 3, seed)
    base = np.stack(
        [0.83 * light * (1 - 0.005 * hue), 0.865 * light, 0.905 * light * (1 + 0.004 * hue)],
        axis=-1,
    )
    base = mix(base, (0.16, 0.16, 0.17), 0.85 * joint)
    tilt = rng.normal(0.0, 0.012, (2, tiles, tiles))
    bow = 0.01
    right = tilt[0][cy, cx] - bow * (u / per - 0.5) + 0.0 * v
    up = tilt[1][cy, cx] + bow * (v / per - 0.5) + 0.0 * u
    rough = 0.10 + 0.02 * tone + 0.5 * joint
    packed = roughness_metallic(shrink(rough), shrink(0.65 * (1 - joint)))
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
) -> tuple[Image, Image, Image]:
    """Bare or anodised metal: brushed along x, faint stains, scratches."""
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
    return (
        to_bytes(base),
        roughness_metallic(shrink(np.clip(rough, 0.06, 1.0)), metallic),
        normal_map(right, up),
    )


def rough_black(n: int, seed: int, light: float) -> tuple[Image, Image]:
    """The inside of a baffle: near-black velvet. Base colour, normals."""
    tone = light * (1.0 + 0.25 * fbm(n, 32, 3, seed) + 0.15 * fbm(n, 4, 2, seed + 1))
    base = np.stack([tone, tone, tone * 1.03], axis=-1)
    right, up = 0.12 * fbm(n, 80, 2, seed + 2), 0.12 * fbm(n, 80, 2, seed + 3)
    return to_bytes(base), normal_map(right, up)
