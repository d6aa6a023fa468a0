"""A real Chromium for tests of the report's page, and what is listened to while it shows one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NEEDED = ("CI", "EDITCTL_BROWSER")


def chromium() -> str:
    """Path of the browser. Without one the test fails where it must run, and is skipped with the reason elsewhere."""
    found = os.environ.get("EDITCTL_CHROMIUM") or shutil.which("chromium")
    if found:
        return found
    if any(os.environ.get(name) for name in NEEDED):
        pytest.fail("no chromium on PATH and no EDITCTL_CHROMIUM: the report's browser tests must run here")
    pytest.skip("needs chromium: apt-get install chromium, or name one in EDITCTL_CHROMIUM")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser without any network service of its own."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield found
        finally:
            found.close()


class Shown:
    """One file shown in a context of its own; whatever it says, asks for or opens is noted."""

    def __init__(self, browser: Any, path: Path, *, fragment: str = "", **options: Any) -> None:
        self.address = path.as_uri()
        self.noted: list[str] = []
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("console", lambda message: self.noted.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.noted.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("popup", lambda page: self.noted.append(f"popup: {page.url}"))
        self.page.on("request", self._request)
        self.page.goto(self.address + fragment)

    def _dialog(self, dialog: Any) -> None:
        self.noted.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if request.url.partition("#")[0] not in (self.address, "data:,"):
            self.noted.append(f"request: {request.url}")

    def size(self, width: int, height: int = 740) -> None:
        """Make the window another size."""
        self.page.set_viewport_size({"width": width, "height": height})

    def script(self, text: str, argument: Any = None) -> Any:
        """What a piece of JavaScript gives in the page."""
        return self.page.evaluate(text, argument)

    def cards(self, kind: str = "pairs") -> list[str]:
        """Headings of the cards that a browser of pairs or outcomes shows now."""
        return list(
            self.script("kind => [...document.querySelectorAll(`#${kind} .card h3`)].map(h => h.innerText)", kind)
        )

    def cards_are(self, names: list[str]) -> None:
        """Until these pairs are shown, and no others."""
        self.wait_for(
            "names => [...document.querySelectorAll('#pairs .card h3')].map(h => h.innerText).join() === names",
            ",".join(names),
        )

    def first_card_is(self, name: str) -> None:
        """Until this pair is the first shown."""
        self.wait_for("name => document.querySelector('#pairs .card h3').innerText === name", name)

    def wait_for(self, condition: str, argument: Any = None) -> None:
        """Until a piece of JavaScript gives something true."""
        self.page.wait_for_function(condition, arg=argument)

    def found(self, kind: str, text: str) -> None:
        """Until the announced count is `text`."""
        self.wait_for(
            "([kind, text]) => document.querySelector(`#${kind} [data-found]`).textContent === text", [kind, text]
        )

    def close(self) -> None:
        """End it; anything noted is an error."""
        self.context.close()
        assert self.noted == []
