"""Sites served for a test, and what a request to one answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from satgen.view.server import ViewServer
from satgen.view.site import Site
from satgen.view.store import ViewStore
from tests.limits import PATIENCE_S


@contextmanager
def served(site: Site, cache: Path) -> Iterator[ViewServer]:
    """A site on a free port, for as long as the block lasts."""
    server = ViewServer(site, 0, ViewStore(cache))
    thread = threading.Thread(target=server.serve_until_stopped, kwargs={"ahead": False})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE_S)


def asked(
    server: ViewServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a request; `Host` is this server's unless given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {"Host": f"127.0.0.1:{server.server_port}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found
