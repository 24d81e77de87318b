# SPDX-License-Identifier: Apache-2.0
"""Finds the files of a path, a directory or a glob pattern.

The search follows symbolic links, but visits every real directory once, so cyclic links do no harm.
Hidden files and directories, whose names begin with a dot, are found only if the input names them.
(macOS creates hidden files such as `._photo.jpg` on foreign disks.)
"""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hpip.common.file_names import is_url
from hpip.errors import InvalidInputError

# The suffixes that PaddleX searches for in a directory. A file given by its path may have any.
IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("bmp", "dib", "jpeg", "jpg", "png", "tif", "tiff", "webp"),
        *("pbm", "pgm", "pnm", "ppm", "ras", "sr"),
    )
)
PDF_SUFFIXES = frozenset({".pdf"})
_SUFFIX_LIST = ", ".join(sorted(IMAGE_SUFFIXES | PDF_SUFFIXES))


@dataclass(frozen=True)
class FoundFile:
    """A file of an input.

    Attributes:
        path: path that begins as the caller's input does, such as "./photos/day 1/a.jpg".
        subfolder: folder relative to the given directory, such as "day 1"; empty for the directory
            itself, and for files that were not found by searching a directory.
    """

    path: str
    subfolder: str = ""


def is_pattern(text: str) -> bool:
    """Whether `text` contains wildcards and is not the name of an existing file."""
    return glob.has_magic(text) and not is_url(text) and not os.path.lexists(text)


def find_files(text: str, *, output_folder: Path | None = None) -> list[FoundFile]:
    """Find the files of a path, directory or pattern; at least one, sorted.

    An unreadable directory is listed like a file, so that reading it raises the error.

    Args:
        text: the path, directory or pattern.
        output_folder: folder for results, whose files are not inputs. If it contains the inputs
            too, only `<stem>_res` images with a JSON file of the same stem are excluded.

    Raises:
        InvalidInputError: the path does not exist, or there is no image.
        OSError, ValueError: the operating system rejects the path.
    """
    if not text or "\0" in text:
        raise InvalidInputError(
            f"{text!r}: expected a file, a directory, a pattern or an http(s) URL; received"
            f" {'an empty path' if not text else 'a path with a null character'}. Correct the path."
        )
    path = Path(text)
    if path.is_dir():
        return _files_under(text, _OutputFolder(output_folder))
    if path.is_file():
        return [FoundFile(text)]
    if path.exists():
        raise InvalidInputError(
            f"{text}: expected a file or a directory; received a special file, such as a pipe or a"
            " device. Pass the path of an image."
        )
    if is_pattern(text):
        return _files_matching(text, _OutputFolder(output_folder))
    raise InvalidInputError(
        f"{text}: no such file or directory. Check the path; relative paths are resolved against"
        f" {Path.cwd()}."
    )


class _OutputFolder:
    """Recognises results of hpip among the files of a directory."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder.resolve()

    def prunes(self, folder: str, top: str) -> bool:
        """Whether `folder`, found below `top`, contains results only."""
        return (
            self._path is not None
            and Path(folder).resolve() == self._path
            and Path(top).resolve() != self._path
        )

    def holds(self, folder: str, name: str) -> bool:
        """Whether `name` in `folder` is a saved image of a result, next to its JSON file."""
        stem = Path(name).stem
        if self._path is None or not stem.endswith("_res"):
            return False
        place = Path(folder).resolve()
        return (place == self._path or self._path in place.parents) and (
            place / f"{stem}.json"
        ).is_file()


def _files_under(directory: str, output: _OutputFolder) -> list[FoundFile]:
    files = []
    for folder, names in _walk(directory, output):
        subfolder = os.path.relpath(folder, directory)
        subfolder = "" if subfolder == os.curdir else subfolder
        files += [FoundFile(_join(folder, name), subfolder) for name in names]
    if not files:
        raise InvalidInputError(
            f"{directory}: no image in this directory or its subdirectories; expected files with"
            f" one of the suffixes {_SUFFIX_LIST}. Check the path, or pass the files themselves."
        )
    return sorted(files, key=lambda file: file.path)


def _walk(
    top: str, output: _OutputFolder, *, hidden: bool = False, any_suffix: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Yield every real directory at and below `top` once, with the names of its input files.

    Links are followed after all real directories, so that files are found under their real paths.
    """
    seen: set[tuple[int, int]] = set()
    starts = deque([top])
    unreadable: list[str] = []

    def note(error: OSError) -> None:
        folder = os.fspath(error.filename)
        if folder == top:
            raise error
        unreadable.append(folder)

    while starts:
        # Unlike `Path.rglob`, `os.walk` keeps the caller's form of the path, such as "./photos".
        for folder, folders, names in os.walk(starts.popleft(), onerror=note):
            identity = os.stat(folder)  # noqa: PTH116
            key = identity.st_dev, identity.st_ino
            if key in seen or output.prunes(folder, top):
                folders.clear()
                continue
            seen.add(key)
            folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
            starts.extend(
                path
                for name in folders
                if os.path.islink(path := _join(folder, name))  # noqa: PTH114
            )
            yield (
                folder,
                [
                    name
                    for name in names
                    if (hidden or not name.startswith("."))
                    and (any_suffix or _has_known_suffix(name))
                    and not output.holds(folder, name)
                ],
            )
        while unreadable:
            folder = unreadable.pop()
            yield os.path.dirname(folder), [os.path.basename(folder)]  # noqa: PTH119, PTH120


