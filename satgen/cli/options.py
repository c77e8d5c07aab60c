"""Options of the command line, made from the fields of frozen dataclasses.

`options_of(Config)` is a decorator that adds an option for every field that is declared with
`satgen.settings.setting`, those of nested dataclasses included. An option that was not given is
None (or empty, where it may be given again), so `configured` leaves the configuration's own default
alone. Help texts, defaults and ranges are the fields' own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from satgen.errors import InputError, cut
from satgen.exits import NAME_BYTES, TOO_LONG
from satgen.settings import Setting, listed, option_name, setting_of

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C")

_NAMES: dict[Any, tuple[str, str]] = {
    int: ("INTEGER", "a whole number"),
    float: ("FLOAT", "a number"),
    str: ("TEXT", "a text"),
    Path: ("PATH", "a path"),
}
"""What help and messages call a value of a type."""


class PathName(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The path of a file or folder, there or not, none of whose names is too long for a file."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; InputError where no file system here can have it."""
        path = Path(value)
        if any(len(os.fsencode(part)) > NAME_BYTES for part in path.parts):
            raise InputError(f"{cut(str(value))}: {TOO_LONG}")
        return path


PATH = PathName()


class Value(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The value of a field: read by its type or its own parser, and checked against its range.

    A value that will not do ends the command with one line that says what would.
    """

    def __init__(self, option: str, declared: Setting, kind: Any) -> None:
        self.option = option
        self.declared = declared
        self.kind = kind
        self.name = declared.metavar or _NAMES.get(kind, _NAMES[str])[0]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; InputError where the text is none or out of range."""
        if not isinstance(value, str):
            return value
        try:
            read = (self.declared.parse or self.kind)(value)
        except InputError as error:
            raise InputError(f"--{self.option} {cut(value)}: {error}") from None
        except ValueError:
            what = _NAMES.get(self.kind, _NAMES[str])[1]
            needed = f"{what}, {self.declared.range}" if self.declared.range else what
            raise InputError(f"--{self.option} {cut(value)}: must be {needed}") from None
        self.declared.check(read, f"--{self.option}")
        return read


def number_option(
    name: str,
    kind: type,
    help: str,
    default: Any,
    low: float,
    high: float,
    shown: str | None = None,
) -> Callable[[F], F]:
    """A decorator that adds an option that is no field's: a number between two bounds."""
    declared = Setting(help, low=low, high=high, shown=shown)
    value = Value(name, declared, kind)
    return click.option(
        f"--{name}", type=value, default=default, help=_help(declared, default, name)
    )


def options_of(config: type, *, without: tuple[str, ...] = ()) -> Callable[[F], F]:
    """A decorator that adds the options of a dataclass, in the order of its fields.

    Args:
        config: a dataclass; fields that are dataclasses themselves are looked into.
        without: names of fields that get no option.
    """

    def decorate(command: F) -> F:
        for place, item, kind in reversed(list(_declared(config))):
            if place not in without:
                command = _option(place, item, kind)(command)
        return command

    return decorate


def options_of_any(configs: Mapping[str, type], prefix: str) -> Callable[[F], F]:
    """A decorator that adds the options of alternatives, of which another option chooses one.

    A field that several of them have is one option; its help says whose it is, and each one's
    default where these differ.

    Args:
        configs: dataclasses by the name that chooses them.
        prefix: in front of the fields' names among the command's values.
    """
    owners: dict[str, dict[str, Field[Any]]] = {}
    kinds: dict[str, Any] = {}
    for name, config in configs.items():
        for place, item, kind in _declared(config):
            owners.setdefault(place, {})[name] = item
            kinds.setdefault(place, kind)

    def decorate(command: F) -> F:
        for place, items in reversed(owners.items()):
            whose = f"Of {listed(list(items))}: "
            first = next(iter(items.values()))
            shown = None
            if any(item.default != first.default for item in items.values()):
                # One without a default of its own, such as None, has none to show.
                known = {n: item for n, item in items.items() if item.default not in (None, ())}
                shown = "; ".join(f"{_default(item)} ({name})" for name, item in known.items())
            command = _option(f"{prefix}{place}", first, kinds[place], whose, shown)(command)
        return command

    return decorate


def _default(item: Field[Any]) -> str:
    """A field's default as help shows it."""
    declared = setting_of(item)
    assert declared is not None
    return _shown(item.default, declared, option_name(item))


def chosen(
    configs: Mapping[str, type],
    name: str,
    prefix: str,
    values: Mapping[str, Any],
    what: str = "trajectory",
) -> dict[str, Any]:
    """What was given of the options of `options_of_any`, by field.

    Args:
        configs, prefix: as there.
        name: of the alternative.
        values: the command's.
        what: the alternatives are called, for messages.

    Raises:
        InputError: an option that the alternative `name` does not know.
    """
    given = {
        key.removeprefix(prefix): value
        for key, value in values.items()
        if key.startswith(prefix) and value not in (None, ())
    }
    for place in given:
        owners = {n: item for n, c in configs.items() for p, item, _ in _declared(c) if p == place}
        if name not in owners:
            option = option_name(next(iter(owners.values())))
            raise InputError(
                f"--{option}: {what} {name} has no such parameter, only "
                f"{listed(list(owners))} {'has' if len(owners) == 1 else 'have'}"
            )
    return given


def configured(base: C, values: Mapping[str, Any]) -> C:
    """A configuration with the values of the options that were given.

    Args:
        base: what holds where nothing was given.
        values: as the command gets them, by field; of a nested one `outer__inner`.

    Raises:
        InputError: values that do not go together.
    """
    changes: dict[str, Any] = {}
    for item in fields(base):  # type: ignore[arg-type]
        old = getattr(base, item.name)
        if is_dataclass(old):
            inner = {
                name.removeprefix(f"{item.name}__"): value
                for name, value in values.items()
                if name.startswith(f"{item.name}__")
            }
            new = configured(old, inner)
            if new != old:
                changes[item.name] = new
        if values.get(item.name) not in (None, ()):
            changes[item.name] = values[item.name]
    return replace(base, **changes) if changes else base  # type: ignore[type-var]


def _declared(config: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """The fields with a setting: place in `values`, the field, and its type."""
    hints = get_type_hints(config)
    for item in fields(config):
        kind = _plain(hints[item.name])
        declared = setting_of(item)
        if declared is not None and declared.option:
            yield f"{prefix}{item.name}", item, kind
        elif declared is None and is_dataclass(kind):
            yield from _declared(kind, f"{prefix}{item.name}__")


def _plain(hint: Any) -> Any:
    """The type of a value that may also be None; of a tuple, its items'."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return _plain(kinds[0]) if len(kinds) == 1 else str
    if get_origin(hint) is tuple:
        return get_args(hint)[0]
    return hint


def _option(
    place: str, item: Field[Any], kind: Any, whose: str = "", shown: str | None = None
) -> Callable[[F], F]:
    declared = setting_of(item)
    assert declared is not None
    if shown is not None:
        declared = replace(declared, shown=shown)
    if whose:
        declared = replace(declared, help=f"{whose}{declared.help[0].lower()}{declared.help[1:]}")
    name = option_name(item)
    default = item.default
    text = _help(declared, None if default is MISSING else default, name)
    if kind is bool:
        on, _, off = name.partition("/")
        switch = f"--{on}/--{off or f'no-{on}'}"
        return click.option(switch, place, default=None, help=text)
    value = Value(name, declared, kind)
    return click.option(
        f"--{name}", place, type=value, multiple=declared.many, default=None, help=text
    )


def _help(declared: Setting, default: Any, name: str) -> str:
    shown = None if default is None or default == () else _shown(default, declared, name)
    if declared.shown is not None:
        shown = declared.shown.format(shown)
    details = [] if declared.choices else [declared.range]
    if shown:
        details.append(f"default: {shown}")
    brackets = "; ".join(filter(None, details))
    sentence = f"{declared.sentence}  " if declared.sentence else ""
    return f"{sentence}[{brackets}]" if brackets else declared.sentence


def _shown(value: Any, declared: Setting, name: str) -> str:
    """A default as help shows it, and as the option would take it."""
    if isinstance(value, bool):
        on, _, off = name.partition("/")
        return on if value else (off or f"no-{on}")
    if isinstance(value, tuple):
        return (" " if declared.many else ",").join(_shown(v, declared, name) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
