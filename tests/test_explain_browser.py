"""The page of `explain` in a real browser, from disk: pictures, boxes, keyboard, narrow screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from explain_cases import THINGS, build, semantic_suite

from vbench_long.evaluation import Networks, RunConfig, evaluate
from vbench_long.evaluation.explaining import ExplainConfig, explain
from vbench_long.leaderboard.evidence import evidence_html

pytest.importorskip("selenium", reason="needs selenium, which the dev extra installs")

from reader import Reader, chromium
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from test_explain import hostile_explanation

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a video of thirteen dimensions, and of one with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Networks, "build", build)
        videos, suite = semantic_suite(folder)
        networks = Networks("seeded", "cpu")
        run = folder / "run"
        evaluate(
            RunConfig(run, videos=videos, suite=str(suite), backend="reference", networks=networks)
        )
        seen = explain(ExplainConfig(run, THINGS))
        (folder / "page.html").write_text(evidence_html(*seen), encoding="utf-8")
        evil = hostile_explanation(run, THINGS)
        html = evidence_html(evil, dict.fromkeys(range(12), next(iter(seen[1].values()))))
        (folder / "evil.html").write_text(html, encoding="utf-8")
    return folder


@pytest.fixture
def page(browser: webdriver.Chrome, folder: Path) -> Iterator[Reader]:
    """The page, just opened; at the end the console must be empty."""
    reader = Reader(browser, (folder / "page.html").as_uri())
    yield reader
    assert reader.complaints() == []


def resize(page: Reader, width: int) -> None:
    page.command(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    page.open()


def test_every_picture_is_there(page: Reader) -> None:
    broken = """return Promise.all([...document.querySelectorAll('symbol image')].map((image) => {
      const copy = new Image();
      copy.src = image.getAttribute('href');
      return copy.decode().then(() => copy.naturalWidth);
    }))"""
    assert set(page.run(broken)) == {160}
    assert len(page.all("svg.picture")) > 60
    boxes = page.run(
        """return [...document.querySelectorAll('#object_class .cards svg.picture')]
          .filter((svg) => svg.getClientRects().length)
          .map((svg) => [svg.clientWidth, svg.clientHeight, svg.querySelector('g.box')])"""
    )
    assert boxes and all(w > 200 and abs(h / w - 0.6) < 0.02 and n for w, h, n in boxes)


def test_boxes_lie_where_they_were_found(page: Reader) -> None:
    places = page.run(
        """const svg = document.querySelector('#multiple_objects svg.picture:has(g.box)');
        const room = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('g.box .edge')].map((edge) => {
          const r = edge.getBoundingClientRect();
          return [r.left - room.left, r.top - room.top, r.right - room.left, r.bottom - room.top]
            .map((x) => x * 160 / room.width);
        })"""
    )
    near = [pytest.approx([4, 30, 60, 80], abs=1.5), pytest.approx([90, 40, 140, 90], abs=1.5)]
    assert places and all(any(place == one for one in near) for place in places)


def test_clips_open_by_keyboard(page: Reader) -> None:
    summary = page.one("#scene details.group summary")
    open_ = "return arguments[0].parentElement.open"
    before = page.run(open_, summary)
    page.run("arguments[0].focus()", summary)
    summary.send_keys(Keys.ENTER)
    assert page.run(open_, summary) is not before
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(outline) == "solid"


@pytest.mark.parametrize("name", ["page.html", "evil.html"])
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(
    page: Reader, folder: Path, name: str, width: int
) -> None:
    page.address = (folder / name).as_uri()
    resize(page, width)
    for closed in page.all("details:not([open])"):
        page.run("arguments[0].open = true", closed)
    too_wide = """return [...document.querySelectorAll('main *')]
      .filter((node) => !node.closest('.scroll > *, pre, svg, .unseen'))
      .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
      .map((node) => `${node.tagName}.${node.className}`)"""
    assert page.run(too_wide) == []
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.command("Emulation.clearDeviceMetricsOverride")


def test_light_and_dark_follow_the_system(page: Reader) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    with page.emulating("prefers-color-scheme", "dark"):
        dark = page.run(paper)
    with page.emulating("prefers-color-scheme", "light"):
        assert page.run(paper) != dark


def test_hostile_names_are_text(page: Reader, folder: Path) -> None:
    page.address = (folder / "evil.html").as_uri()
    page.open()
    assert "onerror" in page.one("h1").text and "owned" in page.one(".prompt").text
    assert not page.all("script, img, [onerror], [onload], iframe")
    assert page.run("return document.title").endswith("vbench-long explain")
    for attack in (
        "const s = document.createElement('script'); s.textContent = 'document.title = 1';"
        "document.body.append(s)",
        "document.body.append(Object.assign(new Image(), {src: 'https://example.com/x.png'}))",
    ):
        page.run(attack)
    page.wait("document.title.endsWith('explain')")
    assert len(page.complaints()) >= 2  # the policy's own, and nothing ran
