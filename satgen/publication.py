"""What a dataset carries for others to open it with: a table for image folders, Croissant, a card.

    metadata.parquet    the frame table with the images' file names: load_dataset("imagefolder", …)
    croissant.json      the dataset as Croissant 1.0 describes it, with the fields of RAI
    README.md           the dataset's card

They follow from dataset.json and the frame table, byte for byte, and say nothing of the day or the
machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from satgen.dataset import (
    CARD,
    CROISSANT,
    FRAMES_PARQUET,
    METADATA,
    Table,
    frame_columns,
    image_name,
)
from satgen.runfolder import description_bytes
from satgen.tables import parquet_bytes

LICENCE = ("apache-2.0", "https://spdx.org/licenses/Apache-2.0.html")
"""Of datasets of bundled targets and random craft, as Hugging Face's cards and Croissant name it:
that of satgen."""

OTHER = ("other", "the owner's of the target's model")
"""The same of datasets of a user's own model, which are the user's affair."""

SHOWN = ("rgb", "depth", "parts", "shadow")
"""Images that other programs read right; three channels of 16 bits, as normals have, few do."""


def publication_files(
    description: Mapping[str, Any], frames: Table, frames_sha256: str
) -> dict[str, bytes]:
    """The files, by name.

    Args:
        description: dataset.json.
        frames: the frame table.
        frames_sha256: of its file, frames.parquet.
    """
    metadata = metadata_bytes(description, frames)
    return {
        METADATA: metadata,
        CROISSANT: description_bytes(croissant(description, frames_sha256, metadata)),
        CARD: card(description, frames).encode(),
    }


def kinds_shown(description: Mapping[str, Any]) -> list[str]:
    """The kinds of image that others are told of."""
    return [kind for kind in SHOWN if kind in description["images"]]


def metadata_bytes(description: Mapping[str, Any], frames: Table) -> bytes:
    """The frame table with a column of file names in front for each kind of image."""
    names = [image_name(int(index)) for index in frames["index"]]
    files = {
        f"{kind}_file_name": np.array([f"{kind}/{name}" for name in names], dtype=object)
        for kind in kinds_shown(description)
    }
    schema = frame_columns(more=description.get("columns", []))
    return parquet_bytes({**files, **frames}, {**dict.fromkeys(files, str), **schema})


# --- Croissant ------------------------------------------------------------------------------------

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in (
        *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet"),
        *("format", "equivalentProperty"),
        *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path"),
        *("recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
        *("source", "subField", "transform"),
    )},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}  # fmt: skip
_TYPES = {int: "sc:Integer", float: "sc:Float", str: "sc:Text"}


def croissant(
    description: Mapping[str, Any], frames_sha256: str, metadata: bytes
) -> dict[str, Any]:
    """croissant.json: the tables' files, the images' folders, and two sets of records."""
    kinds = kinds_shown(description)
    name, count = str(description["target"]["name"]), int(description["indices"]["count"])
    tables = {FRAMES_PARQUET: frames_sha256, METADATA: hashlib.sha256(metadata).hexdigest()}
    schema = frame_columns(more=description.get("columns", []))
    fields = [
        _field(f"frames/{column}", _TYPES[kind], {"fileObject": {"@id": FRAMES_PARQUET}},
               {"column": column})
        for column, kind in schema.items()
    ]  # fmt: skip
    pictures = [
        {
            "@type": "cr:RecordSet",
            "@id": kind,
            "name": kind,
            "key": {"@id": f"{kind}/file"},
            "field": _image_fields(kind, int(description["images"][kind]["bits"])),
        }
        for kind in kinds
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"satgen-{_plain_name(name)}",
        "description": _summary(description),
        "license": licence_of(description)[1],
        "url": CARD,
        "version": "1.0.0",
        "creator": {"@type": "sc:Organization", "name": "the satgen authors"},
        "citeAs": f"@misc{{satgen-{_plain_name(name)}, title={{{_title(description)}}}}}",
        "rai:hasSyntheticData": True,
        "rai:dataLimitations": (
            "Rendered, not photographed: materials and light are modelled, and the target is a "
            "model whose figures are named in dataset.json. One target, one trajectory."
        ),
        "rai:dataBiases": (
            f"{count} views along one trajectory, so views and light are not evenly spread; "
            "neighbouring frames are nearly alike, and splits must keep them together."
        ),
        "rai:personalSensitiveInformation": "None: there are no people in it.",
        "rai:dataUseCases": (
            "Pose estimation, segmentation, depth, matching, tracking and forecasting of "
            "spacecraft; not proof of performance in flight."
        ),
        "rai:dataSocialImpact": (
            "Serves inspection and servicing of satellites; close-range navigation has military "
            "uses, too."
        ),
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": file,
                    "name": file,
                    "contentUrl": file,
                    "encodingFormat": "application/x-parquet",
                    "sha256": digest,
                }
                for file, digest in tables.items()
            ),
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{kind}-files",
                    "name": f"{kind}-files",
                    "encodingFormat": "image/png",
                    "includes": f"{kind}/*.png",
                }
                for kind in kinds
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "frames",
                "name": "frames",
                "key": {"@id": "frames/index"},
                "field": fields,
            },
            *pictures,
        ],
    }


def _field(place: str, kind: str, source: dict[str, Any], extract: dict[str, Any]) -> Any:
    return {
        "@type": "cr:Field",
        "@id": place,
        "name": place.partition("/")[2],
        "dataType": kind,
        "source": {**source, "extract": extract},
    }


def _image_fields(kind: str, bits: int) -> list[Any]:
    """A kind's file names and paths; its pixels where Croissant's reader, which makes 8-bit RGB of
    every PNG, loses nothing."""
    source = {"fileSet": {"@id": f"{kind}-files"}}
    fields = [
        _field(f"{kind}/file", "sc:Text", source, {"fileProperty": "filename"}),
        _field(f"{kind}/path", "sc:Text", source, {"fileProperty": "fullpath"}),
    ]
    if bits == 8:
        content = {"fileProperty": "content"}
        fields.append(_field(f"{kind}/image", "sc:ImageObject", source, content))
    return fields


def licence_of(description: Mapping[str, Any]) -> tuple[str, str]:
    """The licence of a dataset: its name on cards, and where it is, or whose."""
    return LICENCE if description["target"].get("file") is None else OTHER


def _plain_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _title(description: Mapping[str, Any]) -> str:
    card = description["target"].get("card", {})
    return str(card.get("title") or description["target"]["name"])


def _summary(description: Mapping[str, Any]) -> str:
    camera, indices = description["camera"], description["indices"]
    kinds = ", ".join(description["images"])
    return (
        f"{_title(description)}: {indices['count']} rendered frames, {camera['width']} x "
        f"{camera['height']} pixels, with exact pose and landmarks; images: {kinds}."
    )


# --- the card -------------------------------------------------------------------------------------


def card(description: Mapping[str, Any], frames: Table) -> str:
    """README.md, as Hugging Face has dataset cards."""
    camera, indices, sensor = (description[key] for key in ("camera", "indices", "sensor"))
    picture, (licence, _) = description["images"]["rgb"], licence_of(description)
    count = len(frames["index"])
    size = next((name for most, name in _SIZES if count < most), _SIZES[-1][1])
    shown = int(frames["index"][int(np.argmax(frames["coverage"]))]) if count else None
    rows = {
        "frames": f"{indices['count']}, observation indices {indices['start']} to "
        f"{indices['stop']}, every {indices['step']}",
        "images": ", ".join(description["images"]),
        "size": f"{camera['width']} x {camera['height']} pixels, {picture['channels']} channel"
        f"{'s' if picture['channels'] > 1 else ''} of {picture['significant_bits']} bits "
        f"({sensor['curve']})",
        "camera": f"fx {camera['fx']:.8g}, fy {camera['fy']:.8g}, cx {camera['cx']:.8g}, "
        f"cy {camera['cy']:.8g}",
        "depth": f"metres = value x {description['depth_scale']:g}; 0 where there is none",
        "distance": f"{frames['distance_m'].min():.4g} to {frames['distance_m'].max():.4g} m"
        if count
        else "",
        "phase angle": f"{frames['phase_deg'].min():.1f} to {frames['phase_deg'].max():.1f} degrees"
        if count
        else "",
        "parts": str(len(description["parts"])),
        "landmarks": str(len(description["landmarks"])),
        "satgen": str(description.get("software", {}).get("satgen", "")),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    image = "" if shown is None else f"![frame {shown}](rgb/{image_name(shown)})\n\n"
    command = str(description.get("command") or "")
    made = f"Rendered by\n\n```sh\n{command}\n```\n\n" if command else ""
    return (
        f"---\nlicense: {licence}\npretty_name: {json.dumps(_title(description))}\n"
        f"size_categories:\n- {size}\ntags:\n- spacecraft\n- pose-estimation\n- depth\n"
        f"- synthetic\n---\n\n# {_title(description)}\n\n{_summary(description)}\n\n{image}"
        f"| | |\n| --- | --- |\n{table}\n\n{_CONVENTIONS}{_LOADERS}{made}{_CHECK}"
    )


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_CONVENTIONS = """Poses (`qw`, `qx`, `qy`, `qz`, `tx`, `ty`, `tz`) take target-frame to camera-frame
coordinates: metres, OpenCV's axes, the quaternion's real part first. Pixel (0, 0) is the centre of
the first one. Depth is z in the camera's frame.

"""
_LOADERS = """```python
from datasets import load_dataset
data = load_dataset("imagefolder", data_dir=".", split="train")    # this folder
frame = data[0]
print(frame["index"], frame["rgb"].size, frame["depth"].mode, frame["qw"], frame["tz"])
```

or, with all of the truth, `satgen.open(".")`.

"""
_CHECK = "`satgen verify` proves the dataset whole, from its files alone.\n"
