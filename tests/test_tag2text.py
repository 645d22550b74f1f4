"""Tag2Text: how it searches for sentences, what it reads, sees and loads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from semantic_cases import (
    CPU,
    GOLDEN,
    MadeUp,
    SmallTag2Text,
    coarse,
    frames,
    picked,
    pieces,
    singles,
    tag2text_weights,
)
from torch import Tensor
from transformers.models.blip.configuration_blip import BlipTextConfig
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from vbench_long.dimensions.backbones.beam import BeamRules, beam_search
from vbench_long.dimensions.backbones.bert_words import WordPieces
from vbench_long.dimensions.backbones.tag2text import (
    PROMPT_IDS,
    UNUSED,
    Speaker,
    Tag2Text,
    Tag2TextNetwork,
    published_key,
)
from vbench_long.errors import EnvironmentFault, VideoError
from vbench_long.video import Frame
from vbench_long.weights.seeded import seeded_tensor

BEAM = json.loads((Path(__file__).parent / "golden" / "beam.json").read_text())
SMALL = GOLDEN["small"]["tag2text"]


@pytest.fixture(scope="module")
def small() -> Tag2Text:
    return SmallTag2Text(tag2text_weights({}), CPU)


# How it searches for sentences.


def tiny_decoder(weight_scale: float, end_bias: float) -> BlipTextLMHeadModel:
    config = BlipTextConfig(
        vocab_size=128, hidden_size=32, encoder_hidden_size=24, num_attention_heads=4,
        num_hidden_layers=2, intermediate_size=64, max_position_embeddings=40, hidden_act="gelu",
        layer_norm_eps=1e-12, is_decoder=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    decoder = BlipTextLMHeadModel(config).eval()
    state = {}
    for key, tensor in decoder.state_dict().items():
        name = published_key(f"text_decoder.{key}")
        state[key] = seeded_tensor(name, tuple(tensor.shape), tensor.dtype)
        if tensor.ndim > 1:
            state[key] *= weight_scale
        if name.endswith("decoder.bias"):
            state[key][102] = end_bias
    decoder.load_state_dict(state)
    return decoder


def spoken(golden: Mapping, about: Tensor) -> list[list[int]]:
    decoder = tiny_decoder(golden["weight_scale"], golden["eos_bias"])
    with torch.inference_mode():
        return [s.words for s in search(Speaker(decoder, about), len(about))]


def search(step: Speaker, count: int) -> list:
    return beam_search(step, (122, 37, 61, 97), count, BeamRules(end=102), CPU.device)


ABOUT = torch.from_numpy(
    np.random.Generator(np.random.PCG64(99)).standard_normal((24, 7, 24), np.float32)
)


@pytest.mark.parametrize("golden", BEAM["searches"], ids=lambda g: f"scale {g['weight_scale']}")
def test_sentences_are_the_published_ones(golden: Mapping) -> None:
    decoder = tiny_decoder(golden["weight_scale"], golden["eos_bias"])
    with torch.inference_mode():
        sentences = search(Speaker(decoder, ABOUT), 24)
    ours = [np.trim_zeros(np.array(s.words), "b").tolist() for s in sentences]
    assert ours == golden["sentences"]
    np.testing.assert_allclose([s.score for s in sentences], golden["scores"], rtol=0, atol=1e-5)


def test_each_picture_has_a_search_of_its_own() -> None:
    golden = BEAM["searches"][1]
    together = spoken(golden, ABOUT[:6])
    assert together == [spoken(golden, ABOUT[i : i + 1])[0] for i in range(6)]
    assert len({len(words) for words in together}) > 1  # They did not all end at once.


def test_what_is_kept_of_earlier_words_changes_nothing() -> None:
    decoder = tiny_decoder(2.0, 3.0)
    words = torch.tensor([[122, 37, 61, 97, 5, 9, 11]] * 2)
    with torch.inference_mode():
        whole = decoder(words, encoder_hidden_states=ABOUT[:2]).logits
        speaker = Speaker(decoder, ABOUT[:2])
        steps = [speaker(words[:, :4], None)]
        steps += [speaker(words[:, i : i + 1], torch.tensor([0, 1])) for i in range(4, 7)]
    torch.testing.assert_close(torch.stack(steps, 1), whole[:, 3:], rtol=0, atol=1e-4)


def test_rows_stay_with_their_pictures() -> None:
    """Three rows of three pictures, then three of one: as many, and about something else."""
    decoder = tiny_decoder(2.0, 3.0)
    words = torch.tensor([[122, 37, 61, 97]] * 3)
    with torch.inference_mode():
        speaker, alone = Speaker(decoder, ABOUT[:3]), Speaker(decoder, ABOUT[2:3])
        speaker(words, None), alone(words[:1], None)
        of_one = speaker(torch.tensor([[5], [6], [7]]), torch.tensor([2, 2, 2]))
        want = alone(torch.tensor([[5], [6], [7]]), torch.tensor([0, 0, 0]))
    torch.testing.assert_close(of_one, want, rtol=0, atol=1e-4)


def test_no_sentence_ends_early_and_none_is_too_long() -> None:
    def eager(words_RL: Tensor, rows_R: Tensor | None) -> Tensor:
        logits_RV = torch.zeros(len(words_RL), 8)
        logits_RV[:, 7] = 9.0  # The end, always.
        return logits_RV

    def endless(words_RL: Tensor, rows_R: Tensor | None) -> Tensor:
        return -eager(words_RL, rows_R)

    rules = BeamRules(end=7, shortest=5, longest=9)
    (short,) = beam_search(eager, (1, 2), 1, rules, CPU.device)
    assert len(short.words) == 6 and short.words[-1] == 7
    (long,) = beam_search(endless, (1, 2), 1, rules, CPU.device)
    assert len(long.words) == 9 and 7 not in long.words


def test_an_end_that_ranks_behind_the_beams_is_forgotten() -> None:
    """Kept, it would fill the list of ends, and the search would stop at the first of them."""
    end, others, calls = 40, 1e-9, []

    def likely(words_RL: Tensor, rows_R: Tensor | None) -> Tensor:
        calls.append(rows_R)
        chances_RV = torch.full((len(words_RL), end + 1), others)
        if len(calls) == 1:
            chances_RV[:, 0], chances_RV[:, 1] = 0.55, 0.45
        elif len(calls) == 2:  # Best first: row 0 ends, row 1 goes on, row 1 ends.
            chances_RV[0, end], chances_RV[0, 0] = 0.9, 0.1
            chances_RV[1, 1], chances_RV[1, end] = 0.6, 0.4
        elif len(calls) == 3:
            chances_RV[:, :end] = 1 / end
        else:
            chances_RV[:, 2] = 1
        return chances_RV.log()

    rules = BeamRules(end, beams=2, shortest=0, longest=30)
    (sentence,) = beam_search(likely, (7,), 1, rules, CPU.device)
    assert len(sentence.words) == 30 and sentence.words[-1] == 2


# What it reads.


def test_words_are_those_of_bert() -> None:
    words = WordPieces(tag2text_weights({}), ["[DEC]", "[ENC]"])
    for text, ids in zip(GOLDEN["bert"]["texts"], GOLDEN["bert"]["ids"], strict=True):
        encoded, mask = words.encode(text, 40)
        assert encoded == ids + [0] * (40 - len(ids)), text
        assert mask == [1] * len(ids) + [0] * (40 - len(ids)), text


@pytest.mark.parametrize(("ids", "caption"), GOLDEN["bert"]["spoken"])
def test_captions_are_cleaned_as_published(ids: list[int], caption: str, small: Tag2Text) -> None:
    assert small.caption(ids) == caption


def test_the_prompt_is_what_its_numbers_say(small: Tag2Text) -> None:
    assert small.pieces.encode("a picture of ", 5)[0][1:-1] == list(PROMPT_IDS[1:])


def test_another_vocabulary_is_refused() -> None:
    class Foreign(MadeUp):
        def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
            raise EnvironmentFault(f"not the vocabulary {name}")

    with pytest.raises(EnvironmentFault, match="tag2text_tags"):
        SmallTag2Text(Foreign(), CPU)


# What it sees.


@pytest.mark.parametrize("row", GOLDEN["looks"], ids=lambda row: f"{row[1]}x{row[0]}")
def test_images_are_squeezed_as_published(row: list, small: Tag2Text) -> None:
    height, width, seed, sums = row

    class Full(SmallTag2Text):
        shape = Tag2Text.shape

    picture = Full.prepare(Full.__new__(Full), frames(coarse(seed, 1, height, width, 8))[0])
    assert picture.shape == (3, 384, 384)
    assert picture.double().sum().item() == pytest.approx(sums["t2t"], abs=0.02)


def test_small_captions_are_the_kept_ones(small: Tag2Text) -> None:
    images = coarse(10, 4, 96, 128)
    assert [str(caption) for caption in small(singles(images))] == SMALL["captions"]
    with torch.inference_mode():
        pictures = torch.stack([small.prepare(frame) for frame in frames(images)])
        logits = small.net.tag_logits(small.net.image(pictures))
    assert small.tags(logits) == SMALL["tags"]
    np.testing.assert_allclose(picked(logits.numpy()), SMALL["tag_logits"], rtol=0, atol=2e-5)


def test_captions_do_not_depend_on_their_neighbours(small: Tag2Text) -> None:
    items = singles(coarse(10, 4, 96, 128))
    assert [small([item])[0] for item in reversed(items)] == list(reversed(small(items)))


def test_black_frames_have_captions(small: Tag2Text) -> None:
    (caption,) = small([(Frame(0, np.zeros((30, 50, 3), np.uint8)),)])
    assert caption.shape == () and str(caption)


def test_some_tags_are_never_told(small: Tag2Text) -> None:
    class Deaf(SmallTag2Text):
        tagging = type(SmallTag2Text.tagging)(threshold=0.5, never=(3, 4))

    tags = Deaf.tags(Deaf.__new__(Deaf), torch.tensor([[1.0, -1, 0, 1, 1, 2]]))
    assert tags == [[0, 5]]
    assert set(Tag2Text.tagging.never) == {127, 3351, 3265, 3338, 3355, 3359}


def test_no_number_is_an_error_not_a_caption() -> None:
    weights = MadeUp(numbers={"fc.b": {(0, 0): float("nan")}})
    with pytest.raises(VideoError, match="no finite number"):
        SmallTag2Text(weights, CPU)(singles(coarse(1, 1, 32, 32)))


# What it loads.


def test_parts_that_are_one_lie_in_memory_once(small: Tag2Text) -> None:
    net = small.net
    words = net.text_decoder.bert.embeddings.word_embeddings.weight
    assert words.data_ptr() == net.text_decoder.cls.predictions.decoder.weight.data_ptr()
    for own, shared in zip(
        net.vision_multi.get_submodule("encoder.layer").children(),
        net.tag_encoder.encoder.layer,
        strict=True,
    ):
        ours, theirs = own.intermediate.dense.weight, shared.intermediate.dense.weight
        assert ours.data_ptr() == theirs.data_ptr()
        assert own.crossattention.self.num_attention_heads == 2
        assert shared.crossattention.self.num_attention_heads == 4


@pytest.mark.parametrize("fault", ["lacks", "unknown", "misshapen"])
def test_a_checkpoint_that_does_not_fit_is_refused(fault: str) -> None:
    class Broken(MadeUp):
        def load(
            self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
        ) -> dict[str, Tensor]:
            tensors = super().load(name, wanted, ignored)
            key = "label_embed.weight"
            if fault == "lacks":
                del tensors[key]
            elif fault == "unknown":
                tensors["head.weight"] = torch.zeros(2)
            else:
                tensors[key] = tensors[key].T
            return tensors

    with pytest.raises(EnvironmentFault, match=fault):
        SmallTag2Text(Broken(), CPU)


@pytest.mark.shared
def test_every_published_key_is_loaded_or_known(shared: Path) -> None:
    folder = shared / "reference" / "semantic-models"
    published = json.loads((folder / "tag2text_keys.json").read_text())
    groups = json.loads((folder / "tag2text_tied_keys.json").read_text())
    with torch.device("meta"):
        own = Tag2TextNetwork(Tag2Text.shape).state_dict()
    loaded = {published_key(key): list(tensor.shape) for key, tensor in own.items()}
    assert all(published[key][0] == shape for key, shape in loaded.items())
    unused = {key for key in published if any(re.fullmatch(p, key) for p in UNUSED)}
    assert loaded.keys() | unused == published.keys()
    assert not loaded.keys() & unused
    for group in groups:
        assert len(loaded.keys() & set(group)) == 1, group
    tied = {key for group in groups for key in group}
    assert all(key in tied or key.endswith("position_ids") for key in unused)


def test_pieces_are_no_vocabulary() -> None:
    """The repository holds the few words its tests need, not a list to work with."""
    assert len(pieces()) < 100
