# SPDX-License-Identifier: Apache-2.0
"""Download of archives over HTTP with resume and retries, and safe extraction."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path, PurePosixPath

from hpip.errors import ModelFormatError

_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.5
_TIMEOUT_S = 15.0
_CHUNK_BYTES = 1 << 18
_TRANSIENT_STATUS = (408, 429)
_TRANSIENT_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def download(url: str, target: Path) -> None:
    """Download `url` to `target`, through `target` + ".part", which a later call resumes.

    Shows a progress bar if stderr is a terminal. Retries after broken connections, truncated
    responses and "busy" status codes. The caller must exclude other processes from the same target.

    Raises:
        OSError: the server can't be reached or returns an error (`urllib.error.HTTPError`), or the
            disk can't be written.
    """
    part = target.with_name(f"{target.name}.part")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _fetch_rest(url, part)
            break
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in _TRANSIENT_STATUS:
                raise
            if attempt == _ATTEMPTS:
                raise
        except _TRANSIENT_ERRORS as error:
            if attempt == _ATTEMPTS:
                raise ConnectionError(f"{error} (after {attempt} attempts)") from error
        time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
    part.replace(target)


def _fetch_rest(url: str, part: Path) -> None:
    """Download the missing rest of `part`, or all of it if the server's file has changed."""
    request = urllib.request.Request(url, headers={"User-Agent": "hpip"})
    have_bytes = part.stat().st_size if part.exists() else 0
    if have_bytes:
        # The partial file has the server's date, so the server sends a changed file completely.
        request.add_header("Range", f"bytes={have_bytes}-")
        request.add_header("If-Range", formatdate(part.stat().st_mtime, usegmt=True))
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have_bytes}-")
        if not (response.status == http.HTTPStatus.PARTIAL_CONTENT and resumed):
            have_bytes = 0
        length = response.headers.get("Content-Length")
        total_bytes = have_bytes + int(length) if length else None
        try:
            with (
                part.open("ab" if have_bytes else "wb") as file,
                _progress(part.name, have_bytes, total_bytes) as advance,
            ):
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    advance(len(chunk))
        finally:
            if part.exists():
                _keep_date(part, response.headers.get("Last-Modified"))
    received_bytes = part.stat().st_size
    if total_bytes is not None and received_bytes != total_bytes:
        raise ConnectionError(f"received {received_bytes} of {total_bytes} bytes")


def _keep_date(part: Path, last_modified: str | None) -> None:
    """Set the partial file's date to the server's; without one, a resume is not possible."""
    try:
        stamp = parsedate_to_datetime(last_modified or "").timestamp()
    except (TypeError, ValueError):
        stamp = 0.0
    os.utime(part, (stamp, stamp))


@contextmanager
def _progress(title: str, done: int, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task(title, completed=done, total=total)
        yield lambda count: bar.advance(task, count)


def unpack_tar(archive: Path, folder: Path) -> None:
    """Extract a tar archive to `folder`, which must exist.

    Owners, modes and dates in the archive are ignored.

    Raises:
        ModelFormatError: the archive is damaged, or contains a link, a device, or a path outside
            the folder.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _unpack_member(tar, member, folder)
    except (tarfile.TarError, EOFError) as error:
        raise ModelFormatError(
            f"{archive.name} is damaged: expected a tar archive, found {error}. Download it again."
        ) from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = PurePosixPath(member.name)
    fault = "" if member.isreg() or member.isdir() else "a link or device"
    if path.is_absolute() or ".." in path.parts:
        fault = "a path outside the folder"
    if fault:
        raise ModelFormatError(
            f"the archive contains {fault}, {member.name!r}: expected regular files only. hpip "
            "does not extract it; check its source."
        )
    target = folder / path
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None, "a regular member has content"
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)
