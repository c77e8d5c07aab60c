"""Objects by name: "my.module:Name" or "my/file.py:Name", a user's own or one of ours.

Modules are looked for in the current directory, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from satgen.errors import InputError
from satgen.installed import OURS


def named(place: str) -> Any:
    """What "module:Name" or "file.py:Name" names; the same object whenever it is asked for.

    Raises:
        InputError: the module cannot be imported, or has no such name.
        ImportError: a library that a module of ours needs is missing; `installed.explain` says it.
    """
    where, _, name = place.rpartition(":")
    try:
        found: Any = _file(Path(where).resolve()) if where.endswith(".py") else _module(where)
    except Exception as error:  # whatever somebody's module does
        if isinstance(error, ImportError) and where.partition(".")[0] in OURS:
            raise  # a library of our own is missing: the caller says which and how to have it
        raise InputError(f"{place!r}: cannot import {where!r} ({reason_of(error)})") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{place!r}: {where!r} has no {part!r}")
        found = getattr(found, part)
    return found


def _module(name: str) -> ModuleType:
    """A module, which may be in the current directory."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    return importlib.import_module(name)


@lru_cache
def _file(path: Path) -> ModuleType:
    """The module in a file, executed once, under a name that no other has."""
    name = f"satgen_user_{path.stem}"
    while name in sys.modules:
        name += "_"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def required_parameters(function: Any) -> int:
    """How many positional parameters a call must give."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def made(found: Any, what: str) -> Any:
    """What a class, or a function that needs no argument, makes; anything else as it is.

    Args:
        found: by name.
        what: it is to be, for the message.

    Raises:
        InputError: it cannot be made.
    """
    if not inspect.isclass(found) and (not inspect.isroutine(found) or required_parameters(found)):
        return found
    try:
        return found()
    except InputError:
        raise
    except Exception as error:  # whatever somebody's class does
        raise InputError(f"{what}: cannot be made ({reason_of(error)})") from None


def reason_of(error: Exception) -> str:
    """An error of somebody's own code, in one line: its type and what it says."""
    return " ".join(f"{type(error).__name__}: {error}".split())
