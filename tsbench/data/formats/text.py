"""Reads text files: UTF-8, or UTF-16 and UTF-32 with a byte order mark, compressed by gzip or not."""

from __future__ import annotations

import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from pathlib import Path

from tsbench.data.formats.sizes import FREE, MAX_RATIO, check_expansion
from tsbench.errors import DataError

__all__ = ["read_head", "read_lines", "read_utf8", "suffix_of"]

GZIP = b"\x1f\x8b"
_BOMS = (  # UTF-32's marks begin like UTF-16's
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)


def suffix_of(path: Path) -> str:
    """The suffix that names a file's format, in lower case; `.csv` for `cases.csv.gz`."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


def read_utf8(path: Path) -> bytes:
    """The text of a file in UTF-8, without a byte order mark.

    Raises:
        DataError: it cannot be read, is empty, or is not text in a known encoding; with the line and byte at fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if content.startswith(GZIP):
        content = _expanded(path, content)
    content = _as_utf8(path, content)
    if not content or content.isspace():
        raise DataError(f"{path}: the file is empty; remove it, or download it again")
    return content


def read_head(path: Path, size: int) -> bytes:
    """About the first `size` bytes of a text file, in UTF-8; the last line may be cut.

    Raises:
        DataError: see `read_utf8`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if head.startswith(GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, size)
        except zlib.error as error:
            raise DataError(f"{path}: is not a complete gzip file: {error}") from None
    lines, end, _ = head.rpartition(b"\n")  # the last character may be cut; in UTF-16, half of the line end is
    whole = lines + end + (b"\0" if head.startswith(BOM_UTF16_LE) else b"") if end and len(head) >= size else head
    return _as_utf8(path, whole)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without their ends; `splitlines` would end a line at a form feed too.

    Raises:
        DataError: see `read_utf8`.
    """
    text = read_utf8(path).decode("utf-8")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _expanded(path: Path, content: bytes) -> bytes:
    """Every member of a gzip file; `cat a.gz b.gz` makes a file of two."""
    parts: list[bytes] = []
    packed = len(content)
    room = max(FREE, MAX_RATIO * packed)
    try:
        while content.startswith(GZIP):
            reader = zlib.decompressobj(wbits=31)
            parts.append(reader.decompress(content, room))
            room -= len(parts[-1])
            if reader.unconsumed_tail or room <= 0:
                check_expansion(str(path), packed, max(FREE, MAX_RATIO * packed) + 1)
            if not reader.eof:
                raise DataError(f"{path}: the compressed file is truncated; download it again")
            content = reader.unused_data
    except zlib.error as error:
        raise DataError(f"{path}: is not a complete gzip file: {error}") from None
    if content.strip(b"\0"):
        raise DataError(f"{path}: is not a complete gzip file: it has trailing bytes")
    return b"".join(parts)


def _as_utf8(path: Path, content: bytes) -> bytes:
    mark, encoding = next(((mark, name) for mark, name in _BOMS if content.startswith(mark)), (b"", ""))
    body = content[len(mark) :]
    encoding = encoding or _without_mark(body)
    if encoding == "utf-8" and body.isascii():
        return body
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        hint = "" if mark else "; if it is in another encoding, such as Latin-1, convert it to UTF-8"
        name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        raise DataError(
            f"{path}:{line}: byte {len(mark) + error.start + 1} of the file (0x{body[error.start]:02x}) is not {name}"
            f"{hint}"
        ) from None
    return body if encoding == "utf-8" else text.encode("utf-8", errors="replace")


def _without_mark(content: bytes) -> str:
    """UTF-16 without a mark is recognised by zero bytes: half of the bytes of plain text, and none in UTF-8."""
    head = content[:4096]
    if len(head) >= 4 and len(head) % 2 == 0:
        even, odd = head[::2].count(0), head[1::2].count(0)
        if odd > len(head) // 4 and not even:
            return "utf-16-le"
        if even > len(head) // 4 and not odd:
            return "utf-16-be"
    return "utf-8"
