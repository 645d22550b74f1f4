"""VBench's result files made up for tests, built from the published rules and not by our writer."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import strategies as st

from vbench_long.leaderboard.interchange.exporting import ZIP, submission_files
from vbench_long.leaderboard.interchange.importing import read_results
from vbench_long.leaderboard.scores import SCALES
from vbench_long.store import Run

GOLDEN = json.loads((Path(__file__).parent / "golden/vbench_results.json").read_text())
FUSED = ("subject_consistency", "background_consistency")
STILL = "videos/temporal_filtered_cilps/filtered_videos/"

ENDINGS = ("_eval_results.json", "_full_info.json")

Files = Mapping[str, Any]


def write_zip(path: Path, files: Files) -> Path:
    """A zip of these files; bytes as they are, everything else as JSON."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def write_folder(path: Path, files: Files) -> Path:
    """The same as a folder."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (path / name).write_bytes(data)
    return path


def run_of(source: Path) -> Run:
    """Imported results as a run in memory."""
    found = read_results(source)
    environments = {found.manifest.environment: found.environment}
    return Run(source, found.manifest, found.samples, found.records, environments)


def clip(path: str, value: float | bool, **extras: Any) -> dict[str, Any]:
    return {"video_path": f"videos/split_clip/{path}", **extras, "video_results": value}


def plain(*values: float) -> list[Any]:
    """A dimension measured on one clip each of the videos "cat-0", "cat-1", ..."""
    clips = [clip(f"cat-{i}/cat-{i}_000.mp4", value) for i, value in enumerate(values)]
    return grouped(clips)


def grouped(clips: list[dict[str, Any]], scale: float = 1) -> list[Any]:
    """Overall, clips, groups, as `reorganize_clips_results` puts them: each clip its own group."""
    groups: dict[str, list[float]] = {}
    for row in clips:
        root, cut, _ = row["video_path"].partition("filtered_clips")
        video = row["video_path"].rpartition("/")[2].split("_")[0]
        groups.setdefault(f"{root}{video}.mp4" if cut else f"{root}/{video}.mp4", []).append(
            row["video_results"]
        )
    means = [{"video_path": path, "video_results": fmean(all_)} for path, all_ in groups.items()]
    return [fmean([row["video_results"] for row in means]) / scale, clips, means]


def export(run: Run) -> dict[str, Any]:
    """What an export holds, by kind of file."""
    files = submission_files(run)
    found = {end: json.loads(d) for n, d in files.items() for end in ENDINGS if n.endswith(end)}
    return {**found, ZIP: files[ZIP]}


def in_order(content: Any) -> Any:
    """Result files without what VBench itself leaves to chance: the order of its lists."""
    if isinstance(content, list):
        return sorted(map(in_order, content), key=lambda x: json.dumps(_rough(x), sort_keys=True))
    return {k: in_order(v) for k, v in content.items()} if isinstance(content, dict) else content


def _rough(content: Any) -> Any:
    if isinstance(content, float):
        return round(content, 9)
    if isinstance(content, list):
        return [_rough(item) for item in content]
    return {k: _rough(v) for k, v in content.items()} if isinstance(content, dict) else content


def assert_same(found: Any, wanted: Any) -> None:
    """Equal to twelve digits, with the same types of verdicts and the same keys in their order."""
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            assert_same(found[key], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, float):
        assert isinstance(found, float) and found == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    else:
        assert (type(found), found) == (type(wanted), wanted)


def assert_exports_the_same(run: Run, files: Mapping[str, Any]) -> None:
    """The export of an import says what the imported files said."""
    written = export(run)
    results: dict[str, Any] = {}
    for name, content in files.items():
        if name.endswith(ENDINGS[0]):
            results |= content
    assert set(written[ENDINGS[0]]) == set(results)
    for name, lists in results.items():
        overall, *rows = written[ENDINGS[0]][name]
        assert overall == pytest.approx(lists[0], abs=1e-12)
        assert_same([in_order(row) for row in rows], [in_order(row) for row in lists[1:]])


unit = st.floats(0, 1)
prompts = st.text("abcdeé',. -0123", min_size=1, max_size=8).filter(str.strip)


@st.composite
def published(draw: st.DrawFn) -> dict[str, Any]:
    """What VBench-Long leaves behind: a results file with its full info, in either mode."""
    custom = draw(st.booleans())
    texts = draw(st.lists(prompts, min_size=1, max_size=3, unique=True))
    dimensions = draw(st.lists(st.sampled_from(tuple(SCALES)), min_size=1, max_size=5, unique=True))
    filtered = draw(st.booleans())
    entries: list[dict[str, Any]] = []
    clips: list[tuple[str, str]] = []
    for text in texts:
        paths = []
        for index in range(draw(st.integers(1, 2))):
            video = f"{text}-{index}"
            count = draw(st.integers(1, 3))
            scenes = draw(st.sampled_from([(video,), (f"{video}-Scene-0", f"{video}-Scene-1")]))
            named = [f"{s}_{k:03d}" for s in scenes for k in range(count)]
            if count == 1 and len(scenes) == 1 and draw(st.booleans()):
                named = [f"{video}_full"]
            found = [
                (name.rpartition("_")[0], f"videos/split_clip/{name.rpartition('_')[0]}/{name}.mp4")
                for name in named
            ]
            clips += found
            paths += [path for _, path in found]
            if custom:
                entries.append({"prompt_en": video, "dimension": dimensions, "video_list": paths})
                paths = []
        if not custom:
            entries.append({"prompt_en": text, "dimension": dimensions, "video_list": paths})
    results = {name: _dimension(draw, name, clips, filtered) for name in dimensions}
    return {"results_x_eval_results.json": results, "results_x_full_info.json": entries}


def _dimension(
    draw: st.DrawFn, name: str, clips: list[tuple[str, str]], filtered: bool
) -> list[Any]:
    if name in FUSED:
        return _fused(draw, clips)
    scale = 100 if name == "imaging_quality" else 1
    rows = []
    still: dict[str, int] = {}
    for video, path in clips:
        if name in ("dynamic_degree", "human_action"):
            value: float | bool = draw(st.booleans())
        else:
            value = draw(unit) * scale
        if filtered and name == "temporal_flickering":
            prompt = video.split("-Scene-")[0].rpartition("-")[0]
            still[prompt] = still.get(prompt, 0) + 1
            if still[prompt] > 5:
                continue
            path = f"{STILL}filtered_clips/{path.rpartition('/')[2]}"
        extras = {"human_action": {"cor_num_per_video": int(value)}}.get(name, {})
        rows.append({"video_path": path, "video_results": value, **extras})
    return grouped(rows, scale)


def _fused(draw: st.DrawFn, clips: list[tuple[str, str]]) -> list[Any]:
    videos = [video for video, _ in clips]
    fast = {video: draw(unit) for video in videos if videos.count(video) > 1}
    rows = []
    for video, path in clips:
        slow, between, path = draw(unit), fast.get(video, 0), f"{path}/{video}.mp4"
        if not any(fast.values()):
            rows.append({"video_path": path, "video_results": slow})
            continue
        fused = 0.5 * slow + 0.5 * between if between else slow
        branches = {"inclip_score": slow, "clip2clip_score": between}
        branches["mapped_clip2clip_score"] = between
        rows.append({"video_path": path, **branches, "video_results": fused})
    return [fmean([row["video_results"] for row in rows]), rows]
