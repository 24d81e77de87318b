# SPDX-License-Identifier: Apache-2.0
"""Finds the directory of a model by its name, and downloads official models."""

from __future__ import annotations

import difflib
import errno
import functools
import logging
import os
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from hpip.common.cache import default_cache_dir
from hpip.common.file_lock import file_lock
from hpip.errors import InvalidInputError, ModelFormatError, ModelNotFoundError
from hpip.model.bundle_archive import BUNDLE_SUFFIX
from hpip.model.download import download, unpack_tar
from hpip.model.files import CONFIG_NAME, PARAMS_NAME, PROGRAM_NAMES, find_model_files

DEMO_NAME = "demo"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfficialModels:
    """Names of the official models, and the location of their archives.

    Attributes:
        base_url: HTTP address of the folder that contains the version folder.
        version: name of the version folder.
        names: names of all official instance-segmentation models.
    """

    base_url: str
    version: str
    names: tuple[str, ...]

    def archive_url(self, model_name: str) -> str:
        """URL of a model's archive."""
        return f"{self.base_url.rstrip('/')}/{self.version}/{model_name}_infer.tar"


def official_models() -> OfficialModels:
    """Load the packaged `configs/official_models.yaml`; `HPIP_MODEL_BASE_URL` overrides it.

    Raises:
        InvalidInputError: the variable is not an HTTP address.
    """
    shipped = _shipped_models()
    base_url = os.environ.get("HPIP_MODEL_BASE_URL") or shipped.base_url
    if not base_url.startswith(("http://", "https://")):
        raise InvalidInputError(
            f"HPIP_MODEL_BASE_URL: expected an http:// or https:// address, received {base_url!r}"
        )
    return OfficialModels(base_url, shipped.version, shipped.names)


@functools.cache
def _shipped_models() -> OfficialModels:
    text = (resources.files("hpip") / "configs" / "official_models.yaml").read_text("utf-8")
    config = yaml.safe_load(text)
    return OfficialModels(config["base_url"], config["version"], tuple(config["models"]))


def find_model(model_name: str, model_dir: str | Path | None = None) -> Path:
    """Find the directory of a model; downloads it to PaddleX's cache if it is missing.

    Args:
        model_name: an official name, or "demo" for the model that hpip contains.
        model_dir: directory or bundle of a model; if given, it is returned and `model_name` is
            ignored.

    Raises:
        ModelNotFoundError: the name is unknown, or the model is not cached and can't be downloaded.
        ModelFormatError: the cached directory is incomplete, or the downloaded archive is damaged
            or unsafe.
    """
    if model_dir is not None:
        return Path(model_dir).expanduser().absolute()
    if model_name == DEMO_NAME:
        return _demo_dir()
    official = official_models()
    if model_name not in official.names:
        raise ModelNotFoundError(_unknown_name_message(model_name, official.names))
    folder = _cache_dir() / model_name
    if not folder.exists():
        _download_model(model_name, official.archive_url(model_name), folder)
    try:
        find_model_files(folder)
    except ModelFormatError as error:
        raise ModelFormatError(
            f"{error} Or delete {folder}, and hpip downloads it again."
        ) from error
    return folder


def is_model_path(model: str) -> bool:
    """Whether a text means a model directory or a bundle, instead of the name of a model."""
    path = Path(model).expanduser()
    return path.is_dir() or os.sep in model or path.suffix == BUNDLE_SUFFIX


def locate_model(model: str | Path) -> Path:
    """The model directory or bundle that a user means by its path or its name.

    Raises:
        ModelNotFoundError, ModelFormatError: see `find_model`.
    """
    return find_model(str(model), model if is_model_path(str(model)) else None)


def demo_images() -> list[str]:
    """Sorted paths of the demo model's images.

    Raises:
        ModelNotFoundError: this build has no demo model.
    """
    images = (path for path in _demo_dir().iterdir() if path.suffix in (".jpg", ".png"))
    return sorted(map(str, images))


def _demo_dir() -> Path:
    folder = Path(__file__).parents[1] / "demo"
    if not (folder / CONFIG_NAME).is_file():
        raise ModelNotFoundError(
            f"this build of hpip does not contain the demo model: expected it in {folder}. Install "
            "a released wheel, or choose another model."
        )
    return folder


def _unknown_name_message(model_name: str, names: tuple[str, ...]) -> str:
    by_folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(model_name.casefold(), by_folded, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(by_folded[name] for name in close)}?" if close else ""
    return (
        f"unknown model {model_name!r}.{guess} Expected one of {', '.join(names)}, or {DEMO_NAME}; "
        "for a custom model, give its directory (model_dir, --model_dir)."
    )


def _cache_dir() -> Path:
    """PaddleX's own cache, so that a model is downloaded once for both."""
    if chosen := os.environ.get("PADDLE_PDX_CACHE_HOME"):
        return Path(chosen).expanduser().absolute() / "official_models"
    try:
        return Path.home() / ".paddlex" / "official_models"
    except RuntimeError:  # a user without a home folder
        return default_cache_dir() / "official_models"


def _download_model(model_name: str, url: str, folder: Path) -> None:
    """Download an official archive and extract it to `folder`, which appears atomically."""
    archive = folder.with_name(f".{model_name}_infer.tar")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(
            folder.with_name(f".{model_name}.lock"),
            on_wait=lambda: _logger.info("another process is downloading %s", model_name),
        ):
            if folder.exists():
                return
            if not os.access(folder.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder.parent))
            _logger.info("downloading %s from %s to %s", model_name, url, folder)
            download(url, archive)
            try:
                _unpack_model(archive, folder)
            finally:
                archive.unlink(missing_ok=True)
    except OSError as error:
        raise ModelNotFoundError(
            f"{model_name} is not in {folder} and could not be downloaded from {url}: {error}. "
            f"Copy {CONFIG_NAME}, {' or '.join(PROGRAM_NAMES)}, and {PARAMS_NAME} to that folder, "
            "or give the folder that contains them (model_dir, --model_dir). HPIP_MODEL_BASE_URL "
            "sets a mirror, PADDLE_PDX_CACHE_HOME another cache folder. "
            f'model="{DEMO_NAME}" (--model {DEMO_NAME}) works without a download.'
        ) from error


def _unpack_model(archive: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{archive.name}.") as scratch:
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        unpack_tar(archive, unpacked)
        entries = list(unpacked.iterdir())
        # Official archives contain one folder; archives of only the files are accepted too.
        content = entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked
        find_model_files(content)
        content.replace(folder)