def _files_matching(pattern: str, output: _OutputFolder) -> list[FoundFile]:
    # "*.dat" selects all matches; "*", "**" and "img_*" select only the images among the matches.
    suffix = Path(pattern).suffix
    any_suffix = bool(suffix) and not glob.has_magic(suffix)
    matches = _each_once(_matches(pattern, output))
    files = [path for path in matches if any_suffix or _has_known_suffix(path)]
    if not files:
        raise InvalidInputError(
            f"{pattern}: no file matches this pattern and has one of the suffixes {_SUFFIX_LIST}"
            f" ({len(matches)} files with other suffixes match). Check the pattern, and quote it to"
            " prevent its expansion by the shell."
        )
    return [FoundFile(path) for path in files]


def _each_once(paths: Iterable[str]) -> list[str]:
    """Sort the paths; if several reach one file through linked folders, keep the real one."""
    chosen: dict[str, str] = {}
    for path in sorted(paths):
        real = _join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))  # noqa: PTH119, PTH120
        if real not in chosen or os.path.abspath(path) == real:  # noqa: PTH100
            chosen[real] = path
    return sorted(chosen.values())


def _matches(pattern: str, output: _OutputFolder) -> Iterator[str]:
    """Yield the files that match; `**` matches any number of directories.

    Does not use the `**` of `glob`, which follows cyclic links: up to 2^40 times for two links.
    """
    head, rest = _split_at_stars(pattern)
    if not rest:
        paths = (path for path in glob.iglob(pattern) if Path(path).is_file())  # noqa: PTH207
        yield from (p for p in paths if not output.holds(os.path.dirname(p), os.path.basename(p)))  # noqa: PTH119, PTH120
        return
    hidden = any(part.startswith(".") for part in rest)
    for top in glob.iglob(head) if head else [os.curdir]:  # noqa: PTH207
        if not os.path.isdir(top):  # noqa: PTH112
            continue
        for folder, names in _walk(top, output, hidden=hidden, any_suffix=True):
            parts = Path(os.path.relpath(folder, top)).parts
            for name in names:
                if _fits((*parts, name), rest):
                    yield os.path.normpath(_join(folder, name)) if not head else _join(folder, name)


def _split_at_stars(pattern: str) -> tuple[str, tuple[str, ...]]:
    """Split a pattern at its first `**` into the path before it and the remaining parts."""
    # `Path.parts` would remove the leading "./", with which the found paths must begin.
    parts = pattern.split(os.sep)  # noqa: PTH206
    if "**" not in parts:
        return pattern, ()
    first = parts.index("**")
    head = os.sep.join(parts[:first])  # noqa: PTH118
    return head or (os.sep if first else ""), tuple(part for part in parts[first:] if part)


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the parts of a path match those of a pattern; wildcards skip hidden names."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if all(part == "**" for part in pattern):
            return not any(part.startswith(".") for part in parts)
        if _fits(parts, pattern[1:]):
            return True
        return len(parts) > 1 and not parts[0].startswith(".") and _fits(parts[1:], pattern)
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118


def _has_known_suffix(path: str) -> bool:
    return Path(path).suffix.lower() in IMAGE_SUFFIXES | PDF_SUFFIXES
