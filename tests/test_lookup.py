"""satgen.lookup: objects by name, in modules and in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from satgen.errors import InputError
from satgen.lookup import made, named


def test_a_file_is_run_once_whatever_it_is_called_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("class Box:\n    class Lid:\n        size = 3\n")
    monkeypatch.chdir(tmp_path)
    assert named("mine.py:Box") is named(f"{tmp_path}/mine.py:Box")
    assert named("mine.py:Box.Lid.size") == 3


def test_files_of_one_name_in_two_folders_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(f"class Model:\n    where = {folder!r}\n")
    found = []
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path / folder)
        found.append(named("same.py:Model"))
    assert [model.where for model in found] == ["a", "b"]
    assert found[0].__module__ != found[1].__module__


def test_a_file_that_fails_may_be_mended(tmp_path: Path) -> None:
    file = tmp_path / "later.py"
    file.write_text("import no_such_library\n")
    with pytest.raises(InputError, match=r"cannot import .*no_such_library"):
        named(f"{file}:ready")
    file.write_text("ready = True\n")
    assert named(f"{file}:ready") is True


def test_what_a_module_of_ours_lacks_is_for_the_caller_to_say() -> None:
    with pytest.raises(ModuleNotFoundError):
        named("satgen.no_such_module:Thing")
    with pytest.raises(InputError, match="cannot import 'no_such_module'"):
        named("no_such_module:Thing")


def test_classes_and_functions_without_parameters_are_called() -> None:
    assert made(dict, "a box") == {}
    assert made(lambda: 3, "a number") == 3
    assert made(abs, "a function") is abs
    assert made(4, "a number") == 4

    def broken() -> None:
        raise ValueError("no\nluck")

    with pytest.raises(InputError, match=r"a box: cannot be made \(ValueError: no luck\)"):
        made(broken, "a box")
