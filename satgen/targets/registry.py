"""The targets that have a name: the bundled ones and the random ones, and where their files lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from satgen.errors import InputError
from satgen.targets import generated

TARGETS = ("aura", "worldview", "cartography")
"""Names of the bundled targets, in the order in which they are listed and rendered."""


BUILD_HINT = "satgen targets build"


def assets_dir() -> Path:
    """Folder of the built targets: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


def is_name(name: str) -> bool:
    """Whether `name` is a target's name, bundled or random:SEED, and not a file's.

    Raises:
        InputError: it asks for a random craft, but for none that there is.
    """
    if generated.is_random(name):
        generated.seed_of(name)
        return True
    return name in TARGETS


def folder_name(source: str) -> str:
    """What a folder or picture of a target, by name or of a model file, is called.

    Raises:
        InputError: a random craft that there is not.
    """
    # a colon is no character for that
    return source.replace(":", "-") if is_name(source) else Path(source).stem


def check_name(name: str) -> str:
    """`name` if it is a bundled target, else InputError."""
    if name not in TARGETS:
        raise InputError(f"unknown target {name!r}: one of {', '.join(TARGETS)}")
    return name


def asset_path(name: str, suffix: str = ".glb") -> Path:
    """File of a target: `suffix` is .glb, .json, or, of a bundled one, .png.

    A random craft is built if it is not in the cache.

    Raises:
        InputError: unknown name; RunError: a random craft cannot be kept.
    """
    if generated.is_random(name):
        glb, card = generated.files_of(generated.seed_of(name))
        return card if suffix == ".json" else glb
    return assets_dir() / f"{check_name(name)}{suffix}"


def load_card(name: str) -> dict[str, Any]:
    """The JSON card of a target.

    Raises:
        InputError: unknown name, or the card is missing or unreadable.
    """
    path = asset_path(name, ".json")
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; build it: {BUILD_HINT}") from None
    except ValueError as error:
        raise InputError(f"{path}: not a card ({error}); build it: {BUILD_HINT}") from None
    return card
