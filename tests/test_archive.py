"""Result files nobody should trust: what is hostile, broken or wrong is refused by name."""

from __future__ import annotations

import io
import json
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submission_cases import clip, grouped, plain, write_folder, write_zip

from vbench_long.errors import UsageError
from vbench_long.leaderboard.interchange import archive
from vbench_long.leaderboard.interchange.importing import import_run, read_results
from vbench_long.leaderboard.scores import SCALES

NAME = "r_eval_results.json"
GOOD = json.dumps({"scene": plain(0.25, 0.75)}).encode()


def packed(*entries: tuple[zipfile.ZipInfo | str, bytes], method: int = 8) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for entry, data in entries:
            made.writestr(entry, data)
    return out.getvalue()


def refusal(data: bytes, folder: Path) -> UsageError:
    """Why a zip is refused; nothing may be left behind."""
    source = folder / "results.zip"
    source.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        import_run(source, folder / "run")
    assert sorted(path.name for path in folder.iterdir()) == ["results.zip"]
    return caught.value


def test_the_good_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.zip").write_bytes(packed((NAME, GOOD), ("folder/", b"")))
    assert read_results(tmp_path / "r.zip").manifest.counts == {"ok": 2}


# --- zips --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../r_eval_results.json",
        "a/../../r_eval_results.json",
        "a/../r_eval_results.json",
        "./r_eval_results.json",
        "/etc/r_eval_results.json",
        "//host/r_eval_results.json",
        "a//r_eval_results.json",
        "C:/r_eval_results.json",
        "..\\r_eval_results.json",
        "a\\r_eval_results.json",
        "../readme.txt",
    ],
)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    error = refusal(packed((NAME, GOOD), (name, GOOD)), tmp_path)
    assert error.what == "a name in the zip leads out of it" and error.where == name


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    data = packed((NAME, GOOD), ("b_eval_resultsX.json", GOOD)).replace(b"sX.json", b"s\0.json")
    assert refusal(data, tmp_path).what == "a name in the zip leads out of it"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(kind: int, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("b_eval_results.json")
    entry.external_attr = (kind | 0o777) << 16
    error = refusal(packed((NAME, GOOD), (entry, b"/etc/passwd")), tmp_path)
    assert (error.what, error.where) == ("an entry of the zip is a link or device", entry.filename)


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    data = bytearray(packed((NAME, GOOD)))
    data[6] |= 1  # flags in the entry's own header, then in the directory
    data[data.index(b"PK\1\2") + 8] |= 1
    error = refusal(bytes(data), tmp_path)
    assert (error.what, error.where) == ("an entry of the zip is encrypted", NAME)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = packed((NAME, GOOD), (NAME, GOOD))
    error = refusal(data, tmp_path)
    assert (error.what, error.where) == ("the zip holds the same name twice", NAME)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused(method: int, tmp_path: Path) -> None:
    assert f"method {method}" in refusal(packed((NAME, GOOD), method=method), tmp_path).what


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    error = refusal(packed((NAME, b" " * 3_000_000)), tmp_path)
    assert (error.what, error.where) == ("the file unpacks to over 200 times its size", NAME)


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """Only as much is unpacked as the directory promises, and the checksum then fails."""
    data = bytearray(packed((NAME, GOOD + b" " * 3_000_000)))
    size = struct.pack("<I", len(GOOD))
    data[22:26] = size
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = size
    assert refusal(bytes(data), tmp_path).what.startswith("not a zip, or a damaged one")


def test_a_file_shorter_than_it_says_is_refused(tmp_path: Path) -> None:
    data = bytearray(packed((NAME, GOOD)))
    at = data.index(b"PK\1\2") + 24
    data[22:26] = data[at : at + 4] = struct.pack("<I", len(GOOD) + 5)
    assert "is shorter than it says" in refusal(bytes(data), tmp_path).what


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = packed((NAME, GOOD), *[(f"x{i}", b"") for i in range(archive.ENTRY_LIMIT)])
    assert refusal(many, tmp_path).what == "1001 files, the most are 1000"
    monkeypatch.setattr(archive, "FILE_LIMIT", len(GOOD) - 1)
    assert refusal(packed((NAME, GOOD)), tmp_path).where == NAME
    monkeypatch.setattr(archive, "FILE_LIMIT", len(GOOD))
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 2 * len(GOOD) - 1)
    assert "files have more than" in refusal(packed((NAME, GOOD), ("b", GOOD)), tmp_path).what
    monkeypatch.setattr(archive, "ARCHIVE_LIMIT", 100)
    assert "the zip has more than" in refusal(packed((NAME, GOOD)), tmp_path).what


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1, -30])
def test_a_truncated_zip_is_refused(keep: float, tmp_path: Path) -> None:
    data = packed((NAME, GOOD))
    cut = data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)]
    assert refusal(cut, tmp_path).what.startswith("not a zip, or a damaged one")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_zip_is_read_or_refused_and_nothing_else(data: Any) -> None:
    bytes_ = bytearray(packed((NAME, GOOD), ("a/b_full_info.json", b"[]")))
    for _ in range(data.draw(st.integers(1, 4))):
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "r.zip"
        source.write_bytes(bytes_)
        try:
            found = read_results(source)
        except UsageError:
            return
    assert found.manifest.counts == {"ok": 2}


