"""Every parser of a user's file: any bytes, and any valid file that was changed, are read, or
refused in satgen's own words; never another error. Models, Parquet and dataset.json have tests
beside their modules."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from bench.posed import load_posed_pairs
from bench.predict.frame_learned import LearnedFrames
from bench.predict.learned import LearnedModel
from bench.predict.posed_frames import read_poses
from bench.run import BenchResult
from matchers.training import checkpoint, schedule
from matchers.training.config import TrainConfig
from matchers.truth.pairs import Pair, load_pairs, pairs_csv
from matchers.weights import Purpose, load, purpose, with_purpose
from satgen.dataset import open_datasets
from satgen.errors import InputError, SatgenError
from satgen.interreflection import _LIGHT, FORMAT, read_light
from satgen.merge import status
from satgen.options import RenderOptions
from satgen.png import MOST_PIXELS, _decode_without_opencv, decode_png, encode_png
from satgen.reading import read_npz
from satgen.records import read_journal
from satgen.rig import rig_requests
from satgen.runfolder import Journal, RunFolder, RunKind, journal_line
from satgen.sensor import read_sensor
from satgen.targets.sidecar import read_sidecar
from satgen.trajectory import PoseFile, TrajectoryConfig, available_indices, observe

DEEP = json.loads("[" * 200 + "]" * 200)
NASTY: list[Any] = [
    None, True, -1, 0, 1e308, -1e308, 10**400, 2**63, "", "\0", "x" * 5000, "\x1b[31m", [], {},
    [[]], {"": {}}, DEEP, float("nan"), float("inf"), [1e308] * 16, "../../etc/passwd",
]  # fmt: skip
CELLS = ["", "nan", "inf", "1e400", "9" * 5000, "\0", '"', "-1", "x", "1,2", "\u2028", "1e308"]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every entry of every object and list: what holds it, and its key."""
    entries = list(value.items() if isinstance(value, dict) else enumerate(value))
    inner = [_places(v) for _, v in entries if isinstance(v, dict | list)]
    return [(value, key) for key, _ in entries] + [place for places in inner for place in places]


def _changed_json(valid: bytes, rng: random.Random) -> bytes:
    """One value of it another, gone, or under another name."""
    value = deepcopy(json.loads(valid))
    holder, key = rng.choice(_places(value) or [({"": 0}, "")])
    how = rng.randrange(8)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[rng.choice(["", "x", "__class__"])] = holder.pop(key)
    else:
        holder[key] = rng.choice(NASTY)
    return json.dumps(value).encode()


def _changed_table(valid: bytes, rng: random.Random) -> bytes:
    """One cell of it another, one line gone or twice."""
    rows = [line.split(",") for line in valid.decode().splitlines()]
    row = rng.randrange(len(rows))
    how = rng.randrange(6)
    if how == 0:
        del rows[row]
    elif how == 1:
        rows.insert(row, rows[row])
    else:
        rows[row][rng.randrange(len(rows[row]))] = rng.choice(CELLS)
    return "\n".join(map(",".join, rows)).encode()


def _changed_bytes(valid: bytes, rng: random.Random) -> bytes:
    """Cut short, some of its bytes others, or other bytes altogether."""
    how = rng.randrange(4)
    if how == 0:
        return valid[: rng.randrange(len(valid) + 1)]
    if how == 1:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(valid)
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(data)


def _lines(change: Callable[[bytes, random.Random], bytes]) -> Callable[..., bytes]:
    """A change of one line of a journal, whose checksum fits again."""

    def changed(valid: bytes, rng: random.Random) -> bytes:
        lines = valid.splitlines()
        place = rng.randrange(len(lines))
        value = json.loads(lines[place])
        value.pop("crc32")
        new = json.loads(change(json.dumps(value).encode(), rng))
        lines[place] = journal_line(new).rstrip() if isinstance(new, dict) else b"[]"
        return b"\n".join(lines) + b"\n"

    return changed


def _npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _checkpoint() -> bytes:
    out = io.BytesIO()
    torch.save({"format": checkpoint.FORMAT, "step": 3, "model": {"a": torch.zeros(2)}}, out)
    return out.getvalue()


def _weights(suffix: str) -> bytes:
    tensors = {"a.weight": torch.zeros(2, 3), "a.bias": torch.ones(2)}
    if suffix == "safetensors":
        return with_purpose(save(tensors), Purpose("lightglue", "sift"))
    out = io.BytesIO()
    torch.save({"state_dict": tensors}, out)
    return out.getvalue()


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()


