"""The report as a file: what it says, that names stay names, and that it fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import HOSTILE, mixed_board, scored_run, with_videos, without
from test_scores import make_run, ok

from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.board import Leaderboard
from vbench_long.leaderboard.report import report_html
from vbench_long.leaderboard.report.details import MOST_POSTERS, WORST, posters_each
from vbench_long.leaderboard.scores import AGGREGATES, SCALES, available_totals
from vbench_long.records import Record, Sample, Status
from vbench_long.store import Run
from vbench_long.video import file_sha256


class Page(HTMLParser):
    """A page taken apart: tags with attributes, text by element, scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.raw.append((tag, ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and self.raw[-1][1] == "":
            self.raw[-1] = (self.raw[-1][0], data)
        else:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))

    @property
    def data(self) -> dict[str, Any]:
        """What the scripts read."""
        (text,) = [raw for (tag, raw) in self.raw if tag == "script" and raw.startswith("{")]
        found: dict[str, Any] = json.loads(text)
        return found

    def attributes(self, name: str) -> list[str]:
        return [a[name] or "" for _, a in self.tags if name in a]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def board(folder: Path) -> Leaderboard:
    return mixed_board(folder)


@pytest.fixture(scope="module")
def page(board: Leaderboard, folder: Path) -> Page:
    return Page(report_html(board, folder / "out"))


def one(run: Run, folder: Path, **more: Any) -> Page:
    page = report_html(build([run], available_totals), folder, **more)
    return Page(page.encode().decode())


def test_the_same_leaderboard_gives_the_same_bytes(board: Leaderboard, folder: Path) -> None:
    assert report_html(board, folder / "out") == report_html(board, folder / "out")


def test_the_tables_stand_without_scripts(page: Page) -> None:
    text = " ".join(" ".join(page.words).split())
    assert "Classical backend, exact clips" in text and "Classical backend, reference clips" in text
    assert "published, no interval" in text and "Kling" in text
    assert "Published under VBench-Long" in text
    counts = Counter(tag for tag, _ in page.tags)
    assert counts["table"] - 4 == 3  # four more wait for scripts
    labels = page.attributes("data-label")
    assert labels[:2] == ["Alpha", "Beta"] and len(labels) == len(page.data["models"])


def test_cells_are_the_leaderboards(board: Leaderboard, page: Page) -> None:
    for row, model in zip(board.rows, page.data["models"], strict=True):
        assert model["label"] == row.label
        scored = {name: cell for name, cell in row.cells.items() if cell.score is not None}
        assert model["cells"].keys() == scored.keys()
        for name, cell in scored.items():
            shown = model["cells"][name]
            assert shown["value"] == pytest.approx(cell.score, rel=1e-5)
            bounds = [shown[end] for end in ("low", "high") if end in shown]
            assert bounds == pytest.approx(list(cell.interval or ()), rel=1e-5)
            assert shown.get("rank") == (list(row.ranks[name]) if name in row.ranks else None)
    alpha = board.rows[0].cell("motion_smoothness")
    assert alpha.score is not None and alpha.interval is not None
    assert f"{100 * alpha.score:.2f}" in page.words
    assert "–".join(f"{100 * end:.2f}" for end in alpha.interval) in page.words


def test_bold_is_what_leads_its_table(board: Leaderboard, page: Page) -> None:
    bold = [a for tag, a in page.tags if tag == "span" and a.get("class") == "value leads"]
    shown = [name for group in board.groups for name in (*group.dimensions(), *AGGREGATES)]
    leading = sum(row.leads(name) for group in board.groups for row in group.rows
                  for name in {*shown} if row.cell(name).score is not None)  # fmt: skip
    assert len(bold) == leading > 0


def test_bars_hold_their_points(page: Page) -> None:
    bars = 0
    for tag, attributes in page.tags:
        kind = attributes.get("class")
        if tag == "rect" and kind in ("span", "point"):
            left, width = float(attributes["x"] or 0), float(attributes["width"] or 0)
            assert left >= 0 and left + width <= 76
            bars += kind == "span"
    assert bars > 10


def test_every_record_is_in_the_page(board: Leaderboard, page: Page) -> None:
    data = page.data
    runs = [row.run for row in board.rows if row.run]
    for run, said in zip(runs, data["runs"], strict=True):
        scored = {(r.video, r.dimension): r for r in run.records}
        for name, column in said["values"].items():
            places = column["samples"] or range(len(run.samples))
            shown = dict(zip(places, column["scores"], strict=True))
            for place, sample in enumerate(run.samples):
                stored = scored[sample.video, name].value
                assert shown.get(place) == (stored and pytest.approx(stored, rel=1e-5))
        prompts = [data["texts"][place] for place in said["prompts"]]
        assert prompts == [sample.prompt for sample in run.samples]
        problems = {
            (run.samples[sample].video, dimension, data["statuses"][status], data["texts"][reason])
            for sample, dimension, status, reason in said["problems"]
        }
        without_score = [r for r in run.records if r.status is not Status.OK]
        assert problems == {(r.video, r.dimension, r.status, r.error) for r in without_score}
    assert sum(len(said["problems"]) for said in data["runs"]) == 9


