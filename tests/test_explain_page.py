"""The page of an explained video: hostile names stay text, the same bytes each time."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import moving_frames
from explain_cases import (
    NAME,
    hostile_explanation,
    look,
    of,
    page,
)
from report_cases import HOSTILE

from vbench_long.cli import main
from vbench_long.dimensions import DIMENSIONS, ClipScore, Dimension
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.explaining import ExplainConfig, explain, page_name
from vbench_long.leaderboard.evidence import (
    evidence_html,
    shown_frames,
)
from vbench_long.records import Sample

MakeVideo = Callable[..., Path]


def test_hostile_names_are_text(classical_run: Path) -> None:
    parsed = page(evidence_html(hostile_explanation(classical_run), {}))
    tags = [tag for tag, _ in parsed.tags]
    assert "script" not in tags and "img" not in tags
    for _, attributes in parsed.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not (attributes.get("href") or "#").startswith(("javascript", "http", "data:text"))
    for text in HOSTILE[:5]:
        assert " ".join(text.split()) in parsed.text
    (policy,) = [a["content"] or "" for _, a in parsed.tags if "http-equiv" in a]
    assert "default-src 'none'" in policy and "script-src" not in policy and "http" not in policy


def test_the_page_is_the_same_each_time_and_small(classical_run: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        assert (
            main(
                [
                    "explain",
                    str(classical_run),
                    "--video",
                    "texture",
                    "--output",
                    str(tmp_path / name),
                ]
            )
            == 0
        )
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1] and len(pages[0]) < 400_000
    parsed = page(pages[0].decode())
    symbols = {a["id"] for tag, a in parsed.tags if tag == "symbol"}
    used = {(a["href"] or "")[1:] for tag, a in parsed.tags if tag == "use"}
    assert used and used == symbols


def test_the_page_lies_beside_the_run(classical_run: Path) -> None:
    assert (
        main(["explain", str(classical_run), "--video", NAME, "--dimensions", "imaging_quality"])
        == 0
    )
    assert [file.name for file in (classical_run / "explain").iterdir()] == [
        "a moving texture-0.html"
    ]


@pytest.mark.parametrize(
    "video", ["../../etc/passwd", "a/b-0.mp4", "日本-0.mp4", "x" * 300, ".", ""]
)
def test_a_page_name_is_a_plain_file_name(video: str) -> None:
    name = page_name(Sample(video, "p", 0, ""))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.,()'-]{0,119}\.html", name)
    assert page_name(Sample(video + "2", "p", 0, "")) != name


def test_the_page_needs_no_torch() -> None:
    code = "import sys, vbench_long.leaderboard.evidence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_frame_that_hurts_most_is_found_and_shown(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    images = [image.copy() for image in moving_frames(1, 640, 64) * 24]
    images[9] //= 4
    make_video(NAME, images, folder=tmp_path / "v")
    evaluate(RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=("temporal_flickering",)))
    explanation, pictures = explain(ExplainConfig(tmp_path / "r", NAME))
    text = page(evidence_html(explanation, pictures)).text
    hurt = text.split("What hurts most")[1]
    assert re.search(r"Frames (8-9|9-10)\b", hurt.split("score by score")[0])
    assert {8, 9} <= set(pictures) or {9, 10} <= set(pictures)
    coded = base64.b64decode(pictures[9].split(",")[1])
    poster = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
    assert poster.shape == (48, 480, 3)
    assert abs(poster.mean() - images[9].mean()) < 8 < abs(poster.mean() - images[8].mean())


def test_a_perfect_video_has_no_worst_moment(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(NAME, moving_frames(1) * 16, folder=tmp_path / "v")
    evaluate(RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=("temporal_flickering",)))
    text = page(evidence_html(look(tmp_path / "r", NAME), {})).text
    assert "Nothing hurts: full marks." in text
    assert "What hurts most" not in text.split("Where these numbers come from")[0]


def test_a_dimension_without_evidence_is_shown_by_its_clips(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Brightness(Dimension):
        """How bright the first frame is."""

        name, backbones = "brightness", {"classical": {"frame": "image_defects"}}

        def clip_items(self, clip: Any, video: Any) -> Any:
            return {"frame": [(clip.start,)]}

        def score_clip(self, clip: Any, video: Any, features: Any) -> ClipScore:
            return ClipScore(0.25 + clip.start / 1000)

    entry = EntryPoint("brightness", f"{__name__}:Brightness", "vbench_long.dimensions")
    monkeypatch.setitem(DIMENSIONS._entries, "brightness", entry)
    monkeypatch.setattr(sys.modules[__name__], "Brightness", Brightness, raising=False)
    make_video(frames=32, folder=tmp_path / "v")
    evaluate(RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=("brightness",)))
    explanation = look(tmp_path / "r", NAME)
    assert of(explanation, "brightness").verdict == "same"
    text = page(evidence_html(explanation, {})).text
    assert "How bright the first frame is." in text
    assert "Frame 7 0.88 s, clip 1 0.2500" in text and "0.2660" in text
    assert "Frame 23" not in text and 7 in shown_frames(explanation)
