"""The report in a real browser, from disk: it sorts, compares, plays, and lets nothing in."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_cases import HOSTILE, beside_board

from vbench_long.leaderboard.report import report_html

pytest.importorskip("selenium", reason="needs selenium, which the dev extra installs")

from reader import Reader, address, browser, page
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

__all__ = ["address", "browser", "page"]
pytestmark = pytest.mark.browser

PUBLISHED = "section[aria-labelledby=group-3]"


def header(name: str) -> str:
    return f"table.board th[data-column={name}]"


def column(page: Reader, name: str) -> list[str]:
    """What the first table shows in a column, row by row."""
    shown: list[str] = page.run(
        """const table = document.querySelector("table.board");
        const headers = [...table.tHead.rows[0].cells];
        const place = headers.findIndex((header) => header.dataset.column === arguments[0]);
        return [...table.querySelectorAll("[data-label]")]
          .map((row) => row.cells[place].querySelector(".value").textContent)""",
        name,
    )
    return shown


def test_a_header_sorts_up_down_and_back(page: Reader) -> None:
    name = "motion_smoothness"
    given = page.models()
    orders = []
    for direction in ("descending", "ascending", "none"):
        page.press(f"{header(name)} button")
        assert page.one(header(name)).get_attribute("aria-sort") == direction
        orders.append([float(text) for text in column(page, name)])
    assert orders[0] == sorted(orders[0], reverse=True) and orders[1] == orders[0][::-1]
    assert page.models() == given and orders[2] != orders[0]


def test_only_one_header_of_a_table_is_sorted(page: Reader) -> None:
    page.press(f"{header('motion_smoothness')} button")
    page.press(f"{header('imaging_quality')} button")
    sorted_by = "table.board:first-of-type th[aria-sort]:not([aria-sort=none])"
    assert [h.get_attribute("data-column") for h in page.all(sorted_by)] == ["imaging_quality"]


def test_the_rank_is_that_of_the_sorted_column(page: Reader) -> None:
    page.press(f"{header('motion_smoothness')} button")
    assert page.one("table.board th.rank").text == "Rank\nby Motion smoothness"
    ranks = page.texts("table.board:first-of-type tbody td.rank")[:3]
    assert ranks[0] == "1" and page.models()[0] == "Beta"
    assert "2–3" in ranks  # the other two cannot be told apart


def test_scores_that_are_missing_come_last_either_way(page: Reader) -> None:
    absent = page.models(2)[0]
    page.run(
        """for (const cell of document.querySelectorAll(`${arguments[0]} tbody tr:first-child td`))
          delete cell.dataset.value""",
        PUBLISHED,
    )
    for _ in range(2):
        page.press(f"{PUBLISHED} th[data-column=scene] button")
        assert page.models(2)[-1] == absent


def test_sorting_by_keyboard_keeps_the_focus(page: Reader) -> None:
    button = page.one(f"{header('imaging_quality')} button")
    page.run("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert page.one(header("imaging_quality")).get_attribute("aria-sort") == "descending"
    button.send_keys(Keys.SPACE)
    assert page.one(header("imaging_quality")).get_attribute("aria-sort") == "ascending"
    assert page.run("return document.activeElement === arguments[0]", button)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(outline) == "solid"


def test_the_filter_hides_rows_and_counts(page: Reader) -> None:
    field = page.one("#filter")
    field.send_keys("kling HIGH")
    assert [page.models(i) for i in range(3)][:2] == [[], []]
    assert len(page.models(2)) == 1 and page.models(2)[0].startswith("Kling")
    assert page.one("#filter-count").text == "1 of 7 models"
    assert page.texts("tr.empty")[0] == "No model of this table fits the filter."
    field.clear()
    field.send_keys(Keys.SPACE)
    page.choose("#kind", "published")
    assert page.models(0) == [] and len(page.models(2)) == 3
    page.choose("#kind", "runs")
    assert len(page.models(0)) == 3 and page.models(2) == []


def test_columns_by_group(page: Reader) -> None:
    page.choose("#columns", "semantic")
    assert not page.one(header("imaging_quality")).is_displayed()
    assert page.one(f"{PUBLISHED} th[data-column=scene]").is_displayed()
    page.choose("#columns", "all")
    assert page.one(header("imaging_quality")).is_displayed()


def test_intervals_as_numbers_can_be_hidden(page: Reader) -> None:
    assert page.one(".bounds").is_displayed()
    page.press("#bounds")
    assert not page.one(".bounds").is_displayed()


def test_two_models_side_by_side(page: Reader) -> None:
    page.choose("#compare-a", "Alpha")
    page.choose("#compare-b", "Beta")
    names = page.texts("#compare-scores tbody th")
    rows = dict(zip(names, page.texts("#compare-scores tbody tr"), strict=True))
    a, b = (
        float(column(page, "motion_smoothness")[page.models().index(m)]) for m in ("Alpha", "Beta")
    )
    assert (
        f"{a:.2f}" in rows["Motion smoothness"] and f"+{b - a:.2f}"[:4] in rows["Motion smoothness"]
    )
    assert "apart" in rows["Motion smoothness"] and "overlap" in rows["Imaging quality"]
    assert "Intervals lie apart in" in page.one("#compare-said").text
    page.press("#compare-swap")
    assert "−" in page.texts("#compare-scores tbody tr")[2]
    assert "apart" in page.texts("#compare-scores tbody tr")[2]
    assert Select(page.one("#compare-a")).first_selected_option.text == "Beta"


def test_models_of_two_protocols_get_no_difference(page: Reader) -> None:
    page.choose("#compare-a", "Alpha")
    page.choose("#compare-b", "Gamma")
    assert "different protocols" in page.one("#compare-said").text
    assert page.texts("#compare-scores thead th") == ["A", "B", "A over B"]
    assert "protocol.clips exact reference" in page.texts("#compare-facts tbody tr")


def test_a_published_figure_is_held_against_the_interval(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    file = tmp_path / "index.html"
    file.write_text(report_html(beside_board(), tmp_path), encoding="utf-8")
    page = Reader(browser, file.as_uri())
    page.choose("#compare-b", "Kling (2024-07 high-performance mode)")
    names = page.texts("#compare-scores tbody th")
    rows = dict(zip(names, page.texts("#compare-scores tbody tr"), strict=True))
    assert "B outside A's" in rows["Motion smoothness"] and "+" in rows["Motion smoothness"]
    assert "its own error is unknown" in page.one("#compare-said").text
    assert "only its source is on record" in page.one("#facts-said").text
    page.press("#compare-swap")
    rows = dict(zip(names, page.texts("#compare-scores tbody tr"), strict=True))
    assert "A outside B's" in rows["Motion smoothness"]
    assert page.all("table.beside tr.run") and not page.one("#compare-command").is_displayed()
    assert page.complaints() == []


def test_no_more_models_than_can_be_told_apart(browser: webdriver.Chrome, tmp_path: Path) -> None:
    file = tmp_path / "index.html"
    file.write_text(report_html(beside_board(), tmp_path), encoding="utf-8")
    page = Reader(browser, file.as_uri())
    assert page.texts("#plot-models > div label")[0] == "Alpha"  # the run stands before the others
    page.press("#plot-models summary")
    for _ in range(3):
        page.press("#plot-models details input:not(:checked)")
    assert len(page.all("#radar path.line")) == 6
    assert page.all("#plot-models input:disabled") == page.all("#plot-models input:not(:checked)")
    assert "take one out" in page.one("#plot-full").text
    looks = page.run(
        """return [...document.querySelectorAll("#radar path.line")].map((line) =>
          getComputedStyle(line).stroke + line.getAttribute("stroke-dasharray"))"""
    )
    assert len(set(looks)) == 6
    page.press("#plot-models > div input")
    assert not page.all("#plot-models input:disabled")


def test_plots_draw_what_is_chosen(page: Reader) -> None:
    assert len(page.all("#radar path.line")) == 3
    panels = len(page.all(".panel"))
    page.press("#plot-models input")
    assert len(page.all("#radar path.line")) == 2 and len(page.all(".panel li")) == 2 * panels
    page.choose("#plot-group", "Published under VBench-Long")
    assert len(page.all("#radar path.line")) == 3 and not page.all(".panel line.span")


def test_from_the_table_to_the_prompts(page: Reader) -> None:
    page.press("table.board a[data-run='1']")
    assert Select(page.one("#detail-run")).first_selected_option.text == "Beta"
    page.choose("#detail-dimension", "Imaging quality")
    assert "95 % interval" in page.one("#detail-score").text
    assert page.one("#detail-pager .count").text == "1 to 25 of 40"
    means = [float(text) for text in page.texts("#detail-prompts tbody td:nth-of-type(1)")]
    assert means == sorted(means)
    page.press("#detail-pager button:last-of-type")
    assert page.one("#detail-pager .count").text == "26 to 40 of 40"
    page.one("#detail-search").send_keys("prompt 002")
    assert page.texts("#detail-prompts tbody th") == ["Prompt 002"]
    page.press("#detail-prompts .more")
    assert page.one("#detail-prompts .more").get_attribute("aria-expanded") == "true"
    first, second = page.texts(".samples li")
    alone = "#detail-prompts tbody tr:first-child td.num"
    assert page.texts(alone) == [second.split(" ")[0]] * 2  # the mean and the lowest of one score
    assert first.startswith("failed sample 0") and "broken <b>file</b>" in first
    assert "sample 1 · 002-1.webm" in second
    page.press("#detail-prompts .more")
    assert not page.all(".samples")


def test_a_prompt_shows_the_mean_and_the_lowest_of_its_samples(page: Reader) -> None:
    page.press("#detail-prompts .more")
    shown = [float(text.split(" ")[0]) for text in page.texts(".samples li")]
    mean, lowest = (float(text) for text in page.texts("#detail-prompts tbody td.num")[:2])
    assert len(shown) == 2 and shown[0] != shown[1]
    assert mean == pytest.approx(sum(shown) / 2, abs=0.011) and lowest == min(shown)


def test_prompts_sort_by_name_and_score(page: Reader) -> None:
    page.press("#detail-prompts thead th:nth-child(2) button")
    means = [float(text) for text in page.texts("#detail-prompts tbody td:nth-of-type(1)")]
    assert means == sorted(means, reverse=True)
    page.press("#detail-prompts thead th:nth-child(1) button")
    names = page.texts("#detail-prompts tbody th")
    assert names == sorted(names) and len(names) == 25


def test_the_worst_videos_show_a_frame_and_play_from_disk(page: Reader) -> None:
    pictures = "[...document.querySelectorAll('.card img')]"
    page.wait(
        f"{pictures}.length === 4 && {pictures}.every((i) => i.complete && i.naturalWidth === 128)"
    )
    page.press(".card .play")
    page.wait("document.querySelector('.card video').readyState >= 2")
    video = page.one(".card video")
    start = page.run("return arguments[0].currentSrc", video).rsplit("#t=", 1)[1]
    assert page.run("return arguments[0].videoWidth", video) == 128
    assert page.run("return arguments[0].currentTime", video) >= float(start)
    assert page.run("return document.activeElement === arguments[0]", video)


def test_a_video_that_went_is_named(page: Reader, address: str) -> None:
    page.run(
        """document.querySelector('.card .play').click();
        document.querySelector('.card video').src = 'gone.webm';"""
    )
    page.wait("document.querySelector('.card .absent') !== null")
    assert "cannot be played from here" in page.one(".card .absent").text
    assert [text for text in page.complaints() if "gone.webm" not in text] == []


def test_a_run_without_files_says_where_they_should_be(page: Reader) -> None:
    page.choose("#detail-run", "Beta")
    assert not page.all(".card video, .card .play")
    assert all("not beside this report" in text for text in page.texts(".card .absent"))


def test_what_has_no_score_is_listed_with_its_reason(page: Reader) -> None:
    page.choose("#problem-run", "Beta")
    rows = page.texts("#problems tbody tr")
    assert len(rows) == 2
    assert "failed" in rows[0] and "broken <b>file</b>" in rows[0]
    assert "Subject consistency, Motion smoothness, Imaging quality" in rows[0]
    assert "missing" in rows[1] and "there is no such file" in rows[1]


def test_hostile_names_are_text_everywhere(page: Reader) -> None:
    name = HOSTILE[0]
    evil = next(o for o in page.all("#detail-run option") if "onerror" in o.text)
    Select(page.one("#detail-run")).select_by_value(evil.get_attribute("value") or "")
    page.choose("#compare-a", name)
    page.choose("#compare-b", "Alpha")
    for toggle in page.all("#detail-prompts .more"):
        page.run("arguments[0].click()", toggle)
    shown = page.run(
        "return [...document.querySelectorAll('#detail-prompts .more bdi')]"
        ".map((b) => b.textContent.toWellFormed())"  # the driver's JSON has no half characters
    )
    assert sorted(shown) == sorted((p or "(empty)").replace("\ud800", "\ufffd") for p in HOSTILE)
    assert name in page.one("#compare-scores caption").text
    assert len(page.all("script")) == 2
    assert not page.all("[onerror], [onload], b, main img:not([src^='data:image/jpeg'])")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    "attack",
    [
        "const s = document.createElement('script'); s.textContent = 'document.title = 1';"
        "document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend',"
        " '<img src=\"data:,\" onerror=\"document.title = 1\">')",
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')",
        "document.body.append("
        "Object.assign(new Image(), {src: '../alpha%20%231%20%2541/videos/000-0.webm'}))",
        "document.body.append(Object.assign(new Image(), {src: 'https://example.com/x.png'}))",
        "fetch('https://example.com/').catch(() => {})",
        "fetch('index.html').catch(() => {})",
        "document.head.append(Object.assign(document.createElement('base'), {href: 'https://example.com/'}))",
    ],
)  # fmt: skip
def test_the_policy_stops_what_gets_in(page: Reader, attack: str) -> None:
    page.run(
        "window.stopped = [];"
        "addEventListener('securitypolicyviolation', (e) => stopped.push(e.violatedDirective));"
        + attack
    )
    page.wait("stopped.length > 0")
    assert page.complaints()


def test_every_control_has_a_name(page: Reader) -> None:
    tree = page.command("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "button",
        "link",
        "combobox",
        "searchbox",
        "checkbox",
        "table",
        "region",
        "img",
        "textbox",
    }
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if "role" in n]
    controls = [(role, name) for role, name in named if role in roles]
    assert len(controls) > 60 and not [role for role, name in controls if not name.strip()]
    ids = page.run("return [...document.querySelectorAll('[id]')].map((n) => n.id)")
    assert len(ids) == len(set(ids))
    assert page.run("return [...document.querySelectorAll('th')].every((h) => h.scope)")


def test_dark_and_light(page: Reader) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    page.press("#theme")
    dark = page.run(paper)
    assert dark != light and page.one("#theme").get_attribute("aria-pressed") == "true"
    with page.emulating("prefers-color-scheme", "dark"):
        page.open()
        assert page.run(paper) == dark
        page.press("#theme")
        assert page.run(paper) == light


def test_a_phone_scrolls_tables_and_not_the_page(page: Reader) -> None:
    size = {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    page.command("Emulation.setDeviceMetricsOverride", **size)
    try:
        page.open()
        assert page.run("return document.documentElement.scrollWidth") == 360
        page.run("document.querySelector('.scroll').scrollLeft = 200")
        name = page.one("table.board tbody th.model").rect
        assert 0 <= name["x"] < 40 and name["width"] < 180
    finally:
        page.command("Emulation.clearDeviceMetricsOverride")


def test_without_scripts_the_tables_can_be_read(page: Reader) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open()
        assert len(page.models(0)) == 3
        assert "Scripts are off" in page.one("noscript").text
        assert not page.one("#compare").is_displayed() and not page.one("#filter").is_displayed()
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)


def test_motion_is_reduced_on_request(page: Reader) -> None:
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    assert page.run(behaviour) == "auto"  # the browser was started with reduced motion
    with page.emulating("prefers-reduced-motion", "no-preference"):
        assert page.run(behaviour) == "smooth"