def test_the_worst_come_first_with_their_lowest_clip(board: Leaderboard, page: Page) -> None:
    alpha = board.rows[0].run
    assert alpha
    values = {r.video: r.value for r in alpha.records if r.dimension == "imaging_quality"}
    cards = page.data["runs"][0]["worst"]["imaging_quality"]
    assert [card["value"] for card in cards] == pytest.approx(sorted(values.values())[:WORST])
    for card in cards:
        video = alpha.samples[card["sample"]].video
        (record,) = [
            r for r in alpha.records if (r.video, r.dimension) == (video, "imaging_quality")
        ]
        first = record.clip_values()[0] <= record.clip_values()[1]
        assert card["span"] == ([0.0, 1.0] if first else [1.0, 2.0])
        assert page.data["posters"][card["poster"]].startswith("data:image/jpeg;base64,")


def test_a_poster_is_the_frame_it_says(page: Page, folder: Path) -> None:
    from vbench_long.video import probe, read_frames

    frames = [f.rgb for f in read_frames(probe(folder / "alpha #1 %41/videos/000-0.webm"))]
    for cards in page.data["runs"][0]["worst"].values():
        for card in cards:
            coded = base64.b64decode(page.data["posters"][card["poster"]].split(",")[1])
            poster = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            distances = [np.abs(poster.astype(float) - frame).mean() for frame in frames]
            assert int(np.argmin(distances)) == 16 * card["span"][0]


def test_another_file_gives_no_poster(tmp_path: Path) -> None:
    run = with_videos(scored_run("m", tmp_path / "run", prompts=2))
    for sample in run.samples:
        with (tmp_path / "run" / sample.path).open("ab") as file:
            file.write(b"more")
    data = one(run, tmp_path).data
    assert not data["posters"]
    cards = data["runs"][0]["worst"]["imaging_quality"]
    assert {card["note"] for card in cards} == {"the file has changed since it was judged"}


def test_a_file_that_is_no_video_gives_no_poster(tmp_path: Path) -> None:
    run = scored_run("m", tmp_path / "run", prompts=2)
    (tmp_path / "run/videos").mkdir(parents=True)
    (tmp_path / "run" / run.samples[0].path).write_bytes(b"no video")
    sha256 = hashlib.sha256(b"no video").hexdigest()
    run = replace(run, records=tuple(replace(r, sha256=sha256) for r in run.records))
    data = one(run, tmp_path).data
    notes = [c["note"] for c in data["runs"][0]["worst"]["imaging_quality"]]
    assert sorted(notes) == ["", "", "", "the file cannot be read any more"]


def test_paths_lead_from_the_report_to_the_files(page: Page, folder: Path) -> None:
    first, second = page.data["runs"][:2]
    assert first["base"] == "../alpha #1 %41/videos/"
    for place in first["links"]:
        address = first["base"] + page.data["texts"][place]
        assert (folder / "out" / address).resolve().is_file()
    assert set(second["links"]) == {None}


@pytest.mark.parametrize("name", ["data:x.webm", "a b#c?d%41.webm", "..webm", "é🎬.webm"])
def test_a_path_stays_a_path_whatever_the_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"video")
    run = make_run([ok(name, "scene", 0.5), ok("gone", "scene", 0.4)])
    samples = (Sample(name, "p", 0, str(tmp_path / name)), Sample("gone", "q", 0, "x" * 5000))
    data = one(replace(run, samples=samples), tmp_path).data
    assert data["runs"][0]["base"] == "./"
    assert [p is not None and data["texts"][p] for p in data["runs"][0]["links"]] == [name, False]


def test_a_folder_of_images_has_frames_and_nothing_to_play(tmp_path: Path) -> None:
    folder = tmp_path / "run/videos/v"
    folder.mkdir(parents=True)
    for k in range(20):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((40, 400, 3), 10 * k, np.uint8))
    run = make_run([replace(ok("v", "scene", 0.5, 0.4), sha256=file_sha256(folder))])
    data = one(replace(run, folder=tmp_path / "run"), tmp_path).data
    (card,) = data["runs"][0]["worst"]["scene"]
    assert data["runs"][0]["links"] == [None] and card["span"] is None
    coded = base64.b64decode(data["posters"][card["poster"]].split(",")[1])
    poster = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
    assert poster.shape == (32, 320, 3) and abs(poster.mean() - 160) < 2


