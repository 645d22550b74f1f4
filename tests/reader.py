"""Somebody who reads a page in a real browser: Chromium without a window, driven by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from report_cases import mixed_board
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from vbench_long.leaderboard.report import report_html

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
)  # fmt: skip


def _found(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile; the test is skipped where there is none."""
    program = _found("chromium", "chromium-browser", "google-chrome")
    driver = _found("chromedriver", "chromium-driver")
    if not program or not driver:
        pytest.skip("needs Chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


class Reader:
    """Somebody who reads the page."""

    def __init__(self, chrome: webdriver.Chrome, address: str) -> None:
        self.chrome, self.address = chrome, address
        self.open()

    def open(self) -> None:
        self.chrome.get(self.address)

    def one(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        return self.chrome.find_elements(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        return [node.text for node in self.all(css)]

    def run(self, script: str, *arguments: object) -> Any:
        return self.chrome.execute_script(script, *arguments)

    def press(self, css: str) -> None:
        node = self.one(css)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", node)
        node.click()

    def choose(self, css: str, text: str) -> None:
        Select(self.one(css)).select_by_visible_text(text)

    def models(self, table: int = 0) -> list[str]:
        rows = self.all("table.board")[table].find_elements(By.CSS_SELECTOR, "[data-label]")
        return [row.get_attribute("data-label") or "" for row in rows if row.is_displayed()]

    def wait(self, condition: str) -> None:
        WebDriverWait(self.chrome, 10).until(lambda _: self.run(f"return {condition}"))

    def command(self, name: str, **parameters: object) -> Any:
        return self.chrome.execute_cdp_cmd(name, parameters)

    @contextmanager
    def emulating(self, feature: str, value: str) -> Iterator[None]:
        """The reader's system asks for something, such as a dark page."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": feature, "value": value}])
        yield
        self.command("Emulation.setEmulatedMedia", features=[])

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.chrome.get_log("browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report on disk, its videos in folders beside it."""
    folder = tmp_path_factory.mktemp("boards")
    page = folder / "out" / "index.html"
    page.parent.mkdir()
    page.write_text(report_html(mixed_board(folder), page.parent), encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def page(browser: webdriver.Chrome, address: str) -> Iterator[Reader]:
    """The report, just opened; at the end the console must be empty and nobody got in."""
    reader = Reader(browser, address)
    yield reader
    assert reader.complaints() == []
    assert browser.title == "Leaderboard · vbench-long"
