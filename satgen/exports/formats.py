"""The formats that there are, and what each can hold."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from satgen.errors import InputError

if TYPE_CHECKING:
    from satgen.dataset import Dataset
    from satgen.exports.source import ExportWriter

COMMON = ("start", "stop", "step", "splits", "guard", "images")
"""Options that are no single format's own."""


@dataclass(frozen=True)
class ExportFormat:
    """A format, and what of a dataset it can hold.

    Attributes:
        writer: who writes it: a module of this package, and its class.
        summary: what it holds.
        kinds: of images that are read.
        files: it has the images' files as they are, so that these can be linked.
        deep: it holds images of more than 8 bits.
        distortion: of OpenCV's k1, k2, p1, p2, k3 how many it has a place for; those beyond must
            be 0.
        splits: it has a place for parts to train on, validate with and test on; "always" where it
            is nothing without.
        rigs: it holds several cameras of a rig.
        pieces: what can be made by itself, so that it is kept after a kill and can be made in
            shards; "" where it is made in one go.
        options: of `ExportOptions`, besides the common ones.
    """

    writer: str
    summary: str
    kinds: tuple[str, ...]
    files: bool = True
    deep: bool = True
    distortion: int = 5
    splits: bool | str = False
    rigs: bool = False
    pieces: str = "frames"
    options: tuple[str, ...] = ()


FORMATS = {
    "bop": ExportFormat(
        "bop.BopWriter",
        "BOP's scenes: images, depth, masks, poses, boxes, the model",
        ("rgb", "depth", "parts"),
        distortion=0,
        splits=True,
        rigs=True,
    ),
    "speed": ExportFormat(
        "speed.SpeedWriter",
        "SPEED, SPEED+ and SHIRT: images and poses",
        ("rgb",),
        deep=False,
        splits=True,
    ),
    "coco": ExportFormat(
        "coco.CocoWriter", "COCO: boxes, masks, keypoints; parts", ("rgb", "parts"), splits=True
    ),
    "colmap": ExportFormat(
        "colmap.ColmapWriter",
        "COLMAP's text model, of a rig too, with the landmarks as points",
        ("rgb", "parts"),
        rigs=True,
        options=("masks",),
    ),
    "nerf": ExportFormat(
        "nerf.NerfWriter",
        "Nerfstudio's transforms.json, with depth",
        ("rgb", "depth", "parts"),
        deep=False,
        splits=True,
        options=("masks",),
    ),
    "tum": ExportFormat("tum.TumWriter", "TUM's trajectory, for evo", (), pieces=""),
    "euroc": ExportFormat(
        "euroc.EurocWriter",
        "EuRoC's mav0: images, calibration, trajectory",
        ("rgb",),
        distortion=4,
        rigs=True,
    ),
    "webdataset": ExportFormat(
        "webdataset.WebdatasetWriter",
        "BOP's WebDataset: shards of at most 1000 images",
        ("rgb", "depth", "parts"),
        files=False,
        pieces="archives",
        deep=False,
        distortion=0,
        splits=True,
    ),
    "openstl": ExportFormat(
        "openstl.OpenstlWriter",
        "OpenSTL's arrays of windows",
        ("rgb",),
        files=False,
        deep=False,
        splits="always",
        pieces="",
        options=("grey", "size", "frames_in", "frames_out", "window_step"),
    ),
    "tapvid": ExportFormat(
        "tapvid.TapvidWriter",
        "TAP-Vid: clips with exact tracks of surface points",
        ("rgb", "depth"),
        files=False,
        deep=False,
        pieces="clips",
        options=("size", "clip", "tracks", "seed"),
    ),
    "tapvid3d": ExportFormat(
        "tapvid3d.Tapvid3dWriter",
        "TAPVid-3D: the same in space",
        ("rgb", "depth"),
        files=False,
        deep=False,
        distortion=0,
        pieces="clips",
        options=("size", "clip", "tracks", "seed"),
    ),
    "glue-factory": ExportFormat(
        "gluefactory.GlueFactoryWriter",
        "glue-factory's posed images, with depth and pairs",
        ("rgb", "depth"),
        deep=False,
        distortion=0,
        options=("gaps",),
    ),
}
"""Format -> what it is."""


def writer(to: str) -> type[ExportWriter]:
    """Who writes a format."""
    module, name = FORMATS[to].writer.split(".")
    found: type[ExportWriter] = getattr(importlib.import_module(f"satgen.exports.{module}"), name)
    return found


def check_holds(to: str, data: Dataset) -> None:
    """Refuse a dataset that a format cannot hold exactly.

    Raises:
        InputError: its images have too many bits, or its lens too many coefficients.
    """
    kind = FORMATS[to]
    bits = data.config.sensor.bit_depth
    if "rgb" in kind.kinds and bits > 8 and not kind.deep:
        others = ", ".join(name for name, f in FORMATS.items() if f.deep and "rgb" in f.kinds)
        raise InputError(
            f"{data.folder}: has {bits}-bit images, and format {to} holds 8 bits; render it with "
            f"--bit-depth 8, or export it to one of {others}"
        )
    lens, kept = data.camera.distortion, kind.distortion
    if any(lens[kept:]):
        able = ", ".join(name for name, f in FORMATS.items() if not any(lens[f.distortion :]))
        what = "cameras without distortion" if kept == 0 else f"{kept} coefficients of distortion"
        raise InputError(
            f"{data.folder}: its lens distorts (k1,k2,p1,p2,k3 "
            f"{','.join(f'{value:g}' for value in lens)}), and format {to} holds "
            f"{what}; export it to one of {able}"
        )