def test_no_media_means_no_frame_and_no_path(board: Leaderboard, folder: Path) -> None:
    data = Page(report_html(board, folder / "out", "none")).data
    assert not data["posters"]
    assert all("links" not in run and "base" not in run for run in data["runs"])


def test_posters_are_bounded() -> None:
    run = make_run([ok("v", name, 0.5) for name in SCALES])
    assert posters_each([run]) == WORST
    for count in (1, 3, 8, 15):
        assert 16 * count * posters_each([run] * count) <= MOST_POSTERS
    assert posters_each([run] * 50) == 1


def test_only_one_script_and_style_may_run_and_nothing_is_fetched(page: Page) -> None:
    (policy,) = [a["content"] or "" for _, a in page.tags if "http-equiv" in a]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    scripts = [raw for tag, raw in page.raw if tag == "script" and not raw.startswith("{")]
    styles = [raw for tag, raw in page.raw if tag == "style"]
    for (raw,), rule in ((scripts, "script-src"), (styles, "style-src")):
        digest = base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert all(address.startswith("#") for address in page.attributes("href"))
    assert not page.attributes("src") and not page.attributes("style")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "http" not in "".join(scripts + styles).replace("http://www.w3.org/2000/svg", "")


def shape(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(attributes)) for tag, attributes in page.tags]


@settings(max_examples=30, deadline=None)
@given(text=st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40)))
def test_names_and_prompts_stay_text(text: str) -> None:
    """Whatever they contain, the page has the tags of a page of tame names, and no others."""

    def pages(name: str) -> Page:
        run = scored_run(name, Path("r"), prompts=[name, "other"])
        run = without(run, "001-1.webm", Status.FAILED, name)
        manifest = replace(run.manifest, command=name, model={name: name})
        return one(replace(run, manifest=manifest), Path("out"))

    wild, tame = pages(text), pages("tame")
    assert shape(wild) == shape(tame)
    assert wild.data["texts"][wild.data["runs"][0]["prompts"][0]] == text
    assert wild.data["models"][0]["label"] == text


def test_nothing_but_ascii_reaches_the_data(page: Page) -> None:
    (data,) = [raw for tag, raw in page.raw if tag == "script" and raw.startswith("{")]
    assert data.isascii() and not set("<>&\x00\x7f") & set(data)


def test_facts_name_every_leaf_and_all_environments() -> None:
    run = scored_run("m", Path("r"), prompts=2)
    environments = {"a": {"packages": {"torch": "2.6"}}, "b": {"packages": {"torch": "2.7"}}}
    manifest = replace(run.manifest, model={"seed": 7, "settings": {"defect": ""}})
    data = one(replace(run, environments=environments, manifest=manifest), Path("out")).data
    facts = dict(data["models"][0]["facts"])
    assert facts["environment.packages.torch"] == "2.6 and 2.7"
    assert facts["model.seed"] == "7" and facts["model.settings.defect"] == "none"
    assert facts["protocol.backend"] == "classical"


def test_published_rows_have_a_source_and_no_bounds(board: Leaderboard, page: Page) -> None:
    for row, model in zip(board.rows, page.data["models"], strict=True):
        if row.published:
            assert dict(model["facts"])["published.source"] == row.published.source
            assert all("low" not in cell for cell in model["cells"].values())


def test_the_official_suite_stays_under_five_megabytes() -> None:
    """946 prompts x 5 samples x 16 dimensions: the most one run can hold."""
    rng = np.random.default_rng(0)
    samples, records = [], []
    for k in range(946):
        for index in range(5):
            prompt = f"prompt {k:03} of average length, " + "which is about sixty letters long"
            video = f"{prompt}-{index}.mp4"
            samples.append(
                Sample(video, prompt, index, f"videos/{video}", dimensions=tuple(SCALES))
            )
            for name, value in zip(SCALES, rng.random(16).tolist(), strict=True):
                clips = {"clips": [{"start": 0, "stop": 16, "scene": 0, "value": value}]}
                records.append(Record(video, name, Status.OK, value, parts=clips))
    run = make_run(records[:1], dimensions=tuple(SCALES))
    run = replace(run, samples=tuple(samples), records=tuple(records))
    from vbench_long.leaderboard.board import Cell, Group, Row

    cells = {name: Cell(name, 0.5, (0.4, 0.6)) for name in SCALES}
    row = Row("m", "complete", 4730, cells, run=run)
    text = report_html(Leaderboard((Group("title", "about", (), (row,)),)), Path("out"))
    assert len(text.encode()) < 5e6
    assert re.search(r"0\.\d{6}", text)  # and still six digits of each score
