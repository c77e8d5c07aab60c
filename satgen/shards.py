"""A dataset in pieces, which as many machines render on a folder that they share.

Shard I of N renders the I-th of N blocks of neighbouring indices of the whole scene, into a folder
of its own beside the dataset's: datasets/aura.shards/2-of-5. So no two machines write one file,
each keeps a journal and is gone on with by itself, and a frame has the bytes that it has in the
whole. `satgen.merge` makes the dataset of them. The shards of a benchmark lie in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from satgen.errors import InputError

if TYPE_CHECKING:
    from satgen.runfolder import RunFolder

T = TypeVar("T")

KEY = "shard"
"""Of a shard's identity, beside what decides the whole."""

ENVIRONMENT = "auto"
"""A shard that Slurm's variables tell: auto, or auto/N."""
TASK, TASKS = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
FIRST, LAST = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX"
MOST_SHARDS = 8100
_NAME = re.compile(r"([1-9][0-9]{0,3})-of-([1-9][0-9]{0,3})")
_TEXT = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, order=True)
class Shard:
    """One of the pieces.

    Attributes:
        number: which, from 1.
        count: how many there are.

    Raises:
        InputError: there is no such piece.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SHARDS:
            raise InputError(f"shard {self}: there must be 1 to {MOST_SHARDS} of them")
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"shard {self}: the first is 1/{self.count}, and the last {self.count}/{self.count}"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def to_json(self) -> dict[str, int]:
        """As a description has it."""
        return asdict(self)

    def folder(self, out: Path) -> Path:
        """Where it is rendered, of a dataset that is to lie in `out`."""
        return shards_folder(out) / f"{self.number}-of-{self.count}"

    def block(self, items: Sequence[T]) -> Sequence[T]:
        """Its part of the scene's indices, or a run's pairs; parts differ by one in length."""
        n = len(items)
        return items[n * (self.number - 1) // self.count : n * self.number // self.count]


def shards_folder(out: Path) -> Path:
    """The folder beside a dataset's that its shards lie in."""
    place = out.absolute()
    return out.parent / f"{place.name}.shards"


def found_shards(out: Path) -> list[Shard]:
    """The shards of a dataset that have a folder, in order.

    Raises:
        InputError: the folder of shards cannot be read.
    """
    try:
        names = [entry.name for entry in shards_folder(out).iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{shards_folder(out)}: {error.strerror or error}") from None
    matches = [found for name in names if (found := _NAME.fullmatch(name))]
    pairs = [(int(found[1]), int(found[2])) for found in matches]
    return sorted(Shard(*pair) for pair in pairs if pair[0] <= pair[1] <= MOST_SHARDS)


def division(out: Path, shards: Sequence[Shard]) -> int:
    """How many shards there are to be, by those that there are.

    Raises:
        InputError: they are of two divisions.
    """
    counts = sorted({shard.count for shard in shards})
    if len(counts) > 1:
        words = " and ".join(map(str, counts))
        raise InputError(
            f"{shards_folder(out)}: has shards of {words}; delete those of one division"
        )
    return counts[0]


def shard_identity(identity: Mapping[str, Any], shard: Shard) -> dict[str, Any]:
    """What decides the content of a shard of a run, by what decides the run's."""
    return {**identity, KEY: shard.to_json()}


def whole_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `shard_identity`."""
    return {key: value for key, value in identity.items() if key != KEY}


def incomplete(out: Path, numbers: Iterable[int], count: int, make: str) -> InputError:
    """The error that names shards which are not complete.

    Args:
        out: what they are of.
        numbers: theirs.
        count: how many shards there are to be.
        make: what is to be done with them: "render them".
    """
    words = array_words(numbers)
    return InputError(
        f"{out}: shards {words} of {count} are not complete; {make} with --shard I/{count}, "
        f"in an array of Slurm's with --array={words} and --shard auto/{count}"
    )


def delete_shards(out: Path, folders: Iterable[RunFolder]) -> None:
    """Take shards away of which the whole has been made, and what a kill may have left of some.

    Args:
        out: where the whole lies.
        folders: of the shards that have a description.
    """
    for folder in folders:
        folder.delete()
    for shard in found_shards(out):
        with suppress(OSError):
            shard.folder(out).rmdir()
    with suppress(OSError):
        shards_folder(out).rmdir()


def parse_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """A shard that is asked for: "2/5", or "auto" or "auto/5" for the task of a Slurm array.

    Args:
        text: what was asked.
        environment: where Slurm's variables are. Of an array of all shards "auto" needs no more;
            one that begins with task 0 is counted from there. When only some are rendered again,
            the number of all must be given, "auto/5", and tasks are counted from 1.

    Raises:
        InputError: the text says nothing, or Slurm does not say what is asked of it.
    """
    head, slash, count = text.partition("/")
    if head == ENVIRONMENT and not slash:
        return _array_shard(environment)
    if head == ENVIRONMENT and TASK not in environment:
        raise InputError(f"shard {text}: {TASK} is not set; outside an array give I/N, such as 2/5")
    given = _TEXT.fullmatch(f"{environment[TASK]}/{count}" if head == ENVIRONMENT else text)
    if given is None:
        raise InputError(f"shard {text!r}: must be I/N, such as 2/5, or auto or auto/N in an array")
    return Shard(int(given[1]), int(given[2]))


def _array_shard(environment: Mapping[str, str]) -> Shard:
    values: dict[str, int] = {}
    for name in (TASK, TASKS, FIRST, LAST):
        text = environment.get(name, "")
        if text and not re.fullmatch("[0-9]{1,9}", text):
            raise InputError(f"{name}={text}: must be a whole number")
        if text:
            values[name] = int(text)
    for name, other in ((TASK, TASKS), (TASKS, TASK)):
        if name not in values:
            known = f", though {other} is" if other in values else ""
            raise InputError(
                f"shard auto: {name} is not set{known}; outside an array give I/N, such as 2/5"
            )
    task, count = values[TASK], values[TASKS]
    first = values.get(FIRST, 1)
    if first not in (0, 1) or values.get(LAST, first + count - 1) != first + count - 1:
        raise InputError(
            f"shard auto: this array is not of all tasks from 0 or 1 on; give their number, "
            f"such as --shard auto/{max(count, values.get(LAST, count))}"
        )
    return Shard(task - first + 1, count)


def array_words(numbers: Iterable[int]) -> str:
    """Numbers as Slurm's --array takes them: "2,4-6"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
