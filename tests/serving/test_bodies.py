# SPDX-License-Identifier: Apache-2.0
"""Bodies of every kind as clients write them, without a server."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from pathlib import Path

import msgpack
import pytest
from starlette.datastructures import Headers

from hpip.serving import bodies
from hpip.serving.bodies import BodyBudget, ParsedRequest, parse_body
from hpip.serving.problems import RequestError

# Its base64 has both characters in which the alphabet of URLs differs, and needs padding.
PICTURE = b"\xfb\xef\xff\xfe picture"
TEXT = base64.b64encode(PICTURE).decode()


def parse(body: bytes, content_type: str | None, max_images: int = 16) -> ParsedRequest:
    headers = Headers({} if content_type is None else {"content-type": content_type})
    return asyncio.run(parse_body(body, headers, max_images))


def problem(body: bytes, content_type: str | None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(body, content_type)
    return caught.value


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each with its Content-Disposition after `form-data; `."""
    lines = (
        b"--B\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return b"".join(lines) + b"--B--\r\n"


FORM = "multipart/form-data; boundary=B"


def test_files_and_texts_of_a_form() -> None:
    parsed = parse(
        form(
            ('name="image"; filename="a.jpg"', PICTURE),
            ('name="logId"', "ein Bär".encode()),
            ('name="threshold"', b"0.25"),
        ),
        FORM,
    )
    assert parsed.images == [PICTURE]
    assert (parsed.fields.logId, parsed.fields.threshold) == ("ein Bär", 0.25)
    several = parse(
        form(('name="images"; filename="a"', PICTURE), ('name="images"', b"AA==")), FORM
    )
    assert (several.images, several.several) == ([PICTURE, b"\0"], True)


def test_a_large_file_never_touches_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is none"))
    picture = b"x" * (3 << 20)
    assert parse(form(('name="image"; filename="a"', picture)), FORM).images == [picture]


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "latin-1", "uu", '"utf-16"'])
def test_forms_are_taken_in_utf8_only(charset: str) -> None:
    # Python's decoder of punycode takes 20 s for a megabyte of these.
    body = form(('name="logId"', b"-" + b"a" * 1_000_000))
    error = problem(body, f"{FORM}; charset={charset}")
    assert error.status == 415
    assert "UTF-8" in error.message


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (form(('name="logId"', b"\xff")), FORM, "'logId' is not UTF-8"),
        (form(('name="a"', b"1")), "multipart/form-data", "boundary"),
        (form(('name="a"', b"1")), "multipart/form-data; boundary=" + "B" * 71, "boundary"),
        (form(('name="a"', b"1")), FORM + "; x" * 999, "Content-Type"),
        (form(('name="a"', b"1"))[:-8], FORM, "closing boundary"),
        (form(("filename=a", b"1")), FORM, "no name"),
        (form(('name="' + "a;" * 9999 + '"', b"1")), FORM, "eader"),
        (form(*[('name="a"', b"1")] * 50), FORM, "at most 32 parts"),
        (b"--B\nX", FORM, "not a valid form"),
    ],
)
def test_bad_forms_are_told_what_is_wrong(body: bytes, content_type: str, message: str) -> None:
    error = problem(body, content_type)
    assert error.status == 422
    assert message in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"\x81\x90\x01",
        b"\x81\x80\x01",
        b"\x81\xd7\xff" + b"\xff" * 8 + b"\x01",
        b"\xc1",
        b"\x91" * 2000,
        b"\x81\xa5image",
        msgpack.packb([1]),
        msgpack.packb({"image": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"image": [[1]] * 200}),
    ],
)
def test_odd_messagepack_is_the_client_s_error(body: bytes) -> None:
    assert problem(body, "application/msgpack").status == 422


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        None,
        "",
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/plain;charset=UTF-8",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_taken_under_the_types_that_clients_give_it(
    kind: str | None, encoding: str
) -> None:
    body = f' {{"image": "{TEXT}", "logId": "Bär"}}'.encode(encoding)
    parsed = parse(body, kind)
    assert (parsed.images, parsed.fields.logId) == ([PICTURE], "Bär")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"image=abc", "application/x-www-form-urlencoded"),
        (b"", "text/plain"),
        (b"[1]", "text/plain"),
        (b'{"image": ""}', "text/html"),
        (b'{"image": ""}', "image/jpeg"),
    ],
)
def test_what_is_no_json_object_is_refused_under_them(body: bytes, kind: str) -> None:
    assert problem(body, kind).status == 415


@pytest.mark.parametrize("body", [b"\xff\xfe{\0", b"\0{\0\xd8", b"\xef\xbb\xbf", b"{\xff}", b""])
def test_broken_texts_are_the_client_s_error(body: bytes) -> None:
    assert "json_invalid" in problem(body, "application/json").message


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.rstrip("="),
        base64.urlsafe_b64encode(PICTURE).decode(),
        base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
        f"{TEXT[:5]}\r\n{TEXT[5:]}\n",
        f"data:image/jpeg;base64,{TEXT}",
        f"DATA:image/JPEG;BASE64,{TEXT}",
        f"data:;base64,{TEXT.rstrip('=')}",
    ],
)
def test_base64_in_all_spellings(text: str) -> None:
    assert parse(json.dumps({"image": text}).encode(), "application/json").images == [PICTURE]


@pytest.mark.parametrize("text", ["A", "AAAAA", "A=A=", "AA*=", "Ä" * 4, "data:image/jpeg,abc"])
def test_what_is_no_base64_is_told(text: str) -> None:
    error = problem(json.dumps({"image": text}).encode(), "application/json")
    assert "expected base64" in error.message


def test_bodies_are_never_parsed_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even small ones: what they cost is their client's to say."""

    def running_loop(*_: object) -> ParsedRequest:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return ParsedRequest([], several=False, fields=bodies.SegmentRequest(image=""))

    monkeypatch.setattr(bodies, "_check", running_loop)
    for body, kind in (
        (b"{}", "application/json"),
        (form(), FORM),
        (b"\x80", "application/msgpack"),
    ):
        parse(body, kind)


def test_budget_is_given_back() -> None:
    budget = BodyBudget(10)
    budget.take(6)
    with pytest.raises(RequestError, match="memory"):
        budget.take(5)
    budget.give_back(6)
    budget.take(10)
