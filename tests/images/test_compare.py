"""Images side by side under their captions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from restore.errors import ArrayError
from restore.images import Metadata, side_by_side, to_photo


def test_the_images_stand_side_by_side_at_their_own_size() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (100, 150, 3), np.uint8)
    large = rng.integers(0, 256, (200, 300, 3), np.uint8)
    canvas = np.asarray(side_by_side([to_photo(small), to_photo(large)], ["before", "after"]))
    caption = canvas.shape[0] - 200
    assert canvas.shape[1] == 150 + 8 + 300
    np.testing.assert_array_equal(canvas[caption : caption + 100, :150], small)
    np.testing.assert_array_equal(canvas[caption:, 158:], large)
    assert canvas[:caption, :150].min() < 100
    assert canvas[:caption, 158:].min() < 100
    assert (canvas[:, 150:158] == 255).all()


def test_tiny_images_with_alpha_and_long_labels() -> None:
    clear = np.zeros((1, 1, 4), np.uint8)
    canvas = np.asarray(side_by_side([to_photo(clear)], ["a label wider than the image"]))
    assert canvas[-1, 0].tolist() == [255, 255, 255]
    assert canvas.shape[1] > 50


def test_a_shared_profile_is_kept_unless_it_is_one_of_grays() -> None:
    colour, gray = (
        replace(to_photo(np.zeros(shape, np.uint8)), metadata=Metadata(icc=b"profile")) for shape in ((3, 4, 3), (3, 4))
    )
    assert side_by_side([colour, colour], ["a", "b"]).info["icc_profile"] == b"profile"
    assert "icc_profile" not in side_by_side([gray, gray], ["a", "b"]).info


def test_each_image_needs_a_label() -> None:
    image = to_photo(np.zeros((3, 4), np.uint8))
    for images, labels in (([], []), ([image], []), ([image], ["a", "b"])):
        with pytest.raises(ArrayError, match="label"):
            side_by_side(images, labels)
