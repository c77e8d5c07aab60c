"""A headless Chromium that looks at a page."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.limits import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 800), (390, 844)


def browser_path() -> str:
    """The machine's Chromium. Where there is none the test is skipped, but fails under CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        message = "no Chromium on this machine: sh tools/system.sh python3 browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def until(page: Any, expression: str, argument: Any = None) -> None:
    """Wait until something of the page is true. Playwright's own way to wait evaluates texts in the
    page, which its policy forbids."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


@contextmanager
def looking_at(url: str, *, phone: bool = False) -> Iterator[Any]:
    """A page of Playwright's, once it has drawn.

    At the end nothing may have been said on the console, nothing asked of another address, and
    nothing asked for that was not there.
    """
    from playwright.sync_api import sync_playwright

    path = browser_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        size = PHONE if phone else DESKTOP
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=2 if phone else 1,
        )
        page = context.new_page()
        page.set_default_timeout(1000.0 * PATIENCE_S)
        said: list[str] = []
        hosts: set[str] = set()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(url)
        until(page, "Boolean(window.satgen?.mode?.root.isConnected)")
        try:
            yield page
        finally:
            browser.close()
        assert said == []
        assert hosts - {urlsplit(url).netloc, ""} == set()
