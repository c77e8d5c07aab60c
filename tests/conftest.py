"""Fixtures that several modules share."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.datasets import make, write_craft

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A test run in the background begins so, and so would the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The one profile of the property tests: no limit of theirs depends on the clock, and under CI every
# run draws the same examples.
settings.register_profile(
    "satgen",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else settings.default.database,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("satgen")


@pytest.fixture(scope="session")
def craft_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GLB of the small craft."""
    return write_craft(tmp_path_factory.mktemp("craft"))


@pytest.fixture(scope="session")
def pristine(craft_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of the craft that no test may change."""
    return make(craft_path, tmp_path_factory.mktemp("pristine") / "craft")


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it to do harm to."""
    return Path(shutil.copytree(pristine, tmp_path / "craft"))
