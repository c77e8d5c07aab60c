"""What is installed: what satgen requires by its own metadata, and a line for what is missing.

Nothing here imports what it looks for, apart from `require`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from satgen.errors import InputError

OURS = ("satgen", "matchers", "bench")
"""The packages of the distribution."""

_MODULES = {
    "dracopy": "DracoPy",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyopengl": "OpenGL",
    "pyrender2": "pyrender",
    "rerun-sdk": "rerun",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
"""Distribution, in lower case -> what it is imported as, where that is another name."""
NOT_FOR_RENDERING = (
    "matplotlib",
    "opencv-python-headless",
    "poselib",
    "pyrender2",
    "torch",
    "tqdm",
    "trimesh",
)
"""Distributions that are always required, but that `satgen render` of a bundled target or a glTF
file does without."""

_CONTRIBUTORS = ("dev", "docs")
"""Extras that only work on satgen itself needs."""


@dataclass(frozen=True)
class Requirement:
    """A distribution that satgen names in its metadata.

    Attributes:
        name: of the distribution.
        extra: the extra that brings it; empty for one that is always required.
    """

    name: str
    extra: str = ""

    @property
    def module(self) -> str:
        """The name of its module, as it is imported."""
        name = self.name.lower()
        return _MODULES.get(name, name.replace("-", "_"))

    @property
    def renders(self) -> bool:
        """Whether nothing renders without it."""
        return not self.extra and self.name.lower() not in NOT_FOR_RENDERING

    @property
    def present(self) -> bool:
        """Whether its module is there to be imported."""
        return _found(self.module)

    @property
    def version(self) -> str:
        """Its version; empty where it is not known."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return ""

    @property
    def command(self) -> str:
        """The command that installs it."""
        wanted = f"'satgen[{self.extra}]'" if self.extra else self.name
        return f"pip install {wanted}"


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def requirements() -> tuple[Requirement, ...]:
    """What satgen's metadata names, in its order, but for what only its contributors need.

    Empty where satgen is not installed but only on the path.
    """
    try:
        lines = metadata.requires("satgen") or []
    except metadata.PackageNotFoundError:
        return ()
    found = []
    for line in lines:
        specifier, _, marker = line.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", specifier.strip())
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        if name is None or name[0] == "satgen" or (extra and extra[1] in _CONTRIBUTORS):
            continue
        found.append(Requirement(name[0], extra[1] if extra else ""))
    return tuple(found)


def require(purpose: str, *modules: str, load: bool = True) -> None:
    """Refuse to begin what would fail for want of a module.

    Args:
        purpose: what needs them: "--deep", "satgen bench".
        modules: as they are imported.
        load: import them here, so that one that is broken shows; otherwise look whether they are
            there, which takes no time.

    Raises:
        InputError: one is not installed, or cannot be imported; the line says what to do.
    """
    for module in modules:
        try:
            if load:
                importlib.import_module(module)
            elif not _found(module):
                raise ModuleNotFoundError(module)
        except (ImportError, OSError) as error:
            raise InputError(f"{purpose} needs {_remedy(module, error)}") from None


def require_for_rendering() -> None:
    """Refuse to render where a library is missing that nothing renders without.

    Raises:
        InputError: one is not installed.
    """
    needed = (library.module for library in requirements() if library.renders)
    require("satgen render", *needed, load=False)


def _remedy(module: str, error: Exception) -> str:
    top = module.partition(".")[0]
    known = next((r for r in requirements() if r.module == top), Requirement(_distribution(top)))
    if isinstance(error, ModuleNotFoundError) and not known.present:
        return f"the Python package {known.name}, which is not installed: {known.command}"
    line = " ".join(str(error).split()) or type(error).__name__
    return f"the Python package {known.name}, which cannot be imported here: {line}"


def _distribution(module: str) -> str:
    return next((name for name, other in _MODULES.items() if other == module), module)


def explain(error: ImportError) -> InputError | None:
    """The one line for an import that failed; None where it is a defect.

    That is a library that is not installed, or a file of the user's that hides a package of ours.
    """
    top = (error.name or "").partition(".")[0]
    if top in OURS:
        hidden = hidden_by(top)
        return None if hidden is None else InputError(hidden)
    if not isinstance(error, ModuleNotFoundError) or not top:
        return None
    return InputError(f"this needs {_remedy(top, error)}")


def hidden_by(package: str) -> str | None:
    """What to say where another file is found in place of a package of ours; None if none is."""
    ours = Path(__file__).resolve().parents[1] / package / "__init__.py"
    spec = importlib.util.find_spec(package) if _found(package) else None
    found = spec.origin if spec is not None else None
    if found is None or Path(found).resolve() == ours:
        return None
    return (
        f"{found}: hides satgen's own package {package!r}; rename it, or keep its folder off "
        "Python's path (PYTHONPATH, or the current folder under python -m)"
    )