# --- folders -----------------------------------------------------------------------------------


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "outside", {NAME: GOOD})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / NAME).symlink_to(tmp_path / "outside" / NAME)
    with pytest.raises(UsageError, match="a link that leads out of the folder"):
        read_results(tmp_path / "in")


def test_a_single_file_is_read_with_its_prompts(tmp_path: Path) -> None:
    info = [{"prompt_en": "tom", "dimension": ["scene"], "video_list": ["v/cat-0_000.mp4"]}]
    write_folder(tmp_path, {NAME: GOOD, "r_full_info.json": info, "other_eval_results.json": b"x"})
    found = read_results(tmp_path / NAME)
    assert [sample.prompt for sample in found.samples] == ["tom", "cat"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda folder: folder / "absent.zip", "cannot be read"),
        (lambda folder: folder / "absent.json", "cannot be read"),
        (lambda folder: folder, "there is no result file in it"),
        (lambda folder: write_zip(folder / "r.zip", {"a.txt": b""}), "there is no result file"),
        (lambda f: write_zip(f / "r.zip", {"a/b/r_eval_results.json": GOOD}), "no result file"),
        (lambda folder: write_zip(folder / "r.zip", {NAME: {}}), "the files hold no score"),
    ],
)
def test_no_results_are_said(make: Callable[[Path], Path], match: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=match):
        read_results(make(tmp_path))


