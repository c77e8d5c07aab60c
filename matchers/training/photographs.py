"""Photographs as frames to train on: crops of them, which homographies tie together.

The photographs are those that travel in the wheels of scikit-image, scikit-learn (`pip install
'satgen[photographs]'` brings both) and matplotlib, or a folder's; none is shipped here. Ten are
never trained on: `bench.photographs` measures on them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matchers.image_arrays import read_file
from satgen.camera import Camera
from satgen.errors import InputError
from satgen.geometry import Floats
from satgen.runfolder import file_sha256

WHEELS = {
    "skimage": "data",
    "matplotlib": "mpl-data/sample_data",
    "sklearn": "datasets/images",
}
"""Packages that photographs travel in, and the folder of each."""

HELD_OUT = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
"""Photographs of scikit-image that matchers are measured on, and not trained on."""

TRAINED = (
    "brick.png", "cell.png", "china.jpg", "clock_motion.png", "flower.jpg", "grace_hopper.jpg",
    "grass.png", "gravel.png", "ihc.png", "page.png", "text.png",
)  # fmt: skip
"""Photographs that are trained on, as far as their packages are installed."""

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

MARGIN_PX = 6
"""Pixels at a crop's border where no keypoint is looked for."""

SIZE = 512
"""Side of a crop, pixels."""


def found(names: tuple[str, ...]) -> list[Path]:
    """Files of these photographs, of the packages that are installed.

    Raises:
        InputError: there are none.
    """
    files = []
    for package, folder in WHEELS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            places = (Path(spec.origin).parent / folder / name for name in names)
            files += [place for place in places if place.is_file()]
    if not files:
        raise InputError(
            "no photographs are installed: pip install 'satgen[photographs]' brings some"
        )
    return sorted(files, key=lambda file: file.name)


def in_folder(folder: Path) -> list[Path]:
    """The images in a folder.

    Raises:
        InputError: there is no such folder, or none are in it.
    """
    if not folder.is_dir():
        raise InputError(f"photographs {folder}: no such folder")
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in ENDINGS)
    if not files:
        raise InputError(f"photographs {folder}: holds none of {', '.join(ENDINGS)}")
    return files


def read_photograph(file: Path) -> NDArray[np.uint8]:
    """An image as (H, W, 3) uint8, without its transparency.

    Raises:
        InputError: it cannot be read.
    """
    image = read_file(file)
    if image.dtype == np.uint16:
        image = image >> 8
    if image.dtype.kind == "f":
        image = np.round(255.0 * image).clip(0.0, 255.0)
    if image.dtype == bool:
        image = 255 * image.astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image[..., :3], dtype=np.uint8)


class Photographs:
    """Square crops of photographs, numbered from 1, as `matchers.training.cache` takes frames.

    Args:
        files: the photographs.
        crops: of each; the place and the size of one are drawn from its number.
        seed: of the draws.
    """

    name = "photographs"

    def __init__(self, files: list[Path], crops: int, seed: int) -> None:
        self.files, self.crops, self.seed = files, crops, seed
        self.folder = Path(self.name)
        self.camera = Camera.from_fov(SIZE, SIZE, 60.0)
        self.config = None
        self.description: dict[str, Any] = {
            "photographs": {file.name: file_sha256(file) for file in files},
            "crops": crops,
            "size": SIZE,
            "seed": seed,
            "depth_scale": 1.0,
        }

    @property
    def indices(self) -> range:
        """Numbers of the crops."""
        return range(1, 1 + len(self.files) * self.crops)

    def rgb(self, index: int) -> NDArray[np.uint8]:
        """A crop, (512, 512, 3)."""
        import cv2

        image = read_photograph(self.files[(index - 1) // self.crops])
        height, width = image.shape[:2]
        rng = np.random.default_rng([self.seed, index])
        side = round(min(height, width) * rng.uniform(0.5, 1.0))
        x, y = (int(rng.integers(0, length - side + 1)) for length in (width, height))
        part = image[y : y + side, x : x + side]
        mode = cv2.INTER_AREA if side > SIZE else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(part, (SIZE, SIZE), interpolation=mode), dtype=np.uint8)

    def parts(self, index: int) -> NDArray[np.uint8]:
        """1 where keypoints are looked for."""
        labels = np.zeros((SIZE, SIZE), dtype=np.uint8)
        labels[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = 1
        return labels

    def depth(self, index: int) -> Floats:
        """1 where keypoints are looked for: homographies need no depth, but a box."""
        return self.parts(index).astype(np.float64)

    def pose(self, index: int) -> Floats:
        """No camera has one."""
        return np.eye(4)
