"""Large models are read and packed once, and what is kept is believed only if it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from satgen import stored
from satgen.errors import InputError
from satgen.model import LateMaterials
from satgen.rendering import packing
from satgen.targets import load, registry, stored_models
from satgen.targets.load import load_target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which every model is large enough to be kept."""
    monkeypatch.setenv("SATGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stored_models, "LEAST_BYTES", 1)
    return tmp_path


def craft(folder: Path) -> Path:
    """A textured square, half of it in the texture's own colour, and a rod."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(
        folder / "t.png"
    )
    (folder / "m.mtl").write_text("newmtl m\nmap_Kd t.png\nnewmtl n\nKd 1 0 0\nmap_Kd t.png\n")
    (folder / "c.obj").write_text(
        "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 9 0.01 0\nvt 0 0\nvt 1 0\nvt 1 1\n"
        "o a\nusemtl m\nf 1/1 2/2 3/3\no b\nusemtl n\nf 1/1 3/3 4/2\nf 1/1 4/1 5/1\n"
    )
    return folder / "c.obj"


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays and dataclasses within them, too."""
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    if is_dataclass(one):
        names = [each.name for each in fields(one)]
        return all(same(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, tuple | LateMaterials):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """How often a function is called from now on: the length of the list."""
    calls: list[int] = []
    function: Callable[..., Any] = getattr(module, name)

    def wrapper(*words: Any) -> Any:
        calls.append(1)
        return function(*words)

    monkeypatch.setattr(module, name, wrapper)
    return calls


def test_the_second_time_nothing_is_read_or_packed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = craft(folder)
    reads = counted(monkeypatch, load, "_read_file")
    packs = counted(monkeypatch, packing, "_packed")
    first = load_target(path)
    first_packed = packing.pack(first)
    second = load_target(path)
    second_packed = packing.pack(second)
    assert (len(reads), len(packs)) == (1, 1)
    assert same(first, second)
    assert same(first_packed, second_packed)
    assert second.materials[0].base_color_image is second.materials[1].base_color_image


@pytest.mark.parametrize("what", ["model", "texture", "library", "card", "scale", "up", "parts"])
def test_whatever_it_was_made_from_counts(
    what: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = craft(folder)
    reads = counted(monkeypatch, load, "_read_file")
    load_target(path)
    options: dict[str, Any] = {}
    if what == "model":
        path.write_text(path.read_text() + "# more\n")
    elif what == "texture":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "t.png")
    elif what == "library":
        (folder / "m.mtl").unlink()
    elif what == "card":
        (folder / "c.json").write_text('{"parts": [{"name": "a", "class": "bus"}]}')
    else:
        options[what] = {"scale": 2.0, "up": "x", "parts": "material"}[what]
    again = load_target(path, **options)
    assert len(reads) == 2
    monkeypatch.setenv("SATGEN_CACHE", str(folder / "other"))
    assert same(again, load_target(path, **options))


def test_damage_is_noticed_and_made_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = craft(folder)
    first = load_target(path)
    (kept,) = stored.folder().glob("*.stored")
    data = kept.read_bytes()
    reads = counted(monkeypatch, load, "_read_file")
    damages = [b"", data[:-1], data[:100], b"\0" * 200, data[:-1] + bytes([data[-1] ^ 1])]
    for number, damaged in enumerate(damages, start=1):
        kept.write_bytes(damaged)
        assert same(load_target(path), first)
        assert len(reads) == number
        assert kept.read_bytes() == data
    kept.unlink()
    kept.mkdir()
    assert same(load_target(path), first)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_somebody_elses_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = craft(folder)
    load_target(path)
    (kept,) = stored.folder().glob("*.stored")
    os.chown(kept, 12345, 12345)
    reads = counted(monkeypatch, load, "_read_file")
    load_target(path)
    assert len(reads) == 1


def test_a_folder_that_cannot_be_written_is_done_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("SATGEN_CACHE", str(folder / "file"))
    path = craft(folder)
    packing.pack(load_target(path))
    packing.pack(load_target(path))


def test_what_was_used_longest_ago_makes_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 3 * 9000)
    for number in range(6):
        stored.write(f"{number}", {"a": np.zeros(8000, dtype=np.uint8)}, None)
        os.utime(stored.folder() / f"{number}.stored", (1000.0 + number, 1000.0 + number))
    held = {path.stem for path in stored.folder().glob("*.stored")}
    assert held == {"3", "4", "5"}
    stored.write("large", {"a": np.zeros(20000, dtype=np.uint8)}, None)
    assert stored.read("large") is None


def test_a_model_made_of_a_kept_one_is_another(folder: Path) -> None:
    import dataclasses

    model = load_target(craft(folder))
    assert stored_models.kept_as(model)
    assert not stored_models.kept_as(dataclasses.replace(model, faces=model.faces[:1]))


def test_what_is_wrong_is_told_each_time(folder: Path) -> None:
    path = craft(folder)
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    for _ in range(2):
        with pytest.raises(InputError):
            load_target(path)
    assert not list(stored.folder().glob("*.stored"))


def test_a_target_is_read_and_packed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = counted(monkeypatch, load, "_read_named")
    packs = counted(monkeypatch, packing, "_packed")
    first = load_target("cartography")
    assert first.light is not None
    first_packed = packing.pack(first, 0.2)
    second = load_target("cartography")
    second_packed = packing.pack(second, 0.2)
    assert (len(reads), len(packs)) == (1, 1)
    assert same(first_packed, second_packed)
    assert second_packed.exchange is not None and second_packed.mirrors is not None
    assert same(second, first)  # which reads the materials
    assert len(reads) == 2
    assert load_target("cartography", light=False).light is None


def test_a_target_that_changes_while_it_is_in_use_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = registry.assets_dir()
    copies = folder / "assets"
    copies.mkdir()
    for path in assets.glob("cartography.*"):
        (copies / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(registry, "assets_dir", lambda: copies)
    load_target("cartography")
    model = load_target("cartography")
    glb = copies / "cartography.glb"
    glb.write_bytes((assets / "aura.glb").read_bytes())
    with pytest.raises(InputError, match=r"cartography\.glb: changed while it was in use"):
        model.materials[0]
    with pytest.raises(InputError, match="bake it again"):
        load_target("cartography")
