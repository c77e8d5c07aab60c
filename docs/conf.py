"""How the documentation is built: `sphinx-build -W docs build/docs` (or `make docs`)."""

from __future__ import annotations

from importlib.metadata import version as installed

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
suppress_warnings = ["autosectionlabel.*"]


def _fences_to_blocks(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Bring a docstring's fenced blocks, which are Markdown, to literal blocks."""
    inside = False
    for i, line in enumerate(lines):
        if line.strip().startswith("```"):
            inside = not inside
            lines[i] = "::\n" if inside else ""
        elif inside:
            lines[i] = f"    {line}"


def _plain_stars(app: object, ctx: object, lines: list[str]) -> None:
    """Leave the stars of shell patterns in a command's help alone."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: object) -> None:
    """Connect the hooks."""
    app.connect("autodoc-process-docstring", _fences_to_blocks, priority=100)  # type: ignore[attr-defined]
    for event in ("description", "options"):
        app.connect(f"sphinx-click-process-{event}", _plain_stars)  # type: ignore[attr-defined]
