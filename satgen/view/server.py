"""A site served to this machine's browsers, and to nobody else.

The server listens on 127.0.0.1 alone and hands out what the site lists, by exact path: no path of a
request ever becomes one of the disk. Requests that name another host, as a page elsewhere can bring
about by pointing its own name here, are refused, and so are those that other pages make. The page
may load and connect to nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from satgen.errors import InputError, RunError, SatgenError, one_line
from satgen.view.site import (
    DESCRIPTION,
    INDEX,
    Site,
    SiteFile,
    content_type,
    described,
    json_bytes,
)
from satgen.view.store import ViewStore

LOOPBACK = "127.0.0.1"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: nothing from elsewhere. index.html has the same, for other servers."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_IDLE_S = 0.5
"""Seconds without a request after which packs are made ahead."""


class ViewServer(ThreadingHTTPServer):
    """Serves a site on 127.0.0.1.

    Args:
        site: what to serve.
        port: 0 takes one that is free.
        store: where made files are kept; by default the user's cache.

    Attributes:
        url: where the page is.

    Raises:
        InputError: the port is taken, or may not be listened on.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, site: Site, port: int = 0, store: ViewStore | None = None) -> None:
        self.site = site
        self.store = store or ViewStore()
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"--port {port}: cannot be listened on ({reason}); 0 takes one that is free"
            ) from None
        self.url = f"http://{LOOPBACK}:{self.server_port}/"
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))
        self.description = json_bytes(described(site.description, live=site.live))
        self._asked = time.monotonic()
        self._busy = 0
        self._last: str | None = None
        self._guard = threading.Lock()
        self._ended = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing where a browser hung up, and otherwise what was wrong."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def content(self, path: str) -> bytes | None:
        """What lies at a path of the site; None where nothing does.

        Raises:
            SatgenError: it cannot be made.
        """
        with self._at_work():
            if path == DESCRIPTION:
                return self.description
            file = self.site.files.get(path or INDEX)
            if file is not None:
                if file.keep is not None and file.ahead:
                    self._last = file.keep
                return self.store.get(file)
            first, _, rest = path.partition("/")
            answer: Callable[[str], bytes | None] | None = self.site.live.get(first)
            return answer(rest) if answer is not None else None

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Say that somebody waits for an answer."""
        with self._guard:
            self._busy += 1
        try:
            yield
        finally:
            with self._guard:
                self._busy -= 1
                self._asked = time.monotonic()

    def make_ahead(self) -> None:
        """Make the files that are to be kept while nobody waits for one, until all are there: what
        comes after the one that was asked for last, and then what is before it. Before that, the
        store forgets what has not been looked at for longest."""
        self.store.use(self.site.files)
        files = [file for file in self.site.files.values() if file.keep and file.ahead]
        places = {file.keep: place for place, file in enumerate(files)}
        left = {place for place, file in enumerate(files) if not self.store.has(file)}
        while left:
            while self._busy or time.monotonic() - self._asked < _IDLE_S:
                if self._ended.wait(_IDLE_S):
                    return
            if self._ended.is_set():
                return
            here = places.get(self._last, 0)
            after = [place for place in left if place >= here]
            place = min(after or left)
            left.remove(place)
            self._make(files[place])

    def _make(self, file: SiteFile) -> None:
        try:
            self.store.get(file)
        except SatgenError:
            return  # whoever asks for it is told

    def serve_until_stopped(self, *, ahead: bool = True) -> None:
        """Serve until `stop` is called, or Ctrl-C."""
        if ahead:
            threading.Thread(target=self.make_ahead, daemon=True).start()
        try:
            self.serve_forever(poll_interval=0.2)
        finally:
            self._ended.set()
            self.server_close()

    def stop(self) -> None:
        """End `serve_until_stopped`, from another thread."""
        self._ended.set()
        self.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server: ViewServer
    server_version = "satgen"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60.0

    def do_GET(self) -> None:
        """Send a file of the site."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send what `do_GET` would, without the body."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, *, with_body: bool) -> None:
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._send(HTTPStatus.FORBIDDEN, b"This page is for this machine alone.\n", with_body)
            return
        if self._from_elsewhere():
            self._send(HTTPStatus.FORBIDDEN, b"Not for other pages.\n", with_body)
            return
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        try:
            data = self.server.content(path)
        except (InputError, RunError) as error:
            line = f"{one_line(error)}\n".encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, line, with_body)
            return
        if data is None:
            self._send(HTTPStatus.NOT_FOUND, b"There is no such file.\n", with_body)
            return
        self._send(HTTPStatus.OK, data, with_body, content_type(path or INDEX))

    def _from_elsewhere(self) -> bool:
        """Whether another page asks, rather than ours or somebody who followed a link."""
        site = self.headers.get("Sec-Fetch-Site", "none")
        mode = self.headers.get("Sec-Fetch-Mode", "navigate")
        return site not in ("none", "same-origin") and mode != "navigate"

    def _send(
        self,
        status: HTTPStatus,
        data: bytes,
        with_body: bool,
        kind: str = "text/plain; charset=utf-8",
    ) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)
