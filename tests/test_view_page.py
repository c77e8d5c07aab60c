"""The page in a browser: what it draws is what the dataset says, and every way to move moves it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from satgen.dataset import Dataset
from satgen.view.dataset_site import dataset_site
from satgen.view.export import export
from satgen.view.server import ViewServer
from satgen.view.site import PAGE
from satgen.view.store import ViewStore
from tests.browser import looking_at, until
from tests.datasets import make
from tests.view_pages import served

DRAWN = """row => {
  const { mode, player } = window.satgen;
  const pane = mode.pane ?? mode.view.panes[0];
  return pane.drawn && pane.row === row && player.place === row
    && Object.keys(pane.values).length > 0;
}"""


READ = """(...box) => {
  const copy = new OffscreenCanvas(72, 64).getContext("2d", { willReadFrequently: true });
  copy.drawImage(window.satgen.mode.pane.base, 0, 0);
  return Array.from(copy.getImageData(...box).data);
}"""
"""Pixels of what is drawn."""


@pytest.fixture(scope="module")
def server(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewServer]:
    with served(dataset_site(pristine, 512), tmp_path_factory.mktemp("view")) as found:
        yield found


def drawn(page: Any, row: int) -> None:
    """Wait until a row is drawn."""
    until(page, DRAWN, row)


def test_keys_and_buttons_move_it(server: ViewServer) -> None:
    with looking_at(server.url) as page:
        drawn(page, 0)
        for key, row in [
            ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 23), ("ArrowRight", 23),
            ("Shift+ArrowLeft", 13), ("PageDown", 14), ("Home", 0), ("ArrowLeft", 0),
        ]:  # fmt: skip
            page.keyboard.press(key)
            drawn(page, row)
        page.get_by_title("Last (end)").click()
        drawn(page, 23)
        page.keyboard.press("g")
        page.keyboard.type("3007")
        page.keyboard.press("Enter")
        drawn(page, 7)
        assert page.get_by_label("Index").input_value() == "3007"
        page.keyboard.press("?")
        assert page.locator("dialog").is_visible() and "play, pause" in page.inner_text("dialog")
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        until(page, "location.hash.includes('at=3007')")


def test_play_goes_to_the_end_and_stops(server: ViewServer) -> None:
    with looking_at(f"{server.url}#at=3015") as page:
        drawn(page, 15)
        page.keyboard.press("+")
        page.keyboard.press("Space")
        drawn(page, 23)
        until(page, "!window.satgen.player.playing")
        page.keyboard.press("Space")  # and from the start again
        until(page, "window.satgen.player.playing && window.satgen.player.place < 20")
        page.keyboard.press("Space")
        until(page, "!window.satgen.player.playing")


def test_scrubbing_ends_where_the_pointer_does(server: ViewServer) -> None:
    with looking_at(server.url) as page:
        drawn(page, 0)
        box = page.locator(".slider").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 10, middle)
        page.mouse.down()
        for step in range(1, 60):
            page.mouse.move(box["x"] + 8 + (box["width"] - 16) * step / 59, middle)
        page.mouse.up()
        drawn(page, 23)
        frame = page.locator(".frame").first.bounding_box()
        page.mouse.move(frame["x"] + 200, frame["y"] + 100)
        page.mouse.down()
        page.mouse.move(frame["x"] + 200 - 6 * 5 - 3, frame["y"] + 100, steps=8)
        page.mouse.up()
        drawn(page, 18)


def test_fingers_move_it_on_a_phone(server: ViewServer) -> None:
    with looking_at(server.url, phone=True) as page:
        drawn(page, 0)
        box = page.locator(".slider").bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        until(page, "window.satgen.player.place >= 11")
        page.get_by_text("Depth").first.tap()
        until(page, "window.satgen.mode.pane.values.depth?.w > 0")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390  # nothing sticks out to the side
        assert page.locator(".frame").first.bounding_box()["width"] > 300


def test_the_values_are_the_datasets(server: ViewServer, pristine: Path) -> None:
    data = Dataset(pristine)
    read = """async ([kind, row]) => {
      const { data } = window.satgen;
      const { x, y, w, h, data: values } = await data.image(kind, row);
      return { x, y, w, h, values: Array.from(values) };
    }"""
    with looking_at(server.url) as page:
        for row in (0, 9, 23):
            index = int(data.indices[row])
            for kind, unit in (("depth", data.description["depth_scale"]), ("parts", 1)):
                found = page.evaluate(read, [kind, row])
                truth = np.rint(getattr(data, kind)(index) / unit).astype(int)
                shown = np.zeros(truth.shape, dtype=int)
                x, y, w, h = (found[key] for key in "xywh")
                shown[y : y + h, x : x + w] = np.reshape(found["values"], (h, w))
                assert np.array_equal(shown, truth)
        table = page.evaluate("Object.fromEntries(Object.entries(window.satgen.data.column)"
                              ".map(([name, values]) => [name, Array.from(values)]))")  # fmt: skip
        np.testing.assert_array_equal(table["qw"], data.frames["qw"])


def test_each_layer_is_drawn(server: ViewServer, pristine: Path) -> None:
    data = Dataset(pristine)
    colour = f"([x, y]) => ({READ})(x, y, 1, 1)"
    depth = data.depth(3005)
    at = np.argwhere(depth > 0)[len(np.argwhere(depth > 0)) // 2][::-1].tolist()
    with looking_at(f"{server.url}#at=3005") as page:
        drawn(page, 5)
        shown = page.evaluate(f"({READ})(0, 0, 72, 64)")
        rgb = np.reshape(shown, (64, 72, 4))[..., :3]
        assert np.abs(rgb - data.rgb(3005).astype(int)).mean() < 3.0
        page.keyboard.press("2")
        until(page, "window.satgen.mode.pane.values.depth")
        assert page.locator(".ends").is_visible()
        assert page.evaluate(colour, at)[1] > 20  # viridis is never black, but for the background
        assert page.evaluate(colour, [0, 0])[:3] == [0, 0, 0]
        page.keyboard.press("3")
        until(page, "window.satgen.mode.pane.values.parts")
        page.get_by_role("button", name="wing", exact=True).wait_for()
        parts = data.parts(3005)
        label = int(np.bincount(parts[parts > 0]).argmax())
        name = data.part_names[label]
        y, x = np.argwhere(parts == label)[0].tolist()
        before = page.evaluate(colour, [x, y])
        page.get_by_role("button", name=name, exact=True).click()
        until(page, "window.satgen.style.hidden.size === 1")
        until(page, f"([at, was]) => String(({colour})(at)) !== String(was)", [[x, y], before])


def test_landmarks_are_where_the_table_has_them(server: ViewServer, pristine: Path) -> None:
    data = Dataset(pristine)
    ask = """async () => {
      const { toCamera } = await import("/maths.js");
      const { data } = window.satgen;
      return Array.from({ length: data.frames }, (_, row) => data.landmarks.map(({ xyz }) =>
        data.camera.project(toCamera(data.pose(row), xyz))));
    }"""
    with looking_at(server.url) as page:
        found = np.array(page.evaluate(ask), dtype=float)
    table = data.keypoints.set_index(["index", "name"])
    for row, index in enumerate(data.indices):
        for place, name in enumerate(data.landmarks.names):
            truth = table.loc[(index, name), ["u", "v"]].to_numpy(dtype=float)
            assert np.abs(found[row, place] - truth).max() < 1e-6


def test_true_matches_are_those_of_the_reader(server: ViewServer, pristine: Path) -> None:
    data = Dataset(pristine)
    ask = """async (rows) => {
      const { truthOf } = await import("/truth.js");
      const found = await truthOf(window.satgen.data, rows);
      return { pairs: found.matches.map(({ from, to }) => [...from, ...to]),
               hidden: found.marks.map(({ at }) => at), angle: found.angle };
    }"""
    with looking_at(server.url) as page:
        found = page.evaluate(ask, [2, 14])
    views = data.pair(int(data.indices[2]), int(data.indices[14]))
    assert found["angle"] == pytest.approx(views.angle_deg, abs=1e-5)
    pairs = np.array(found["pairs"])
    warp = views.warp(pairs[:, :2])
    assert np.abs(warp.uv - pairs[:, 2:]).max() < 1e-6
    assert (warp.visible | warp.bordering).all() and len(pairs) > 50
    hidden = views.warp(np.array(found["hidden"], dtype=float))
    assert not (hidden.visible | hidden.bordering).any() and len(hidden.uv) > 20


def test_a_lens_that_distorts(craft_path: Path, tmp_path: Path) -> None:
    folder = make(
        craft_path, tmp_path / "bent", stop=3003, distortion=(-0.25, 0.08, 1e-3, -2e-3, 0)
    )
    data = Dataset(folder)
    pixels = np.random.default_rng(0).uniform((0, 0), (71, 63), (50, 2))
    ask = """(pixels) => {
      const { camera } = window.satgen.data;
      return pixels.map(([u, v]) => [...camera.ray(u, v), ...camera.project(camera.ray(u, v))]);
    }"""
    site = dataset_site(folder, 512)
    with served(site, tmp_path / "cache") as server, looking_at(server.url) as page:
        found = np.array(page.evaluate(ask, pixels.tolist()))
    assert np.abs(found[:, :3] - data.camera.rays_at(pixels)).max() < 1e-9
    assert np.abs(found[:, 3:] - pixels).max() < 1e-6


def test_two_frames(server: ViewServer) -> None:
    with looking_at(f"{server.url}#mode=two&at=3002") as page:
        until(page, "window.satgen.mode.view.matches.length > 50")
        assert "3002" in page.inner_text(".pair") and "3012" in page.inner_text(".pair")
        page.keyboard.press("ArrowUp")
        until(page, "window.satgen.mode.view.panes[1].row === 13")
        frame = page.locator(".frame").first.bounding_box()
        page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
        page.keyboard.press(",")
        drawn(page, 2)


def test_zoom_keeps_the_point_under_the_pointer(server: ViewServer) -> None:
    with looking_at(server.url) as page:
        drawn(page, 0)
        frame = page.locator(".frame").first.bounding_box()
        point = [frame["width"] * 0.3, frame["height"] * 0.6]
        ask = "(at) => window.satgen.mode.pane.pixel(at)"
        before = page.evaluate(ask, point)
        page.mouse.move(frame["x"] + point[0], frame["y"] + point[1])
        page.mouse.wheel(0, -300)
        until(page, "window.satgen.mode.pane.zoom > 1.2")
        assert page.evaluate(ask, point) == pytest.approx(before, abs=0.2)
        page.keyboard.press("z")
        until(page, "window.satgen.mode.pane.zoom === 1")


def test_another_dataset_is_shown_at_the_same_index(
    pristine: Path, craft_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(pristine, tmp_path / "all" / "a")
    make(craft_path, tmp_path / "all" / "b", start=3010, stop=3011)
    site = dataset_site(tmp_path / "all", 512)
    with served(site, tmp_path / "cache") as server, looking_at(f"{server.url}#at=3011") as page:
        drawn(page, 11)
        page.get_by_label("Dataset").select_option("b")
        drawn(page, 1)
        assert page.get_by_label("Index").input_value() == "3011"
        page.keyboard.press("End")
        page.get_by_label("Dataset").select_option("a")
        drawn(page, 11)


def test_an_image_that_cannot_be_read(dataset: Path, tmp_path: Path) -> None:
    (dataset / "rgb" / "003001.png").write_bytes(b"no image")
    site = dataset_site(dataset, 512)
    with served(site, tmp_path / "cache") as server, looking_at(server.url) as page:
        drawn(page, 0)
        page.keyboard.press("ArrowRight")
        page.locator(".pane.missing").wait_for()
        page.keyboard.press("ArrowRight")
        drawn(page, 2)
        assert page.locator(".pane.missing").count() == 0


def test_an_exported_page(pristine: Path, tmp_path: Path) -> None:
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    export(dataset_site(pristine, 512), tmp_path / "site", store=ViewStore(tmp_path / "cache"))
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/site/"  # below another server's root
        with looking_at(f"{url}#at=3004&show=parts") as page:
            drawn(page, 4)
            picture = page.screenshot()
        server.shutdown()
    assert len(picture) > 10_000


def test_modules_import_what_there_is() -> None:
    texts = {path.name: path.read_text() for path in PAGE.glob("*.js")}
    one = r"export (?:async )?(?:function|class) (\w+)"
    several = r"^export const ([^;]+?)(?:;|=>|\{$|\()"
    exported = {
        name: set(re.findall(one, text))
        | {
            word
            for line in re.findall(several, text, flags=re.MULTILINE)
            for word in re.findall(r"(?:^|, )(\w+) =", line)
        }
        for name, text in texts.items()
    }
    for name, text in texts.items():
        for names, source in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', text):
            wanted = {word.strip() for word in names.split(",") if word.strip()}
            assert wanted <= exported[source], f"{name}: {wanted - exported[source]}"
            unused = {w for w in wanted if len(re.findall(rf"\b{w}\b", text)) < 2}
            assert not unused, f"{name}: imports {unused} for nothing"
