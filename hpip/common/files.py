# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from hpip.common.opencv import require_cv2
from hpip.errors import InvalidInputError, SaveError
from hpip.types import UInt8Array

WRITABLE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def target_file(
    save_path: str | os.PathLike[str],
    default_name: str,
    suffixes: tuple[str, ...],
) -> Path:
    """The file to write for `save_path`: itself, or `default_name` in it if it is a folder.

    Raises:
        InvalidInputError: a file with none of `suffixes`, which are lower case.
    """
    path = Path(save_path)
    return path / default_name if is_folder(save_path, suffixes) else path


def remove_path(path: Path) -> None:
    """Remove what is there, file, link, pipe or folder, as far as the file system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def is_folder(save_path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> bool:
    """Whether `save_path` means a folder: one is there, it ends in a slash, or has no suffix.

    Raises:
        InvalidInputError: the file has none of the `suffixes` (lower case).
    """
    path = Path(save_path)
    ends_as_folder = os.fspath(save_path).endswith(("/", os.sep))
    if not path.suffix or ends_as_folder or path.is_dir():
        return True
    if path.suffix.lower() not in suffixes:
        raise InvalidInputError(
            f"save_path: expected a folder or a file that ends in {', '.join(suffixes)}, received"
            f" {path}; a new folder whose name has a dot must end in a slash"
        )
    return False


def encode_image(image_bgr: UInt8Array, suffix: str, *, jpeg_quality: int | None = None) -> bytes:
    """Encode an image in the format of `suffix`, one of `WRITABLE_SUFFIXES` in any case.

    Args:
        image_bgr: (H, W, 3) uint8.
        suffix: selects the format.
        jpeg_quality: quality of a JPEG, 0 to 100; None means OpenCV's default, 95.

    Returns:
        The content of the file.

    Raises:
        InvalidInputError: the image exceeds the format's maximum height or width.
        BackendUnavailableError: OpenCV is not installed.
    """
    cv2 = require_cv2("saving an image")
    height, width = image_bgr.shape[:2]
    refusal = (
        f"can't save an image of {width}x{height} pixels as {suffix}; use .png or .tif, whose size"
        " limits are larger than those of .jpg and .webp"
    )
    try:
        options = [] if jpeg_quality is None else [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
        done, data = cv2.imencode(suffix.lower(), image_bgr, options)
    except cv2.error as error:
        raise InvalidInputError(refusal) from error
    if not done:
        raise InvalidInputError(refusal)
    return bytes(data)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically: readers see the old content or all of the new content.

    Missing parent folders are created.

    Raises:
        SaveError: the file can't be written.
    """
    # Not the `tempfile` module, which ignores the umask: only the owner could read the file.
    partial = path.with_name(f".hpip-{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    # ValueError: a name with a null character, or one that the file system can't express.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SaveError(
            f"can't write {path}: {reason}. Check that the folder exists or can be created, that"
            " it is writable and that the disk has room."
        ) from error
