"""How the documentation is built: `sphinx-build -W docs build/docs` (or `make docs`)."""

from __future__ import annotations

import re
from importlib.metadata import version as installed
from typing import Any

project = "satgen"
author = "the satgen authors"
copyright = "the satgen authors, Apache-2.0"
release = version = installed("satgen")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["results"]
html_theme = "furo"
html_title = "satgen"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

default_role = "code"  # docstrings put names in single backticks
smartquotes = False  # two dashes begin an option

SHARED = re.compile(r"( +)(\w+(?:, \w+)+)(: .*)")
"""An attribute entry of several names: "width, height: image size in pixels"."""


def _markdown_to_rst(lines: list[str]) -> list[str]:
    """Bring the Markdown of docstrings to reStructuredText: fenced and indented code."""
    found: list[str] = []
    fenced = False
    for i, line in enumerate(lines):
        after = [*lines[i + 1 : i + 3], "", ""]
        if line.strip().startswith("```"):
            fenced = not fenced
            found += ["::", ""] if fenced else [""]
        elif fenced:
            found.append(f"    {line}")
        elif line.endswith(":") and not after[0].strip() and after[1].startswith("    "):
            found.append(f"{line}:")
        else:
            found.append(line)
    return found


def _each_attribute_alone(lines: list[str]) -> list[str]:
    """Give each name of a shared entry of `Attributes:` its own, which Napoleon needs."""
    found: list[str] = []
    inside = False
    i = 0
    while i < len(lines):
        line, i = lines[i], i + 1
        inside = line == "Attributes:" or (inside and (not line or line.startswith(" ")))
        entry = SHARED.fullmatch(line) if inside else None
        if entry is None:
            found.append(line)
            continue
        indent, names, text = entry.groups()
        rest = []
        while i < len(lines) and lines[i].startswith(indent + " "):
            rest.append(lines[i])
            i += 1
        for name in names.split(", "):
            found += [f"{indent}{name}{text}", *rest]
    return found


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = _each_attribute_alone(_markdown_to_rst(lines))


def _plain_stars(app: Any, ctx: Any, lines: list[str]) -> None:
    """Leave the stars of shell patterns in a command's help alone."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Connect the hooks, before Napoleon's."""
    app.connect("autodoc-process-docstring", _docstring, priority=100)
    for event in ("description", "options"):
        app.connect(f"sphinx-click-process-{event}", _plain_stars)
