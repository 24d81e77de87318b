# SPDX-License-Identifier: Apache-2.0
"""The files that a path, a directory or a pattern names.

Directories are searched through links too, but every real directory once, so that links that lead
back up end nothing and cost nothing. Hidden files and directories, whose names begin with a dot
(macOS writes `._photo.jpg` beside every `photo.jpg` on foreign disks), are found only where they
are named.
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

# What PaddleX looks for in a directory. A file that is named itself may have any suffix.
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
        path: as the caller wrote its beginning: "./photos/day 1/a.jpg".
        subfolder: of the directory that was given, "day 1"; empty where a file was named.
    """

    path: str
    subfolder: str = ""


def is_pattern(text: str) -> bool:
    """Whether `text` has wildcards, and no file has it as its very name."""
    return glob.has_magic(text) and not is_url(text) and not os.path.lexists(text)


def find_files(text: str, *, output_folder: Path | None = None) -> list[FoundFile]:
    """The files that a path, directory or pattern names, sorted; at least one.

    A directory that can't be read is listed like a file: reading it then says why.

    Args:
        text: the path, directory or pattern.
        output_folder: where results are written; what lies there is no input. Where it holds the
            inputs as well, `<stem>_res` pictures with a JSON file of the same name are left out.

    Raises:
        InvalidInputError: nothing is there, or nothing that is an image.
        OSError, ValueError: the system refuses the path.
    """
    if not text or "\0" in text:
        raise InvalidInputError(
            f"{text!r}: {'empty path' if not text else 'path with a null character'};"
            " expected a file, a directory, a pattern or an http(s) URL."
        )
    path = Path(text)
    if path.is_dir():
        return _files_under(text, _OutputFolder(output_folder))
    if path.is_file():
        return [FoundFile(text)]
    if path.exists():
        raise InvalidInputError(f"{text}: expected a file or a directory, got a special file.")
    if is_pattern(text):
        return _files_matching(text, _OutputFolder(output_folder))
    raise InvalidInputError(
        f"{text}: no such file or directory. Check the path; relative paths start at {Path.cwd()}."
    )


class _OutputFolder:
    """Tells what in a directory are results of hpip's own."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder.resolve()

    def prunes(self, folder: str, top: str) -> bool:
        """Whether all of `folder`, found below `top`, is output."""
        return (
            self._path is not None
            and Path(folder).resolve() == self._path
            and Path(top).resolve() != self._path
        )

    def holds(self, folder: str, name: str) -> bool:
        """Whether `name` in `folder` is a picture that was saved beside its JSON file."""
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
            f"{directory}: no image in this directory or below; expected files ending in"
            f" {_SUFFIX_LIST}."
        )
    return sorted(files, key=lambda file: file.path)


def _walk(
    top: str, output: _OutputFolder, *, hidden: bool = False, any_suffix: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Every real directory at and below `top` once, with the files to take from it.

    Links are followed after all real directories, so that files get their real names.
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
        # os.walk and not Path.rglob: names stay as the caller wrote the directory, "./photos".
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
    # "*.dat" asks for those files; "*", "**" and "img_*" ask for the images among the matches.
    suffix = Path(pattern).suffix
    any_suffix = bool(suffix) and not glob.has_magic(suffix)
    matches = _each_once(_matches(pattern, output))
    files = [path for path in matches if any_suffix or _has_known_suffix(path)]
    if not files:
        raise InvalidInputError(
            f"{pattern}: no file matches this pattern ({len(matches)} matches of other kinds);"
            f" expected files ending in {_SUFFIX_LIST}. Quote it, so that the shell leaves it"
            " alone, and check where it starts."
        )
    return [FoundFile(path) for path in files]


def _each_once(paths: Iterable[str]) -> list[str]:
    """Sorted; of paths that reach one file through links to its folder, the one without links."""
    chosen: dict[str, str] = {}
    for path in sorted(paths):
        real = _join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))  # noqa: PTH119, PTH120
        if real not in chosen or os.path.abspath(path) == real:  # noqa: PTH100
            chosen[real] = path
    return sorted(chosen.values())


def _matches(pattern: str, output: _OutputFolder) -> Iterator[str]:
    """The files that match; `**` goes through any number of directories.

    Not `glob`'s own `**`: it follows links round and round, 2^40 times where two lead back up.
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
    """What stands before the first part that is `**`, and the parts from there on."""
    # Not `Path.parts`, which would lose the "./" that names are to begin with.
    parts = pattern.split(os.sep)  # noqa: PTH206
    if "**" not in parts:
        return pattern, ()
    first = parts.index("**")
    head = os.sep.join(parts[:first])  # noqa: PTH118
    return head or (os.sep if first else ""), tuple(part for part in parts[first:] if part)


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
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
