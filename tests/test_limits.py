"""The tests themselves: none depends on how fast the machine is."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from hypothesis import HealthCheck, settings


def test_property_tests_have_no_deadline_and_repeat_themselves_under_ci() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
    assert settings.default.derandomize == bool(os.environ.get("CI"))
    assert HealthCheck.too_slow in settings.default.suppress_health_check


def test_no_test_has_a_limit_of_its_own() -> None:
    """Limits are PATIENCE_S, never a number; and only the profile speaks of deadlines."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            for word in node.keywords:
                where = f"{path.name}:{node.lineno}"
                if word.arg == "timeout":
                    assert ast.unparse(word.value) == "PATIENCE_S", where
                assert word.arg != "deadline" or path.name == "conftest.py", where