POSES = b"index,qw,qx,qy,qz,tx,ty,tz\n1,1,0,0,0,0,0,9\n2,1,0,0,0,0,0,8\n3,0,1,0,0,0,0,9\n"
ANGLES = b"index,azimuth_deg,elevation_deg,roll_deg,distance_m\n1,0,5,0,9\n2,3,5,0,9\n"
EYE = [[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
RIG = {"cameras": [{"name": "a", "T_rig_cam": EYE, "fov": 25, "distortion": [0.1, 0, 0, 0, 0]},
                   {"name": "b", "T_rig_cam": EYE, "sensor": "imx174"}]}  # fmt: skip
CARD = {"title": "A craft", "parts": [{"name": "wing*", "class": "solar_array", "label": 3}],
        "landmarks": {"tip": [1, 2, 3]}, "facts": {"mass": {"value": 3, "unit": "kg"}}}  # fmt: skip
SHARD = {"format": "satgen-shard", "version": 1, "dataset": {}, "identity": {"shard": {}}}
POSED = "a.png b.png 0 1 " + "5 0 3 0 5 2 0 0 1 " * 2 + "1 0 0 0 0 1 0 0 0 0 1 1 0 0 0 1"
RECORD = {"index": 3, "bbox": [0, 0, 1, 1], "coverage": 0.1, "sha256": ["a"], "visible": [True]}
FOUND = {"dataset": "d", "poses": [{"index": 1, "T": EYE}, {"index": 2, "T": None}]}
KIND = RunKind("satgen try", "try", "try.json", {"format": "satgen-try", "version": 1}, ())


def poses(path: Path) -> None:
    config = TrajectoryConfig(motion=PoseFile(path), distance_m=9.0)
    observe(config, available_indices(config))


def rig(path: Path) -> None:
    rig_requests(RenderOptions(distance=9.0), path)


def run_folder(path: Path) -> None:
    with RunFolder.open(path.parent, KIND, {"seed": 0}):
        pass


def shards(path: Path) -> None:
    place = path.parent / "d.shards" / "1-of-2"
    place.mkdir(parents=True, exist_ok=True)
    (place / "shard.json").write_bytes(path.read_bytes())
    status(path.parent / "d")


def run(path: Path) -> None:
    found = BenchResult(path.parent)
    _ = found.summary


def light(path: Path) -> None:
    class Model:
        name = "craft"

    from satgen import interreflection

    real, interreflection.light_key = interreflection.light_key, lambda model: "00"
    try:
        read_light(path, Model())  # type: ignore[arg-type]
    finally:
        interreflection.light_key = real


def laid_out(path: Path) -> None:
    schedule.scheduled(TrainConfig(minutes=1.0), "pose", path.parent, 9.0, Exception)


LIGHT = _npz(
    **{
        name: np.zeros([2 if n is None else n for n in shape], kind)
        for name, (kind, shape) in _LIGHT.items()
    },
    key=np.zeros(1, np.uint8),
    format=np.array(FORMAT),
)
DECODERS = (decode_png, _decode_without_opencv)
PARSERS: dict[str, tuple[str, bytes, Callable[..., bytes], Callable[[Path], Any]]] = {
    "poses": ("a.csv", POSES, _changed_table, poses),
    "angles": ("a.csv", ANGLES, _changed_table, poses),
    "rig": ("a.json", _text(RIG), _changed_json, rig),
    "toml rig": (
        "a.toml", f'[[cameras]]\nname = "a"\nT_rig_cam = {EYE}\n'.encode(), _changed_bytes, rig,
    ),
    "sensor": ("a.json", _text({"preset": "imx174", "exposure": 0.5, "bit_depth": 8}),
               _changed_json, read_sensor),
    "card": ("a.json", _text(CARD), _changed_json, lambda p: read_sidecar(p.with_suffix(".glb"))),
    "pairs": ("a.csv", pairs_csv([Pair("d", 1, 2), Pair("-e", 3, 4)]), _changed_table, load_pairs),
    "posed pairs": ("a.txt", POSED.replace(" ", ",").encode(), _changed_table,
                    lambda p: load_posed_pairs(_with_blanks(p))),
    "journal": ("frames.jsonl", journal_line(RECORD) * 2, _lines(_changed_json),
                lambda p: read_journal(p.parent)),
    "found poses": ("poses.jsonl", journal_line(FOUND), _changed_bytes, read_poses),
    "results": ("results.jsonl", journal_line({"pair": 1, "matches": [1, 2]}),
                _lines(_changed_json), lambda p: Journal(p).read()),
    "run": ("run.json", _text({"format": "satgen-bench", "version": 1, "identity": {}}),
            _changed_json, run),
    "run folder": ("try.json", _text({"format": "satgen-try", "version": 1, "identity":
                                      {"seed": 0}}), _changed_json, run_folder),
    "shard": ("a.json", _text(SHARD), _changed_json, shards),
    "safetensors": ("a.safetensors", _weights("safetensors"), _changed_bytes,
                    lambda p: (purpose(p), load(p))),
    "pth": ("a.pth", _weights("pth"), _changed_bytes, load),
    "pose model": ("a.safetensors", save({"a": torch.zeros(1)}, {"pose_model": "{}"}),
                   _changed_bytes, LearnedModel.load),
    "frame model": ("a.safetensors", save({"a": torch.zeros(1)}, {"config": '{"network": {}}'}),
                    _changed_bytes, LearnedFrames.load),
    "checkpoint": ("a.pt", _checkpoint(), _changed_bytes, checkpoint.load),
    "schedule": (schedule.SCHEDULE, b'{"steps": 30}', _changed_json, laid_out),
    "log": ("log.csv", b"step,loss\n1,0.5\n2,0.25\n", _changed_table, checkpoint.read_log),
    "light": ("a.npz", LIGHT, _changed_bytes, light),
    "matches": ("a.npz", _npz(a=np.arange(9), b=np.zeros((2, 2))), _changed_bytes,
                lambda p: read_npz(p, ["a", "b"])),
    "png": ("a.png", encode_png(np.arange(600, dtype=np.uint16).reshape(10, 20, 3)), _changed_bytes,
            lambda p: [_image(way(p.read_bytes())) for way in DECODERS]),
    "dataset": ("dataset.json", b'{"format": "satgen-dataset"}', _changed_json,
                lambda p: open_datasets([p.parent])),
}  # fmt: skip


def _with_blanks(path: Path) -> Path:
    path.write_bytes(path.read_bytes().replace(b",", b" "))
    return path


def _image(found: Any) -> None:
    assert found is None or found.dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_valid_is_read(name: str, tmp_path: Path) -> None:
    file, valid, _, read = PARSERS[name]
    (tmp_path / file).write_bytes(valid)
    if name in ("run", "shard", "pose model", "frame model", "dataset"):
        with pytest.raises(InputError):  # no more of it is here than its beginning
            read(tmp_path / file)
    else:
        read(tmp_path / file)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PARSERS)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), plain=st.booleans())
