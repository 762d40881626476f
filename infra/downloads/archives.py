"""Unpacks what was downloaded: nothing is written outside of the folder, and nothing becomes larger than real archives do."""

import subprocess
import zipfile
import zlib
from collections.abc import Sequence
from lzma import LZMAError
from pathlib import Path

from components.errors import SourceMissing
from components.formats.limits import ARCHIVE_BYTES, ARCHIVE_RATIO

CHUNK_BYTES = 1 << 20


def most_bytes(archive: Path) -> int:
    """What an archive may become when it is unpacked."""
    return max(ARCHIVE_BYTES, ARCHIVE_RATIO * archive.stat().st_size)


def refuse_bomb(archive: Path, unpacked: int) -> None:
    """Raises `SourceMissing` if an archive becomes more than real archives do."""
    if unpacked > most_bytes(archive):
        raise SourceMissing(
            f"{archive.name} has {archive.stat().st_size:,} bytes and becomes more than {most_bytes(archive):,} when it is "
            "unpacked, which no real package does. Do not use it, or take its files from elsewhere."
        )


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpacks a zip file. Raises `SourceMissing` if it is damaged, a bomb, or holds a name that leads out of the folder.

    Links and devices in it become plain files. A member gives no more bytes than the directory says that it has.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = packed.infolist()
            refuse_bomb(archive, sum(member.file_size for member in members))
            for member in members:
                refuse_name(archive.name, member.filename, folder)
            packed.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceMissing(f"{archive} is damaged: {error}. Delete the file; it is fetched anew.") from None


def refuse_name(archive: str, name: str, folder: Path) -> None:
    """Raises `SourceMissing` if a member's name leads out of the folder, or is one that no file can have."""
    if "\0" in name:
        raise SourceMissing(f"{archive} holds {name!r}, a name with a NUL character. Do not use it.")
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise SourceMissing(f"{archive} holds {name!r}, which leads out of its folder. Do not use it.")
    if any(len(part.encode(errors="surrogateescape")) > LONGEST_NAME_BYTES for part in Path(name).parts):
        raise SourceMissing(f"{archive} holds {name[:60]!r}…, a name of more than {LONGEST_NAME_BYTES} bytes. Do not use it.")


LONGEST_NAME_BYTES = 255
"""Of one part of a path, on any file system of Linux."""


def refuse_large_stream(command: Sequence[str], archive: Path) -> None:
    """Raises `SourceMissing` if what a program unpacks to its standard output is more than real archives hold.

    A program that fails says so again when it is asked to unpack into a folder.
    """
    found = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        while found <= most_bytes(archive) and (chunk := program.stdout.read(CHUNK_BYTES)):
            found += len(chunk)
        program.kill()
    refuse_bomb(archive, found)