# --- contents ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"scene": [NaN]}', "NaN is not a number"),
        (b'{"scene": [Infinity]}', "Infinity is not a number"),
        (b'{"scene": [-Infinity]}', "-Infinity is not a number"),
        (b'{"scene": [1e999]}', "1e999 is not a finite number"),
        (b'{"scene": [1%s]}' % (b"0" * 400), "is too large"),
        (b'{"scene": [0.5], "scene": [0.6]}', "the key 'scene' occurs twice"),
        (b'{"scene": [0.5]', "delimiter"),
        (b"", "Expecting value"),
        (b"\xff\xfe", "codec can't decode"),
        (b'\xef\xbb\xbf{"scene": [0.5]}', "BOM"),
        (b'{"scene": [0.5, "\\ud800"]}', "surrogates not allowed"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_strict_json_is_refused(text: bytes, reason: str, tmp_path: Path) -> None:
    error = refusal(packed((NAME, text)), tmp_path)
    assert error.where == NAME and reason in error.what


def scene(**change: Any) -> dict[str, Any]:
    """Results whose second clip says something else."""
    good = clip("cat-1/cat-1_000.mp4", 0.5)
    rows = [clip("cat-0/cat-0_000.mp4", 0.5), {**good, **change}]
    return {"scene": [0.5, rows]}


@pytest.mark.parametrize(
    ("content", "where", "reason"),
    [
        ([], NAME, "are not an object"),
        ({"static_count": 3}, NAME, "unknown dimension 'static_count'"),
        ({"colour": [0.5]}, NAME, "did you mean 'color'"),
        ({"scene": [0.5], "color": 0.5}, "color", "not a list of overall"),
        ({"scene": []}, "scene", "not a list of overall"),
        ({"scene": [0.5, [], [], []]}, "scene", "not a list of overall"),
        ({"scene": [0.5, {}]}, "scene", "not a list"),
        ({"scene": ["0.5"]}, "scene, overall", "'0.5' is not a number"),
        ({"scene": [None]}, "scene, overall", "None is not a number"),
        ({"scene": [True]}, "scene, overall", "True is not a number"),
        ({"scene": [1.01]}, "scene, overall", "outside the legal range 0.0..1.0"),
        ({"imaging_quality": [65.0]}, "imaging_quality, overall", "outside the legal range"),
        ({"temporal style": [0.2], "temporal_style": [0.2]}, "temporal_style", "occurs twice"),
        ({"scene": [0.5, ["x"]]}, "scene, entry 1", "not an object"),
        (scene(video_results="0.5"), "scene, entry 2, video_results", "is not a number"),
        (scene(video_results=None), "scene, entry 2, video_results", "is not a number"),
        (scene(video_results=True), "scene, entry 2, video_results", "is not a number"),
        (scene(video_results=[0.5]), "scene, entry 2, video_results", "is not a number"),
        (scene(video_results=-0.1), "scene, entry 2, video_results", "legal range"),
        (scene(video_results=0.9), "scene", "the overall 0.5 is not the mean of its clips"),
        (scene(video_path=5), "scene, entry 2, video_path", "5 is not a text"),
        (scene(video_path=""), "scene, entry 2, video_path", "is not a text"),
        (scene(video_path="a\nb-0_000.mp4"), "scene, entry 2, video_path", "line end"),
        (scene(video_path="cat.exe"), "scene, entry 2, video_path", "not the path of a video"),
        (scene(video_path="v/cat-0_000.mp4"), "scene, v/cat-0_000.mp4", "a clip occurs twice"),
        (scene(video_path="v/cat-1.mp4"), "scene", "some entries are clips, others whole"),
        (scene(frame_results=[1]), "scene, entry 2", "unknown key 'frame_results'"),
        (scene(frame_count="16"), "scene, entry 2, frame_count", "'16' is not a number"),
        (
            {"dynamic_degree": [0.5, [clip("a-0_000.mp4", 0.5)]]},
            "dynamic_degree, entry 1, video_results",
            "neither true nor false",
        ),
        (
            {"imaging_quality": grouped([clip("a-0_000.mp4", 101.0)], 100)},
            "imaging_quality, overall",
            "outside the legal range",
        ),
        (
            {"subject_consistency": [0.9, [clip("a-0_000.mp4", 0.5), clip("b-0_000.mp4", 0.7)]]},
            "subject_consistency",
            "the overall 0.9 is not the mean of its clips",
        ),
    ],
)
def test_wrong_results_are_refused_by_name(
    content: Any, where: str, reason: str, tmp_path: Path
) -> None:
    error = refusal(packed((NAME, json.dumps(content).encode())), tmp_path)
    assert error.where.startswith(NAME) and error.where.endswith(where), error.where
    assert reason in str(error)


def entry(**change: Any) -> list[Any]:
    good = {"prompt_en": "cat", "dimension": ["scene"], "video_list": ["v/cat-0_000.mp4"]}
    return [good, {**good, "prompt_en": "dog", "video_list": ["v/dog-0_000.mp4"], **change}]


@pytest.mark.parametrize(
    ("content", "where", "reason"),
    [
        ({}, "r_full_info.json", "the full info is not a list"),
        ([5], "entry 1", "not an object"),
        (entry(prompt_en=None), "entry 2, prompt_en", "None is not a text"),
        (entry(dimension=[]), "entry 2, dimension", "no list of dimensions"),
        (entry(dimension=["colour"]), "entry 2, dimension", "did you mean 'color'"),
        (entry(dimension=[5]), "entry 2, dimension", "5 is not a text"),
        (entry(video_list="v"), "entry 2, video_list", "no list of clips"),
        (entry(video_list=["v"]), "entry 2, video_list", "'v' is not the path of a video"),
        (entry(video_list=["a_000.mp4"] * 2), "entry 2, video_list", "a clip is listed twice"),
        (entry(video_list=["v/cat-0_000.mp4"]), "r_full_info.json", "'cat-0' is listed twice"),
        (entry(auxiliary_info=[]), "entry 2, auxiliary_info", "not an object"),
        (entry(auxiliary_info={"a": {"b": {"c": {"d": {}}}}}), "auxiliary_info", "few levels"),
        (entry(prompt_en="cat", video_list=["v/puss-0_000.mp4"]), "cat-0, puss-0", "two videos"),
    ],
)
def test_wrong_prompts_are_refused_by_name(
    content: Any, where: str, reason: str, tmp_path: Path
) -> None:
    files = ((NAME, GOOD), ("r_full_info.json", json.dumps(content).encode()))
    error = refusal(packed(*files), tmp_path)
    assert error.where.endswith(where), error.where
    assert reason in str(error)


def test_one_dimension_in_two_files_is_refused(tmp_path: Path) -> None:
    error = refusal(packed((NAME, GOOD), ("b/s_eval_results.json", GOOD)), tmp_path)
    assert error.where == "b/s_eval_results.json, r_eval_results.json"


@pytest.mark.parametrize(
    "claims",
    [[], {}, {"protocol": 5}, {"protocol": {"backend": 5, "clips": "exact"}}, "deep"],
)
def test_a_provenance_that_names_no_protocol_is_refused(claims: Any, tmp_path: Path) -> None:
    if claims == "deep":
        claims = {"protocol": {"backend": "x", "clips": "y", "z": [[[[[0]]]]]}}
    data = json.dumps(claims).encode()
    error = refusal(packed((NAME, GOOD), ("provenance.jsonl", data)), tmp_path)
    assert (error.what, error.where) == ("the provenance names no protocol", "provenance.jsonl")


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=6)
    | st.sampled_from(["v/a-0_000.mp4", "v/a-0.mp4", 0.5]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["video_path", "video_results", "inclip_score", "scene"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    results=st.dictionaries(st.sampled_from(tuple(SCALES)), st.lists(values, max_size=3)) | values,
    info=st.lists(
        st.fixed_dictionaries(
            {"prompt_en": values, "dimension": st.just(["scene"]) | values, "video_list": values}
        )
    ),
)
@settings(max_examples=100, deadline=None)
def test_any_json_is_read_or_refused_and_nothing_else(results: Any, info: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {NAME: results, "r_full_info.json": info}
        try:
            found = read_results(write_zip(Path(folder) / "r.zip", files))
        except UsageError as error:
            assert error.where
            return
    assert set(found.manifest.counts) <= {"ok", "missing", "excluded"}
