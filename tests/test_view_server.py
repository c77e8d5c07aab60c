"""The page's server: it serves its own files to this machine, and nothing else to anybody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satgen.errors import InputError
from satgen.view.dataset_site import dataset_site
from satgen.view.server import ViewServer
from satgen.view.site import PAGE, Site, SiteFile
from satgen.view.store import ViewStore
from tests.limits import PATIENCE_S
from tests.view_pages import asked, served


@pytest.fixture(scope="module")
def server(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewServer]:
    with served(dataset_site(pristine, 512), tmp_path_factory.mktemp("view")) as found:
        yield found


def test_the_page_and_its_files(server: ViewServer) -> None:
    status, body, headers = asked(server, "/")
    assert status == 200 and b"<!doctype html>" in body
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for path in PAGE.iterdir():
        status, body, headers = asked(server, f"/{path.name}")
        assert status == 200 and body == path.read_bytes()
    status, body, _ = asked(server, "/view.json")
    (data,) = json.loads(body)["datasets"]
    assert status == 200 and data["frames"] == 24
    status, body, headers = asked(server, f"/data/{data['name']}/rgb/00000.pack", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 100


def test_every_answer_keeps_the_page_to_itself(server: ViewServer) -> None:
    for path, host in (("/", ""), ("/none", ""), ("/", "evil.example")):
        _, _, headers = asked(server, path, **({"Host": host} if host else {}))
        rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'none'"
        assert {rules["script-src"], rules["style-src"], rules["connect-src"]} == {"'self'"}
        assert rules["frame-ancestors"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert not any(name.lower().startswith("access-control") for name in headers)
        assert "Python" not in headers["Server"]


def test_the_page_says_the_same_on_any_server() -> None:
    from satgen.view.server import POLICY

    text = (PAGE / "index.html").read_text()
    for rule in POLICY.split("; "):
        assert rule in text or rule.startswith("frame-ancestors")  # which only a header can say
    assert "http://" not in text and "https://" not in text


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "0.0.0.0:{port}", ""],
)
def test_another_host_is_refused(server: ViewServer, host: str) -> None:
    status, body, _ = asked(server, "/view.json", Host=host.format(port=server.server_port))
    assert status in (400, 403) and b"satgen-view" not in body


def test_localhost_is_this_machine(server: ViewServer) -> None:
    assert asked(server, "/view.json", Host=f"localhost:{server.server_port}")[0] == 200


def test_other_pages_are_refused(server: ViewServer) -> None:
    foreign = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert asked(server, "/view.json", **foreign)[0] == 403
    linked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert asked(server, "/", **linked)[0] == 200
    ours = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}
    assert asked(server, "/view.json", **ours)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_reading(server: ViewServer, method: str) -> None:
    assert asked(server, "/", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd", "/etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd", "/data/../../etc/passwd", "/page/../server.py", "/server.py",
        "/dataset.json", "/data/craft/dataset.json", "/..\\..\\etc\\passwd", "/view.json/",
        "/%00", "/.", "/data/", "/data",
    ],
)  # fmt: skip
def test_no_other_file_of_the_disk(server: ViewServer, path: str) -> None:
    assert asked(server, path)[0] == 404


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
@settings(max_examples=60)
def test_any_path_is_one_of_the_site_or_none(server: ViewServer, path: str) -> None:
    status = asked(server, f"/{path}")[0]
    known = path.partition("?")[0].partition("#")[0]
    assert status == 404 or known == "" or known in server.site.files or known == "view.json"


def test_it_listens_on_this_machine_alone(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, server.server_port), timeout=PATIENCE_S).close()


def test_a_port_that_is_taken(server: ViewServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"--port {server.server_port}: .*0 takes one"):
        ViewServer(server.site, server.server_port, ViewStore(tmp_path))


def counted(calls: list[str], gate: threading.Event) -> bytes:
    calls.append("made")
    gate.wait(PATIENCE_S)
    return b"x"


def test_a_file_is_made_once_however_many_ask(tmp_path: Path) -> None:
    calls: list[str] = []
    gate = threading.Event()
    file = SiteFile(partial(counted, calls, gate), "key/a.pack")
    store = ViewStore(tmp_path)
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(store.get(file))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == [b"x"] * 4 and calls == ["made"]
    assert (tmp_path / "key" / "a.pack").read_bytes() == b"x"
    assert ViewStore(tmp_path).get(file) == b"x" and calls == ["made"]


def test_what_cannot_be_kept_is_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    gate = threading.Event()
    gate.set()
    assert ViewStore(tmp_path / "cache").get(SiteFile(partial(counted, [], gate), "k/a")) == b"x"


def test_files_are_made_ahead_but_for_those_that_cost_much(tmp_path: Path) -> None:
    gate = threading.Event()
    gate.set()
    files = {
        "a": SiteFile(partial(counted, [], gate), "k/a"),
        "b": SiteFile(partial(counted, [], gate), "k/b", ahead=False),
    }
    server = ViewServer(Site({}, {}, files), 0, ViewStore(tmp_path))
    server.make_ahead()
    server.server_close()
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["a"]


def test_what_comes_next_is_made_ahead_first(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return b"x"

    files = {name: SiteFile(partial(make, name), f"k/{name}") for name in "abcde"}
    server = ViewServer(Site({}, {}, files), 0, ViewStore(tmp_path))
    assert server.content("c") == b"x"
    server.make_ahead()
    server.server_close()
    assert made == ["c", "d", "e", "a", "b"]


def test_the_cache_forgets_what_was_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from satgen.view import store as module

    monkeypatch.setattr(module, "MOST_BYTES", 250)
    for age, key in enumerate(["new", "middle", "old"]):
        (tmp_path / key).mkdir()
        (tmp_path / key / "a").write_bytes(bytes(100))
        os.utime(tmp_path / key, (1000.0 - age, 1000.0 - age))
    ViewStore(tmp_path).use({"x": SiteFile(bytes, "new/a")})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "new"]
