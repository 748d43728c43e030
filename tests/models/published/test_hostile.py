"""Small pickles that would keep a machine busy for ever: each refused within a moment, in one line."""

from __future__ import annotations

import os
import time
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.errors import CheckpointError
from restore.models.published import open_checkpoint, pickles
from restore.models.published.machine import Inert, Machine, Malformed, Refused

MOST_SECONDS = 5
PROGRAMS = {
    "a key of nested tuples": b"\x80\x02}K\x01\x85" + b"2\x86" * 60 + b"K\x01s.",
    "a key of nested tuples in an ordered dictionary": b"\x80\x02ccollections\nOrderedDict\n(K\x01\x85"
    + b"2\x86" * 60
    + b"K\x01\x86]\x94(h\x00etR.",
    "a config of nested tuples": b"\x80\x02}(X\x06\x00\x00\x00configK\x01\x85"
    + b"2\x86" * 60
    + b"X\x01\x00\x00\x00aNu.",
    "sixty megabytes that do nothing": b"\x80\x02}" + b"N0" * (30 * 2**20) + b".",
    "a number of 21,000 digits": b"\x80\x02}X\x01\x00\x00\x00aL" + b"9" * 21_000 + b"L\ns.",
    "an integer of 9,000 bytes": b"\x80\x02}X\x01\x00\x00\x00a\x8b"
    + (9000).to_bytes(4, "little")
    + b"\x7f" * 9000
    + b"s.",
    "a long list made a size again and again": b"\x80\x02]q\x00("
    + b"K\x01" * 300_000
    + b"e0ctorch\nSize\nq\x01"
    + b"0h\x01h\x00\x85R" * 100_000
    + b".",
    "a great many names": b"\x80\x02}" + b"".join(b"cm%d\nx\n0" % i for i in range(500_000)) + b".",
    "a deep list": b"\x80\x02" + b"](" * 400_000 + b"e" * 400_000 + b".",
    "a string longer than the file": b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "nothing": b"",
    "no end": b"\x80\x02}",
}


def packed(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/version", b"3\n")
    return path


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_a_pickle_that_takes_for_ever(tmp_path, name):
    path, start = packed(tmp_path / "file.pth", PROGRAMS[name]), time.process_time()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert time.process_time() - start < MOST_SECONDS
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 2000


def test_a_zip_archive_of_a_million_records(tmp_path):
    path = packed(tmp_path / "file.pth", b"\x80\x02}.")
    data, record = path.read_bytes(), b"PK\x01\x02" + bytes(24) + b"\x01\x00" + bytes(16) + b"x"
    at = data.index(b"PK\x01\x02")
    records = record * 1_000_000
    end = b"PK\x05\x06" + bytes(8) + len(records).to_bytes(4, "little") + at.to_bytes(4, "little") + bytes(2)
    path.write_bytes(data[:at] + records + end)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=r"lists its records in \d+ bytes"):
        open_checkpoint(path)
    assert time.process_time() - start < MOST_SECONDS


class Counting(Machine):
    """Names are values that do nothing."""

    def find(self, name):
        return Inert

    def persistent(self, identity):
        return None


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(program=st.lists(st.sampled_from([bytes([op]) for op in range(256)]), max_size=200).map(b"".join))
def test_any_bytes_end_in_a_value_or_an_error_of_the_machine(program):
    machine = Counting(steps=1000)
    try:
        _, end = machine.run(program)
        assert 0 < end <= len(program)
    except (Malformed, Refused):
        pass
    assert machine.steps <= 1000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), legacy=st.booleans())
def test_any_damaged_pickle_is_read_or_refused(tmp_path, data, legacy):
    """Without the checksums: whatever a byte becomes, nothing but our own errors comes out of it."""
    path = tmp_path / f"{legacy}.pth"
    torch.save({"a": torch.arange(6.0).reshape(2, 3), "n": {"b": [1, (2.5, None)]}}, path,
               _use_new_zipfile_serialization=not legacy)  # fmt: skip
    if legacy:
        raw = bytearray(path.read_bytes())
    else:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: archive.read(info) for info in archive.infolist()}
        name = next(name for name in records if name.endswith("data.pkl"))
        raw = bytearray(records[name])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if legacy:
        path.write_bytes(raw)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for other, content in {**records, name: bytes(raw)}.items():
                archive.writestr(other, content)
    try:
        pickles.load_pickle(path)
    except CheckpointError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_runs_from_either_kind_of_file(tmp_path, legacy):
    class Canary:
        def __reduce__(self):
            return os.system, (f"touch '{tmp_path / 'canary'}'",)

    path = tmp_path / "evil.pth"
    torch.save({"w": torch.zeros(2), "x": Canary()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"wants to use (posix|nt)\.system") as caught:
        pickles.load_pickle(path)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "canary").exists()