def test_what_was_changed_is_read_or_refused(
    name: str, tmp_path: Path, seed: int, plain: bool
) -> None:
    file, valid, change, read = PARSERS[name]
    rng = random.Random(seed)
    (tmp_path / file).write_bytes((_changed_bytes if plain else change)(valid, rng))
    with suppress(SatgenError):
        read(tmp_path / file)


def _bomb(width: int, height: int, data: bytes, depth: int = 16) -> bytes:
    """A PNG file of colours that says its size."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("way", [decode_png, _decode_without_opencv])
def test_an_image_that_is_larger_than_it_may_be_is_none(way: Callable[[bytes], Any]) -> None:
    zeros = zlib.compress(bytes(10_000_000))
    assert way(_bomb(4, 4, zeros)) is None or way is decode_png
    if way is decode_png:
        assert way(_bomb(MOST_PIXELS, 2, zeros)) is None
        assert way(_bomb(2**31 - 1, 2**31 - 1, zeros, 8)) is None


def test_arrays_that_are_larger_than_they_may_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(_npz(a=np.zeros(3_000_000)))
    with pytest.raises(InputError, match="is larger than 1 MiB"):
        read_npz(path, ["a"], 1 << 20)
    with zipfile.ZipFile(path, "w") as archive:  # an array that says to be of 8 TB
        out = io.BytesIO()
        np.save(out, np.zeros(1))
        archive.writestr("a.npy", out.getvalue().replace(b"(1,)", b"(10**12,)"[:4]))
    with pytest.raises(InputError, match=r"a\.npz: not a NumPy file"):
        read_npz(path, ["a"])
    path.write_bytes(_npz(a=np.array([{"a": 1}], dtype=object)))
    with pytest.raises(InputError, match="not a NumPy file"):
        read_npz(path, ["a"])


def test_csv_cells_of_any_kind(tmp_path: Path) -> None:
    """A list of pairs with a quote that is never closed is refused, whatever is after it."""
    path = tmp_path / "a.csv"
    path.write_text('dataset,index0,index1\n"d,1,2\n')
    with pytest.raises(InputError):
        load_pairs(path)
    assert csv.field_size_limit() < 1 << 20
