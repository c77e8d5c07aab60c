"""satgen.preview: the pictures and films it makes, opened by other programs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from satgen.dataset import Dataset
from satgen.errors import InputError, RunError
from satgen.preview import contact_sheet, eight_bit, film, save_picture, spread, target_picture
from satgen.targets.load import load_target


def test_contact_sheet_holds_the_frames_and_captions(pristine: Path, tmp_path: Path) -> None:
    data = Dataset(pristine)
    sheet = contact_sheet(data, frames=6, width=72, columns=3)
    assert sheet.width == 3 * 78 + 6
    pixels = np.asarray(sheet)
    first, last = data.rgb(3000), data.rgb(3023)
    assert (pixels[6:70, 6:78] == first).all()
    row = (sheet.height - 6) // 2
    assert (pixels[6 + row : 70 + row, 6 + 2 * 78 : 78 + 2 * 78] == last).all()
    assert pixels[71 : 71 + 14, 6:78].max() > 200  # the caption
    save_picture(sheet, tmp_path / "new" / "sheet.png")
    assert Image.open(tmp_path / "new" / "sheet.png").size == sheet.size
    assert contact_sheet(data, frames=100, width=30).width > 30


def test_gif_and_mp4_open_elsewhere_with_their_frames(pristine: Path, tmp_path: Path) -> None:
    data = Dataset(pristine)
    steps: list[tuple[int, int]] = []
    film(data, tmp_path / "a.gif", 8, 60, 10, lambda *step: steps.append(step))
    gif = Image.open(tmp_path / "a.gif")
    assert (gif.n_frames, gif.size) == (8, (60, 53))
    assert gif.info["duration"] == 100
    assert steps[-1] == (8, 8)
    film(data, tmp_path / "a.mp4", 8, 61, 10)
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    shapes = []
    while True:
        ok, frame = video.read()
        if not ok:
            break
        shapes.append(frame.shape)
    assert shapes == [(54, 60, 3)] * 8


def test_other_kinds_of_images_are_shown(pristine: Path) -> None:
    assert eight_bit(np.full((2, 3), 65535, np.uint16)).tolist() == [[[255] * 3] * 3] * 2
    assert eight_bit(np.zeros((2, 3), np.uint8)).shape == (2, 3, 3)
    assert spread(np.arange(10), 4).__len__() == 4
    assert spread(np.arange(10), 1) == [0]


def test_bad_requests(pristine: Path, tmp_path: Path) -> None:
    data = Dataset(pristine)
    with pytest.raises(InputError, match="frames 0"):
        contact_sheet(data, frames=0)
    with pytest.raises(InputError, match=r"\.gif or \.mp4"):
        film(data, tmp_path / "a.avi")
    with pytest.raises(InputError, match="fps 0"):
        film(data, tmp_path / "a.gif", fps=0)
    with pytest.raises(InputError, match="must end in"):
        save_picture(Image.new("RGB", (4, 4)), tmp_path / "a.xyz")
    for ending in (".fits", ".psd", ".mpg", ".hdf", ".wmf", ".xbm", ".palm"):  # read, or in black
        with pytest.raises(InputError, match="must end in"):
            save_picture(Image.new("RGB", (4, 4)), tmp_path / f"a{ending}")
        assert not (tmp_path / f"a{ending}").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        save_picture(Image.new("RGB", (4, 4)), tmp_path / "file" / "a.png")


def test_the_picture_of_a_target(craft_path: Path, tmp_path: Path) -> None:
    target_picture(load_target(craft_path), tmp_path / "craft.png", size=96)
    image = np.asarray(Image.open(tmp_path / "craft.png"))
    assert image.shape[1] > 2 * 96
    assert image.max() > 150
