"""Files of `torch.save` as containers: where the pickle lies in them, and where the bytes of each storage.

Since torch 1.6 such a file is a zip archive, with a CRC-32 of every record. Before, it was a row of five pickles (a
magic number, a version, the byte order, the content, the keys of the storages) and then the storages, without a
checksum.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from restore.errors import CheckpointError, UnsafeCheckpoint
from restore.models.published.machine import Machine, Malformed, Refused

__all__ = ["Archive", "Region", "legacy_archive", "legacy_regions", "refuse_others", "zip_archive"]

MAX_PICKLE = 64 * 2**20
MAX_DIRECTORY = 8 * 2**20  # of a zip archive: room for 100,000 records
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
LEGACY_HEAD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of the magic number
AGAIN = "open it with the torch that made it and save it again with torch >= 1.6"


class Region(NamedTuple):
    """Where bytes lie in a file, and their CRC-32 where the file holds one."""

    offset: int
    length: int
    crc: int | None = None


class Archive(NamedTuple):
    """A file of `torch.save`.

    Attributes:
        path: of the file.
        program: the bytes that hold the pickle of the content.
        start: where in them it begins.
        regions: of each storage, by its key; of an old file they are known once its content was read.
        records: every record of the file that has a CRC-32, by name.
    """

    path: Path
    program: bytes
    start: int
    regions: dict[str, Region]
    records: dict[str, Region]

    @property
    def legacy(self) -> bool:
        """Whether the storages follow behind the pickles."""
        return self.start > 0

    def check(self) -> None:
        """Compare every record's bytes with its CRC-32.

        Raises:
            CheckpointError: they differ; names the first such record.
        """
        if not self.records:
            return
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for name, region in self.records.items():
                with memoryview(content) as view, view[region.offset : region.offset + region.length] as part:
                    crc = zlib.crc32(part)
                if crc != region.crc:
                    raise CheckpointError(
                        f"{self.path} is damaged: the CRC-32 of its record {name} is {crc:08x}, "
                        f"and the file says {region.crc:08x}; download it again"
                    )


def refuse_others(path: Path) -> bool:
    """Return whether a file is one of torch before 1.6; raise for everything that is no file of `torch.save`.

    Raises:
        CheckpointError: says what it is.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    if head[:4] == b"PK\x03\x04":
        return False
    if head.startswith(LEGACY_HEAD):
        return True
    if not head:
        problem = "is empty; download it again"
    elif head[257:262] == b"ustar":
        problem = f"is a tar archive as torch wrote them before 0.1.10, or of something else; {AGAIN}"
    elif head[:1] == b"\x80":
        problem = "is a bare pickle, which torch.save does not write; save it again with torch.save"
    elif head.lstrip()[:1] == b"<":
        problem = "is a web page, not a file of weights: the download went wrong"
    else:
        problem = "is neither a file of torch.save nor of safetensors"
    raise CheckpointError(f"{path} {problem}")


