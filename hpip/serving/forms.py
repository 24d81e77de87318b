# SPDX-License-Identifier: Apache-2.0
"""Parses multipart forms in memory: nothing is written to disk, and every part has limits.

Starlette's own parser spools files to TMPDIR and decodes text in any character set that the client
names; decoding some of them in Python takes time quadratic in the length of the text.
"""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hpip.serving.problems import RequestError

# RFC 2046 allows 70 characters.
_MAX_BOUNDARY_BYTES = 70
# Headers of one part: its name, file name and type. Parsing them takes quadratic time.
_MAX_PART_HEAD_BYTES = 4096
_MAX_CONTENT_TYPE_CHARS = 1024
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii", b"")

FormValue = str | bytes


def parse_form(body: bytes, content_type: str, max_parts: int) -> list[tuple[str, FormValue]]:
    """Parse a form into pairs of name and value: bytes for files, text for other fields.

    Args:
        body: the whole form.
        content_type: the request's header, which contains the boundary.
        max_parts: maximum number of parts.

    Raises:
        RequestError: 415 if the character set is not UTF-8, 422 if the form is not valid.
    """
    parts = _Parts(max_parts)
    try:
        parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_to_name,
                "on_header_value": parts.add_to_value,
                "on_header_end": parts.end_header,
                "on_part_data": parts.add_data,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _bad_form(str(error)) from None
    if not parts.finished:
        raise _bad_form("its closing boundary is missing")
    return parts.found


def _boundary(content_type: str) -> bytes:
    if len(content_type) > _MAX_CONTENT_TYPE_CHARS:
        raise _bad_form(f"its Content-Type has more than {_MAX_CONTENT_TYPE_CHARS} characters")
    _, options = parse_options_header(content_type.encode("latin-1"))
    charset = options.get(b"charset", b"").lower()
    if charset not in _CHARSETS:
        raise RequestError(
            415,
            "Content-Type: expected a form in UTF-8, received charset"
            f" {charset[:40].decode('latin-1')!r}. Encode its text fields in UTF-8.",
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise _bad_form(
            f"expected a boundary of 1 to {_MAX_BOUNDARY_BYTES} characters, received"
            f" {len(boundary)}"
        )
    return boundary


class _Parts:
    """Collects the parts of a form from the parser's events."""

    def __init__(self, max_parts: int) -> None:
        self.found: list[tuple[str, FormValue]] = []
        self.finished = False
        self._max_parts = max_parts
        self._begun = 0

    def begin(self) -> None:
        self._begun += 1
        if self._begun > self._max_parts:
            raise _bad_form(f"expected at most {self._max_parts} parts")
        self._head_bytes = 0
        self._header_name = self._header_value = self._disposition = b""
        self._pieces: list[bytes] = []

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._header_name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._count_head(end - start)
        self._header_value += data[start:end]

    def end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _bad_form("a part has no name in its Content-Disposition")
        name = _text(options[b"name"], "the name of a part")
        value = b"".join(self._pieces)
        is_file = b"filename" in options or b"filename*=" in self._disposition.lower()
        self.found.append((name, value if is_file else _text(value, f"the field {name[:100]!r}")))

    def finish(self) -> None:
        self.finished = True

    def _count_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > _MAX_PART_HEAD_BYTES:
            raise _bad_form(f"the headers of a part have more than {_MAX_PART_HEAD_BYTES} bytes")


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_form(f"{what} is not UTF-8") from None


def _bad_form(detail: str) -> RequestError:
    return RequestError(422, f"The body is not a valid form: {detail}.")
