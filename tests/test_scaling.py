"""Frames of another size: as decord resizes while it decodes, or as Pillow does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import moving_frames
from PIL import Image as Pillow

from vbench_long.video import Encoding, Frame, probe, read_frames
from vbench_long.video.reencode import Reencoder

KEPT = [103, 167, 158, 98, 120, 119, 74, 98, 51, 124, 148, 97, 127, 180, 97, 161, 162, 123]
YUV = Encoding("libx264", "yuv420p", {"qp": "0", "preset": "ultrafast"})


@pytest.mark.shared
def test_frames_are_those_of_decord_bit_for_bit(shared: Path) -> None:
    folder = shared / "reference" / "semantic-models"
    golden = json.loads((folder / "e2e_golden.json").read_text())
    decoded = list(read_frames(probe(folder / "golden_clip.mp4")))
    whole = b"".join(frame.rgb.tobytes() for frame in decoded)
    assert hashlib.sha256(whole).hexdigest() == golden["all_frames_sha256"]
    small = b"".join(decoded[i].scaled(384, 384).tobytes() for i in golden["idx16"])
    assert hashlib.sha256(small).hexdigest() == golden["scene_frames_16x384x384_sha256"]


@pytest.mark.parametrize("size", [(384, 384), (40, 90), (1, 1)])
def test_any_size_can_be_asked_for(size: tuple[int, int], make_video: Callable[..., Path]) -> None:
    path = make_video(frames=moving_frames(2, 96, 64), encoding=YUV)
    for frame in read_frames(probe(path)):
        assert frame.scaled(*size).shape == (size[1], size[0], 3)
        assert frame.scaled(*size).dtype == np.uint8


def test_decoded_pictures_are_not_resized_as_rgb(make_video: Callable[..., Path]) -> None:
    path = make_video(frames=moving_frames(1, 192, 128), encoding=YUV)
    (frame,) = read_frames(probe(path))
    ours, rgb = frame.scaled(48, 48), Frame(0, frame.rgb).scaled(48, 48)
    assert not np.array_equal(ours, rgb)
    assert ours.mean() == pytest.approx(rgb.mean(), abs=2)


def test_the_scaler_is_the_bilinear_one() -> None:
    """Every 97th number, as FFmpeg 8 makes them; another FFmpeg may round one grey level off."""
    planes = np.random.Generator(np.random.PCG64(5)).integers(16, 236, (96, 96), np.uint8)
    picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    picture.time_base = Fraction(1, 8)
    made = Frame(0, np.zeros((64, 96, 3), np.uint8), picture).scaled(24, 24).ravel()[::97]
    assert np.abs(made.astype(int) - KEPT).max() <= 1


def test_clips_that_are_encoded_again_are_scaled_as_decoded() -> None:
    encoder = Reencoder(8)
    for image in moving_frames(3, 96, 64):
        encoder.add(image)
    seen = list(encoder.frames())
    assert [frame.index for frame in seen] == [0, 1, 2]
    assert all(frame.picture is not None for frame in seen)
    assert not np.array_equal(seen[1].scaled(48, 48), Frame(1, seen[1].rgb).scaled(48, 48))


def test_images_and_gifs_are_resized_as_pillow_does(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    images = moving_frames(3, 96, 64)
    gif = tmp_path / "a.gif"
    first, *others = (Pillow.fromarray(image) for image in images)
    first.save(gif, save_all=True, append_images=others, duration=125)
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    for path, rate in ((gif, None), (folder, Fraction(8))):
        for frame in read_frames(probe(path, rate)):
            want = Pillow.fromarray(frame.rgb).resize((30, 50), Pillow.Resampling.BILINEAR)
            assert np.array_equal(frame.scaled(30, 50), np.asarray(want))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_videos_are_scaled_as_displayed(degrees: int, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 8, {"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        stream.set_display_rotation(degrees)
        picture = av.VideoFrame.from_ndarray(moving_frames(1, 192, 128)[0], format="rgb24")
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            container.mux(packet)
    (frame,) = read_frames(probe(path))
    ours = frame.scaled(frame.rgb.shape[1], frame.rgb.shape[0])
    assert np.abs(ours.astype(int) - frame.rgb).mean() < 3
