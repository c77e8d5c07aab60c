"""A site: what a page in a browser may ask for, by path, and how each file is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from satgen.seal import digest

PAGE = Path(__file__).parent / "page"
"""What the browser runs."""

DESCRIPTION = "view.json"
INDEX = "index.html"
FORMAT, VERSION = "satgen-view", 1

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Content types by suffix; everything else is bytes."""


@dataclass(frozen=True)
class SiteFile:
    """A file of a site.

    Attributes:
        make: gives its bytes; a function of a module, or a `partial` of one, so that it can be
            called in another process.
        keep: its place below the cache, of a name that only these bytes have; None where it costs
            nothing to make again.
        ahead: whether it may be made before anybody asks for it.
    """

    make: Callable[[], bytes]
    keep: str | None = None
    ahead: bool = True


@dataclass
class Site:
    """What a page may ask for.

    Attributes:
        description: the object that the page begins with, view.json.
        identity: what decides the bytes of all files; plain values.
        files: by path.
        folders: of the datasets, by their names in the site.
        live: by the first part of a path, what answers the rest of it on this machine; None where
            there is no such thing. It is not exported.
    """

    description: dict[str, Any]
    identity: dict[str, Any]
    files: dict[str, SiteFile]
    folders: dict[str, Path] = field(default_factory=dict)
    live: dict[str, Callable[[str], bytes | None]] = field(default_factory=dict)


def page_files() -> dict[str, SiteFile]:
    """The files that every page has."""
    return {name: SiteFile(partial(_page_file, name)) for name in sorted(_page_names())}


def content_type(path: str) -> str:
    """The content type of a path."""
    return TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")


def described(description: Mapping[str, Any], *, live: Iterable[str] = ()) -> dict[str, Any]:
    """The object that a page begins with.

    Args:
        description: of the site.
        live: what this server answers besides files.
    """
    return {"format": FORMAT, "version": VERSION, "live": sorted(live), **description}


def cache_key(identity: Mapping[str, Any]) -> str:
    """The folder below the cache of what an identity, plain values, decides the bytes of."""
    return digest(identity)[:32]


def json_bytes(data: Any) -> bytes:
    """JSON as small as it goes; there must be no NaN in it."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@lru_cache(maxsize=1)
def _page_names() -> frozenset[str]:
    return frozenset(path.name for path in PAGE.iterdir() if path.suffix in TYPES)


def _page_file(name: str) -> bytes:
    return (PAGE / name).read_bytes()
