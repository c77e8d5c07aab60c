"""Matchers of the package vismatch (once image-matching-models): `vismatch:NAME`.

It has some seventy, RoMa, LoMa, XFeat, RaCo and MASt3R among them, each with its own licence, and
fetches their weights itself. It is no requirement of satgen's: `pip install vismatch`.

Its points are taken as they are: some of its matchers count pixels from the corner of the top-left
one, half a pixel off in both images alike.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from matchers.image_matchers import PointMatches
from matchers.specs import VISMATCH
from satgen.errors import InputError
from satgen.installed import require
from satgen.lookup import reason_of


class VismatchMatcher:
    """One of vismatch's matchers, as a matcher of images.

    Args:
        name: as `vismatch.available_models` has it.
        max_keypoints: an image, as far as the matcher has such a limit.
        device: of the network.

    Raises:
        InputError: vismatch is not installed, has no such matcher, or cannot make it.
    """

    takes_images = True

    def __init__(self, name: str, *, max_keypoints: int | None = None, device: Any = "cpu") -> None:
        self.name = f"{VISMATCH}{name}"
        require(f"--matcher {self.name}", "vismatch", load=False)
        count = {} if max_keypoints is None else {"max_num_keypoints": max_keypoints}
        with _quiet():
            require(f"--matcher {self.name}", "vismatch")
            package = importlib.import_module("vismatch")
            known = [str(model) for model in package.available_models]
            if name not in known:
                near = difflib.get_close_matches(name, known, 3) or known[:3]
                raise InputError(
                    f"--matcher {self.name}: vismatch has {len(known)} matchers, none of that "
                    f"name; near it are {', '.join(near)}"
                )
            try:
                self.model: Any = package.get_matcher(name, device=str(device), **count)
            except Exception as error:  # whatever a network's own code does
                raise InputError(f"--matcher {self.name}: {reason_of(error)}") from None
        self.model.skip_ransac = True  # a homography, which nobody asks for

    def __call__(
        self, image0: npt.NDArray[np.uint8], image1: npt.NDArray[np.uint8]
    ) -> PointMatches:
        """What it finds in two images (H, W, 3)."""
        with _quiet():
            found = self.model(*map(_planes, (image0, image1)))
        keypoints = [found.get("all_kpts0"), found.get("all_kpts1")]
        if any(side is None or not len(side) for side in keypoints):
            keypoints = [None, None]
        return PointMatches(
            found["matched_kpts0"],
            found["matched_kpts1"],
            found.get("matched_confidences"),
            *keypoints,
        )


def version() -> str:
    """vismatch's version; empty where it is not known."""
    try:
        return metadata.version("vismatch")
    except metadata.PackageNotFoundError:
        return ""


def _planes(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    """An image as vismatch takes it: (3, H, W) in [0, 1]."""
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255.0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What matchers print goes to stderr: stdout is for the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
