# SPDX-License-Identifier: Apache-2.0
"""The models that are measured, and what is known of them without running them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from hpip.common.files import files_digest
from hpip.errors import HpipError, InvalidInputError
from hpip.graph.inspect import parameter_count, work
from hpip.graph.program import Program
from hpip.inference.execution.program_formats import artifact
from hpip.model.files import CONFIG_NAME
from hpip.model.official import DEMO_NAME, find_model, official_models
from hpip.model.spec import ModelSpec, load_model_spec

_ONNX_NAME = "inference.onnx"
# PaddleX runs models under official names only: one of the same `arch`, for those that have others.
_NAME_BY_ARCH = {
    "DETR": "Mask-RT-DETR-L",
    "RCNN": "MaskRCNN-ResNet50-FPN",
    "PPYOLOE": "PP-YOLOE_seg-S",
    "SOLOv2": "SOLOv2",
}


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: for people; different for each.
        spec: what hpip knows of it.
    """

    name: str
    spec: ModelSpec

    @property
    def model_dir(self) -> Path:
        """Absolute."""
        return self.spec.model_dir.resolve()

    @property
    def model_bytes(self) -> int:
        """Size of program and parameters."""
        files = self.spec.files
        return sum(path.stat().st_size for path in (files.program, files.params))

    @cached_property
    def digest(self) -> str:
        """Of program, parameters and settings."""
        files = self.spec.files
        config = self.spec.model_dir / CONFIG_NAME
        return files_digest((files.program, files.params, config))[:32]

    @cached_property
    def arithmetic(self) -> tuple[int, float, int] | None:
        """Parameters, 10^9 operations (a multiply-add is two), and operators of unknown size.

        Of the untouched program and one image, of 1080x1920 where the model takes any size. None
        where the program is of the older format.
        """
        try:
            program = Program.read(self.spec.files.program)
        except HpipError:
            return None
        network_hw = self.spec.network_hw or self.spec.preprocess.network_hw((1080, 1920))
        done = work(program, network_hw)
        return parameter_count(program), 2 * done.macs / 1e9, done.unknown

    def paddlex_folder(self, scratch: Path, *, onnx: bool = False) -> tuple[str, Path]:
        """A name that PaddleX knows and a directory that bears it.

        Args:
            scratch: folder for what is made on the way.
            onnx: the directory holds `inference.onnx` too; hpip's own translation of the untouched
                program where the model's makers gave none.

        Raises:
            InvalidInputError: PaddleX has no model of this architecture.
            BackendUnavailableError, GraphRewriteError, ModelFormatError: the program can't be
                translated.
        """
        name = self.spec.model_name
        is_official = name in official_models().names
        if is_official and (not onnx or (self.model_dir / _ONNX_NAME).exists()):
            return name, self.model_dir
        config_path = self.spec.model_dir / CONFIG_NAME
        config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        official = name if is_official else _NAME_BY_ARCH.get(str(config.get("arch")))
        if official is None:
            raise InvalidInputError(
                f"PaddleX knows no model {name!r} and none of arch {config.get('arch')!r}"
            )
        folder = scratch / f"{self.name.replace('/', '-')}-for-paddlex{'-onnx' if onnx else ''}"
        folder.mkdir(exist_ok=True)
        config["Global"] = {**config.get("Global", {}), "model_name": official}
        (folder / CONFIG_NAME).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        for path in self.model_dir.iterdir():
            _link(path, folder / path.name)
        if onnx and not (folder / _ONNX_NAME).exists():
            translated = artifact(self.spec.files, "onnx")
            shutil.copyfile(translated.program, folder / _ONNX_NAME)
        return official, folder


def _link(path: Path, target: Path) -> None:
    """The same file elsewhere; no symbolic link, which ONNX Runtime takes for an escape."""
    if target.exists() or not path.is_file():
        return
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def find_subjects(models: Sequence[str]) -> list[Subject]:
    """The models by directory or name.

    Raises:
        InvalidInputError: none is given.
        ModelNotFoundError, ModelFormatError: a model is not there, or damaged.
    """
    if not models:
        raise InvalidInputError(
            "models: expected model directories, official names or demo; received none"
        )
    specs: list[ModelSpec] = []
    for model in models:
        folder = Path(model).expanduser()
        given = folder if folder.is_dir() or os.sep in model else None
        specs.append(load_model_spec(find_model(model, given).resolve()))
    return [Subject(name, spec) for name, spec in zip(_names(models, specs), specs, strict=True)]


def _names(models: Sequence[str], specs: Sequence[ModelSpec]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart."""
    paths = [spec.model_dir for spec in specs]
    names = []
    for model, path in zip(models, paths, strict=True):
        depth = 1
        while sum(other.parts[-depth:] == path.parts[-depth:] for other in set(paths)) > 1:
            depth += 1
        names.append(DEMO_NAME if model == DEMO_NAME else "/".join(path.parts[-depth:]))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"models: expected each once; received {twice} twice")
    return names
