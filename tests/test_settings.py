"""Configurations that say what their fields are, and the options that are made of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bench.config import BenchConfig
from bench.predict.config import PredictConfig
from matchers.training.config import TrainConfig
from satgen.cli import main
from satgen.cli.options import configured, options_of, options_of_any
from satgen.errors import InputError
from satgen.options import RenderOptions
from satgen.settings import check, numbers, option_name, setting, setting_of
from tests.limits import PATIENCE_S


@dataclass(frozen=True)
class Lens:
    """Nested."""

    focal: float = setting(35.0, "Focal length", unit="mm", above=0.0, high=1e4, name="focal-mm")
    glass: str = "crown"


@dataclass(frozen=True)
class Shot:
    """One of each kind of field."""

    count: int = setting(3, "Pictures", low=1, high=9)
    places: tuple[str, ...] = setting(("here",), "Where", name="place", many=True)
    angles: tuple[float, ...] = setting((0.0, 0.5), "Angles", parse=numbers, metavar="A,B")
    flash: bool = setting(False, "Light", name="flash/dark")
    depth: int | None = setting(None, "Bits", choices=(8, 16), shown="the film's")
    out: Path | None = setting(None, "Where to")
    hidden: float = setting(1.0, "Not on the command line", low=0.0, option=False)
    lens: Lens = field(default_factory=Lens)

    def __post_init__(self) -> None:
        check(self)


def given(*words: str) -> Shot:
    """The configuration that a command line comes to."""
    found: list[Shot] = []

    @click.command()
    @options_of(Shot)
    def command(**values: Any) -> None:
        found.append(configured(Shot(), values))

    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_what_is_not_given_keeps_its_default() -> None:
    assert given() == Shot()


def test_every_kind_of_value_is_read() -> None:
    words = ["--count", "4", "--place", "a", "--place", "b", "--angles", "1,2.5", "--flash"]
    words += ["--depth", "16", "--out", "d", "--focal-mm", "50"]
    wanted = Shot(4, ("a", "b"), (1.0, 2.5), True, 16, Path("d"), 1.0, Lens(50.0))
    assert given(*words) == wanted
    assert given("--dark").flash is False


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--count", "0"), "--count 0: must be between 1 and 9"),
        (("--count", "10"), "--count 10: must be between 1 and 9"),
        (("--count", "x"), "--count x: must be a whole number, between 1 and 9"),
        (("--count", "2.5"), "--count 2.5: must be a whole number, between 1 and 9"),
        (("--focal-mm", "0"), "--focal-mm 0: must be more than 0 and at most 10000"),
        (("--focal-mm", "nan"), "--focal-mm nan: must be more than 0 and at most 10000"),
        (("--focal-mm", "inf"), "--focal-mm inf: must be more than 0 and at most 10000"),
        (("--depth", "12"), "--depth 12: must be one of 8, 16"),
        (("--angles", "1,nan"), "--angles 1,nan: must be finite"),
        (("--angles", "1,x"), "--angles 1,x: must be numbers between commas"),
    ],
)
def test_a_value_out_of_range_is_refused_where_it_is_read(words: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        given(*words)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"count": 10}, {"hidden": -1.0}, {"hidden": float("nan")}, {"depth": 12}],
)
def test_python_refuses_the_same(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Shot(**change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 2.0}, "count 2.0: must be a whole number, between 1 and 9"),
        ({"count": "2"}, "count '2': must be a whole number, between 1 and 9"),
        ({"count": True}, "count True: must be a whole number"),
        ({"depth": [8]}, "depth [8]: must be a whole number, one of 8, 16"),
        ({"angles": (0.5, "a")}, "angles (0.5, 'a'): must be a number"),
        ({"hidden": None, "count": "x" * 999}, "xxx': must be a whole number"),
    ],
)
def test_words_for_numbers_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        Shot(**change)
    assert said in str(error.value) and len(str(error.value)) < 300


def test_numpys_numbers_become_pythons() -> None:
    shot = Shot(count=np.int64(2), angles=(np.float32(0.5), 1.0), hidden=np.float64(2.0))  # type: ignore[arg-type]
    assert shot == Shot(count=2, angles=(0.5, 1.0), hidden=2.0)
    assert [type(v) for v in (shot.count, *shot.angles, shot.hidden)] == [int, float, float, float]


def test_help_says_default_range_and_unit_once() -> None:
    @click.command()
    @options_of(Shot)
    def command(**values: Any) -> None:
        """Nothing."""

    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--count INTEGER Pictures. [between 1 and 9; default: 3]" in text
    assert "--place TEXT Where. [default: here]" in text
    assert "--angles A,B Angles. [default: 0,0.5]" in text
    assert "--flash / --dark Light. [default: dark]" in text
    assert "--depth INTEGER Bits. [default: the film's]" in text
    assert "--focal-mm FLOAT Focal length, mm. [more than 0 and at most 10000; default: 35]" in text
    assert "hidden" not in text and "glass" not in text


@pytest.mark.parametrize(
    ("command", "config"),
    [
        ("render", RenderOptions),
        ("bench", BenchConfig),
        ("train", TrainConfig),
        ("predict", PredictConfig),
    ],
)
def test_the_commands_options_are_their_configurations(command: str, config: type) -> None:
    help_text = " ".join(CliRunner().invoke(main, [command, "--help"]).output.split())
    for item in fields(config):
        declared = setting_of(item)
        if declared is None or not declared.option:
            continue
        assert f"--{option_name(item).partition('/')[0]}" in help_text
        default = item.default
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert f"default: {default:g}" in help_text, item.name


@pytest.mark.parametrize("command", ["render", "bench", "train", "predict"])
def test_help_imports_nothing_heavy(command: str) -> None:
    heavy = ["torch", "pandas", "cv2", "OpenGL", "pyrender", "trimesh", "scipy", "matplotlib"]
    script = (
        "import sys\nfrom satgen.cli import main\n"
        f"try:\n    main([{command!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert "LOADED []" in done.stdout


def test_alternatives_show_the_defaults_that_they_have() -> None:
    """An option of several configurations tells the default of each that has one."""

    @dataclass(frozen=True)
    class One:
        step: float | None = setting(1.5, "A step")

    @dataclass(frozen=True)
    class Other:
        step: float | None = setting(None, "A step")

    @click.command()
    @options_of_any({"one": One, "other": Other}, "")
    def command(**values: Any) -> None:
        """Nothing."""

    told = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "Of one and other: a step. [default: 1.5 (one)]" in told
