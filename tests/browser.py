"""A real browser on MLflow's page, for the test that a person can browse a search and for README's screenshots."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.processes import TSBENCH, free_port, served, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["CHROMIUM", "chromium_page", "compare_address", "picture", "served_ui"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The system's own Chromium (Debian's package `chromium`); None if there is none."""


@contextmanager
def served_ui(folder: Path, name: str) -> Iterator[str]:
    """`tsbench ui NAME` in a folder, on a free port; gives the address that it prints."""
    port = free_port()
    with served([TSBENCH, "ui", name, "--port", str(port)], f"http://127.0.0.1:{port}/health", folder) as server:
        wait_for(server.log.read_text)
        yield server.log.read_text().splitlines()[0].rpartition(" ")[2]


@contextmanager
def chromium_page(width: int = 1280, height: int = 800) -> Iterator[tuple[Page, list[str]]]:
    """A page of headless Chromium, and the errors that its scripts throw."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page, errors
        browser.close()


def compare_address(address: str, experiment: str, runs: list[str]) -> str:
    """MLflow's own comparison of some runs."""
    server = address.partition("#")[0]
    return f"{server}#/compare-runs?runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"


def picture(page: Page, path: Path) -> None:
    """A screenshot as a small PNG of 128 colours."""
    from PIL import Image

    page.wait_for_timeout(1000)  # for charts that draw themselves in
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128)
    small.save(path, optimize=True)
