"""One flipped bit anywhere in a file: it is refused, or it changes nothing that is read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.errors import CheckpointError
from restore.models import native
from restore.models.published import pickles

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STATE = {"a.weight": torch.arange(24.0).reshape(4, 6), "b": torch.arange(7, dtype=torch.float16), "n": torch.tensor(3)}
RECIPE = {"name": "x", "network": {"kind": "unet", "channels": [8, 16]}, "level_scale": 1.5}


def flipped(path, data, first=0):
    """Flip one bit of a file that is drawn, and return where."""
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(first, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    path.write_bytes(raw)
    return at


def equal(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


@MANY
@given(data=st.data())
def test_a_file_of_torch(tmp_path, data):
    path = tmp_path / "file.pth"
    torch.save(STATE, path)
    at = flipped(path, data)
    try:
        found = pickles.load_pickle(path)
    except CheckpointError:
        return
    assert equal(found, STATE), at


@MANY
@given(data=st.data())
def test_a_file_of_ours(tmp_path, data):
    path = tmp_path / "file.safetensors"
    native.save(path, {"network": STATE, "other": {"c": torch.ones(3)}}, RECIPE, {"licence": "none"})
    at = flipped(path, data)
    try:
        document, found = native.read_metadata(path), native.load_components(path)
    except CheckpointError:
        return
    assert document["recipe"] == RECIPE and equal(found["network"], STATE), at


@pytest.mark.parametrize("position", [0.0, 0.5, 0.999])
def test_the_bytes_of_a_large_storage(tmp_path, position):
    path = tmp_path / "file.pth"
    values = torch.arange(100_000.0)
    torch.save({"w": values}, path)
    raw = bytearray(path.read_bytes())
    start = raw.index(values.numpy().tobytes())
    raw[start + int(position * 400_000)] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"CRC-32 of its record file/data/0"):
        pickles.load_pickle(path)


def test_a_file_that_torch_wrote_without_checksums(tmp_path):
    path, before = tmp_path / "file.pth", torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, path)
    finally:
        torch.serialization.set_crc32_options(before)
    assert equal(pickles.load_pickle(path), STATE)
