"""README, CONTRIBUTING and docs/: links lead somewhere, commands exist, code runs."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from markdown_it import MarkdownIt

from satgen.cli import COMMANDS
from tests.limits import PATIENCE_S

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
MARKDOWN = MarkdownIt("commonmark")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _blocks(page: Path, language: str) -> list[str]:
    tokens = MARKDOWN.parse(page.read_text(encoding="utf-8"))
    return [t.content for t in tokens if t.type == "fence" and t.info.strip() == language]


def _commands(page: Path) -> Iterator[list[str]]:
    """Commands of the page's shell blocks, in words."""
    for block in _blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def _slugs(page: Path) -> set[str]:
    """Anchors of the page's headings, as GitHub and MyST make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in _slugs(goal), f"{page.name}: {link}"


@pages
def test_every_satgen_command_parses(page: Path) -> None:
    for words in _commands(page):
        if words[0] == "satgen":
            name, arguments = words[1], words[2:]
            assert name in COMMANDS, f"{page.name}: {shlex.join(words)}"
            command = importlib.import_module(f"satgen.cli.{name}").command
        elif words[:2] == ["python", "-m"]:
            name, arguments = words[2], words[3:]
            command = importlib.import_module(name).main
        else:
            continue
        group = click.Context(click.Group("satgen"), info_name="satgen")
        try:
            command.make_context(name, arguments, parent=group)
        except click.ClickException as error:
            pytest.fail(f"{page.name}: {shlex.join(words)}: {error.format_message()}")


@pytest.fixture(scope="module")
def folder_of_a_user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset that the pages speak of, smaller."""
    folder = tmp_path_factory.mktemp("user")
    options = ["--start", "361", "--stop", "371", "--size", "96", "--out", "datasets/aura"]
    subprocess.run(
        [sys.executable, "-m", "satgen", "render", *options],
        cwd=folder,
        check=True,
        timeout=PATIENCE_S,
    )
    return folder


ONE_BY_ONE = """
import json, sys
for block in json.loads(sys.argv[1]):
    print(block, flush=True)
    exec(compile(block, "page", "exec"), {"__name__": "page"})
"""
"""Each block by itself, in one process: what they import takes longest."""


@pages
def test_the_python_runs(page: Path, folder_of_a_user: Path) -> None:
    blocks = _blocks(page, "python")
    if not blocks:
        return
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, json.dumps(blocks)],
        cwd=folder_of_a_user,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{page.name}:\n{done.stdout}\n{done.stderr}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
