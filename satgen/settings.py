"""Fields of a configuration that say what they are: one default, one help text, one range.

A frozen dataclass declares `size: int = setting(512, "Side of a square image", unit="pixels",
low=1)`. The command line makes its options from that (`satgen.cli.options`), and `check` refuses a
value out of range wherever the dataclass is made, so that nothing of it is written twice.

Only the standard library is imported here, so that a command's `--help` costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, TypeVar

from satgen.errors import InputError, cut

T = TypeVar("T")

_KEY = "setting"

SEEDS = 2**63
"""Seeds are below this."""


@dataclass(frozen=True)
class Setting:
    """What a field says of itself.

    Attributes:
        help: a sentence without its full stop.
        unit: of the value, appended to the help.
        low, high: least and largest value, included.
        above, below: bounds that the value must not reach.
        choices: the values that there are.
        name: the option's name without dashes; None is the field's, with dashes. A switch has two,
            "silhouette/whole-image".
        option: whether there is an option at all.
        many: a tuple, of which the option gives one item and may be given again.
        shown: what help says of the default, "{}" standing for it; None says the default itself.
        metavar: what help shows in place of the value.
        parse: from the option's text to the value; None goes by the field's type.
    """

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    name: str | None = None
    option: bool = True
    many: bool = False
    shown: str | None = None
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None

    @property
    def sentence(self) -> str:
        """The help with its unit, as a sentence."""
        text = f"{self.help}, {self.unit}" if self.unit else self.help
        return f"{text}." if text else ""

    @property
    def range(self) -> str:
        """What a value must be, such as "at least 1"; empty where anything will do."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        if self.low is not None and self.high is not None:
            return f"between {_bound(self.low)} and {_bound(self.high)}"
        bounds = (
            ("at least", self.low),
            ("more than", self.above),
            ("at most", self.high),
            ("below", self.below),
        )
        return " and ".join(
            f"{word} {_bound(bound)}" for word, bound in bounds if bound is not None
        )

    def check(self, value: Any, what: str) -> None:
        """InputError, naming `what`, if a value is out of range; None is always allowed."""
        items = value if isinstance(value, (tuple, list)) else (value,)
        if any(map(self._refuses, items)):
            shown = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in items)
            raise InputError(f"{what} {cut(shown)}: must be {self.range or 'finite'}")

    def _refuses(self, value: Any) -> bool:
        if value is None or isinstance(value, bool):
            return False
        if self.choices:
            return value not in self.choices
        if isinstance(value, str) or not hasattr(value, "__float__"):
            return False
        # Whole numbers are compared as they are: the largest are beyond floats.
        number = value if isinstance(value, int) else float(value)
        return (
            not (isinstance(number, int) or math.isfinite(number))
            or (self.low is not None and number < self.low)
            or (self.high is not None and number > self.high)
            or (self.above is not None and number <= self.above)
            or (self.below is not None and number >= self.below)
        )


def _bound(value: float) -> str:
    """A bound in words."""
    return "2**63" if value == SEEDS else f"{value:g}"


def setting(default: T, help: str, **details: Any) -> T:
    """A dataclass field with a default and what there is to say of it; see `Setting`.

    Typed as the default's type, as `dataclasses.field` is.
    """
    return field(default=default, metadata={_KEY: Setting(help, **details)})


def setting_of(item: Field[Any]) -> Setting | None:
    """What a field says of itself, or None."""
    found: Setting | None = item.metadata.get(_KEY)
    return found


def option_name(item: Field[Any]) -> str:
    """Name of a field's option without dashes in front; of a switch both, with a stroke between."""
    found = setting_of(item)
    return (found and found.name) or item.name.replace("_", "-")


def check(config: Any) -> None:
    """Refuse a configuration with a value out of its range, or with words for numbers.

    NumPy's numbers become Python's, which can be written down as JSON.

    Raises:
        InputError: the first such value, by the field's name.
    """
    for item in fields(config):
        found = setting_of(item)
        if found is not None:
            _check_kind(config, item, found)
            found.check(getattr(config, item.name), item.name)


_KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
}
"""Types of fields that are numbers, and what they must be."""


def _check_kind(config: Any, item: Field[Any], found: Setting) -> None:
    """InputError for a field that is a number, or several, and something else in it."""
    value = getattr(config, item.name)
    name = str(item.type).removesuffix(" | None")  # as it is written: annotations are text
    several = name.startswith("tuple[") and name.endswith(", ...]")
    if several:
        name = name[len("tuple[") : -len(", ...]")]
    if value is None or name not in _KINDS:
        return
    kind, must = _KINDS[name]
    items = value if several and isinstance(value, (tuple, list)) else (value,)
    if any(isinstance(v, bool) or not isinstance(v, kind) for v in items):
        bounds = f", {found.range}" if found.range else ""
        raise InputError(f"{item.name} {cut(repr(value))}: must be {must}{bounds}")
    if any(hasattr(v, "item") for v in items):
        plain = tuple(v.item() if hasattr(v, "item") else v for v in items)
        object.__setattr__(config, item.name, plain if several else plain[0])


def words_of(config: Any) -> list[str] | None:
    """The options that ask for a configuration's values, where these are not the defaults.

    None where a field without an option has another value than its default.
    """
    words: list[str] = []
    for item in fields(config):
        value, found = getattr(config, item.name), setting_of(item)
        if value == item.default:
            continue
        if found is None or not found.option:
            return None
        words += option_words(item, value)
    return words


def option_words(item: Field[Any], value: Any) -> list[str]:
    """The option that asks for a value of a field."""
    name = option_name(item)
    if isinstance(value, bool):
        on, _, off = name.partition("/")
        return [f"--{on if value else off or f'no-{on}'}"]
    text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
    return [f"--{name}", text]


def numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas; InputError for anything else."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError("must be numbers between commas") from None


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