def zip_archive(path: Path) -> Archive:
    """Return the archive in a zip file.

    Raises:
        CheckpointError: it is damaged, no file of torch.save, or claims to hold more than its bytes.
    """
    try:
        _bounded_directory(path)
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            infos = archive.infolist()
            size = path.stat().st_size
            claimed = sum(info.file_size for info in infos)
            if claimed > size or any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise CheckpointError(
                    f"{path} has {size} bytes and claims to hold {claimed}, or is compressed, which torch never does; "
                    "it was packed by something else, perhaps to fill the memory"
                )
            found = {info.filename: _region(file, info, size) for info in infos}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, OSError,
            struct.error, ValueError) as error:  # fmt: skip
        raise CheckpointError(f"{path} is cut short or damaged ({error}); download it again") from None
    if len(found) != len(infos):
        raise CheckpointError(f"{path} holds two records of one name; it is damaged or malicious")
    pickles = [name for name in found if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or any(name.endswith("/constants.pkl") for name in found):
        raise CheckpointError(f"{path} is a zip archive, but not one of torch.save (TorchScript cannot be read)")
    program = found[pickles[0]]
    if program.length > MAX_PICKLE:
        raise CheckpointError(f"the pickle in {path} has {program.length} bytes; weights need far fewer")
    root = pickles[0].removesuffix("data.pkl") + "data/"
    regions = {name.removeprefix(root): region for name, region in found.items() if name.startswith(root)}
    with path.open("rb") as file:
        file.seek(program.offset)
        raw = file.read(program.length)
    # torch can be set to write no checksums (set_crc32_options): then all of them are 0
    summed = any(region.crc for region in found.values())
    if summed and zlib.crc32(raw) != program.crc:
        raise CheckpointError(f"the pickle in {path} is damaged: its CRC-32 is not the one in the file")
    return Archive(path, raw, 0, regions, found if summed else {})


def _bounded_directory(path: Path) -> None:
    """Raise where a zip file lists more records than any file of weights has, before they are listed."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 22))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("its list of records is absent")
    length = struct.unpack_from("<I", tail, at + 12)[0]
    locator = tail.rfind(b"PK\x06\x06", 0, at)
    if length == 0xFFFFFFFF and locator >= 0 and at - locator >= 56:
        length = struct.unpack_from("<Q", tail, locator + 40)[0]
    if length > MAX_DIRECTORY:
        raise CheckpointError(f"{path} lists its records in {length} bytes; weights need far fewer")


def _region(file: BinaryIO, info: zipfile.ZipInfo, size: int) -> Region:
    """Return where a record's bytes lie, which its own header says."""
    header = _read_at(file, 30, info.header_offset)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"record {info.filename} has no header")
    name, extra = struct.unpack_from("<HH", header, 26)
    written = _read_at(file, name, info.header_offset + 30)
    if written != info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"):
        raise zipfile.BadZipFile(f"record {info.filename} has another name in its own header")
    offset = info.header_offset + 30 + name + extra
    if offset + info.file_size > size:
        raise zipfile.BadZipFile(f"record {info.filename} reaches beyond the end of the file")
    return Region(offset, info.file_size, info.CRC)


def _read_at(file: BinaryIO, count: int, offset: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def legacy_archive(path: Path) -> Archive:
    """Return the archive in a file of torch before 1.6; its regions are empty, see `legacy_regions`.

    Raises:
        CheckpointError: it is damaged, or of a version that is unknown.
        UnsafeCheckpoint: its head is no plain values.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_PICKLE)
    machine = Plain()
    try:
        magic, at = machine.run(raw)
        version, at = machine.run(raw, at)
        system, at = machine.run(raw, at)
    except Malformed as error:
        raise CheckpointError(f"{path} is cut short or damaged ({error}); download it again") from None
    except Refused as error:
        raise UnsafeCheckpoint(f"{path} was not loaded: {error}") from None
    if magic != LEGACY_MAGIC or version != LEGACY_VERSION:
        raise CheckpointError(f"{path} is of no version of torch that is known; {AGAIN}")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError(f"{path} was written by a machine with another order of bytes; {AGAIN}")
    return Archive(path, raw, at, {}, {})


def legacy_regions(archive: Archive, end: int, itemsize: Callable[[str], int]) -> dict[str, Region]:
    """Return where the storages of an old file lie.

    Args:
        archive: the file.
        end: where the pickle of its content ends.
        itemsize: bytes of a number of a storage, by its key.

    Raises:
        Malformed: the list of storages or a storage is damaged.
    """
    keys, at = Plain().run(archive.program, end)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Malformed("its list of storages is none")
    size, regions = archive.path.stat().st_size, {}
    with archive.path.open("rb") as file:
        for key in keys:
            head = _read_at(file, 8, at)
            if len(head) != 8:
                raise Malformed(f"it is cut short before storage {key}")
            length = struct.unpack("<q", head)[0] * itemsize(key)
            if length < 0 or at + 8 + length > size:
                raise Malformed(f"it is cut short in storage {key}")
            regions[key] = Region(at + 8, length)
            at += 8 + length
    return regions


class Plain(Machine):
    """A machine for plain values: no name stands for anything."""

    def find(self, name: str) -> object:
        """Refuse it."""
        raise Refused(f"it wants to use {name} where plain values are expected")

    def persistent(self, identity: object) -> object:
        """Refuse it."""
        raise Refused("it refers to something outside where plain values are expected")
