"""Lists of words in the catalog: read strictly, never run, made up where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from weight_cases import digest, put, stored

from vbench_long.errors import EnvironmentFault
from vbench_long.weights.seeded import SeededWeights

SOURCE = b"""tags = ["short"]\ntag_list = ["one", "two words", 'three']\n"""


@pytest.mark.parametrize(
    ("file", "content"), [("w.txt", b"one\ntwo words\nthree\n"), ("w.py", SOURCE)]
)
def test_words_are_read_strictly(tmp_path: Path, file: str, content: bytes) -> None:
    put(tmp_path / file, content)
    facts = {"file": file, "sha256": digest(content), "size": len(content)}
    weights = stored(tmp_path, **facts)
    assert weights.words("tiny", 3, {2: "three"}) == ["one", "two words", "three"]
    for count, known in ((4, {}), (3, {0: "two"}), (3, {7: "seven"})):
        with pytest.raises(EnvironmentFault, match="not the vocabulary tiny"):
            weights.words("tiny", count, known)
    put(tmp_path / file, content.replace(b"one", b"two"))
    with pytest.raises(EnvironmentFault, match="is damaged"):
        weights.words("tiny", 3, {})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"nothing = 1", b"((((", b"[x for x in y]"])
def test_words_in_a_program_are_never_run(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "w.py", content)
    weights = stored(tmp_path, file="w.py", sha256=digest(content), size=len(content))
    with pytest.raises(EnvironmentFault, match="not a list of words"):
        weights.words("tiny", 3, {})


def test_seeded_words_are_all_different_and_known_ones_stay() -> None:
    words = SeededWeights().words("any", 3000, {5: "[SEP]"})
    assert words[:3] == ["word0", "word1", "word2"] and words[5] == "[SEP]"
    assert len(set(words)) == len(words) == 3000
