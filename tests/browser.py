"""Chromium for tests: the pages as people see them, on a desk and on a phone, by day and night."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from .containers import without
from .fixtures_worker import StartRole, free_port, wait_for

expect.set_options(timeout=180_000)  # milliseconds

#: No sandbox, since containers and root have none; nothing that Chromium asks the internet for.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Variant(NamedTuple):
    """A kind of screen."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"]


DESKTOP, DESKTOP_DARK, PHONE, PHONE_DARK = VARIANTS = (
    Variant("desktop-light", 1280, 860, "light"),
    Variant("desktop-dark", 1280, 860, "dark"),
    Variant("phone-light", 390, 844, "light"),
    Variant("phone-dark", 390, 844, "dark"),
)

#: What a person may be unable to read or to use: all rules of axe-core, and a page that is wider
#: than its screen.
INSPECT = """async () => {
  const { violations } = await axe.run({ resultTypes: ["violations"] });
  const faults = violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.html}`));
  const root = document.documentElement;
  const over = root.scrollWidth - root.clientWidth;
  return over > 0 ? [...faults, `${over} px wider than the screen`] : faults;
}"""


class Eyes:
    """A browser that notes what goes wrong on the pages it sees."""

    def __init__(self, browser: Browser, base: str, shots: Path) -> None:
        self._browser = browser
        self._base = base
        self._shots = shots
        self.faults: list[str] = []

    def open(self, variant: Variant, **options: Any) -> Page:
        """Return a page in a window of its own."""
        context = self._browser.new_context(
            base_url=self._base,
            viewport={"width": variant.width, "height": variant.height},
            color_scheme=variant.scheme,
            **options,
        )
        context.set_default_timeout(180_000)  # milliseconds
        return self._page(context)

    def _page(self, context: BrowserContext) -> Page:
        page = context.new_page()
        # Blocked by the Content-Security-Policy, not found, thrown: all of it comes here.
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        return page

    def _listen(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.location.get('url')}: {message.text}")

    def shoot(self, page: Page, name: str, whole: bool = False) -> None:
        """Keep a picture of what *page* shows."""
        page.screenshot(path=self._shots / f"{name}.png", full_page=whole)

    def shoot_here(self, page: Page, name: str, strict: bool = True) -> None:
        """Keep pictures of what *page* shows now on every kind of screen, and inspect it there."""
        if strict:
            page.evaluate(AXE_SCRIPT)
        for variant in VARIANTS:
            page.set_viewport_size({"width": variant.width, "height": variant.height})
            page.emulate_media(color_scheme=variant.scheme)
            self.shoot(page, f"{name}-{variant.name}")
            if strict:
                found = page.evaluate(INSPECT)
                self.faults += [f"{name}-{variant.name}: {fault}" for fault in found]
        page.set_viewport_size({"width": DESKTOP.width, "height": DESKTOP.height})
        page.emulate_media(color_scheme=DESKTOP.scheme)

    def look(
        self, context: BrowserContext, path: str, name: str, ready: str, strict: bool = True
    ) -> None:
        """Look at *path* on every kind of screen, as the person whom *context* belongs to.

        :param ready: a selector of what must be there.
        :param strict: whether what can't be read or used is a fault.
        """
        page = self._page(context)
        page.goto(path)
        page.locator(ready).first.wait_for()
        self.shoot_here(page, name, strict)
        page.close()


@contextmanager
def slow_upload(page: Page, bytes_a_second: int) -> Iterator[Callable[[int], None]]:
    """Let *page* send no faster than that, as a phone's network does; give what changes it."""
    session = page.context.new_cdp_session(page)
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
    session.send("Network.enable")

    def limit(bytes_a_second: int) -> None:
        session.send(
            "Network.emulateNetworkConditions", {**conditions, "uploadThroughput": bytes_a_second}
        )

    limit(bytes_a_second)
    yield limit
    limit(-1)
    session.detach()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's Chromium; skip the test without one, unless this is CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        without("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def web_settings() -> dict[str, str]:
    """Small parts, so that there is a progress to watch; a file of tests may have its own."""
    return {"REPORTS_CHUNK_KB": "64", "REPORTS_MAX_UPLOAD_MB": "40"}


@pytest.fixture
def eyes(
    start_role: StartRole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    web_settings: dict[str, str],
) -> Iterator[Eyes]:  # fmt: skip
    """Give a browser and the web role that it looks at."""
    # Playwright runs an event loop in this thread, and Django would refuse to query beside it.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    shots = Path(os.environ.get("SCREENSHOT_DIR") or tmp_path / "screenshots")
    shots.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        address = f"127.0.0.1:{free_port()}"
        web = start_role("web", WEB_BIND=address, WEB_CONCURRENCY="1", **web_settings)
        web.wait_for_line("Booting worker")
        wait_for(lambda: _answers(f"http://{address}/livez"), "the server answers")
        yield Eyes(browser, f"http://{address}", shots)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
