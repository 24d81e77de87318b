# SPDX-License-Identifier: Apache-2.0
"""The measured models, and the facts about them that need no run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from hpip.common.cache import content_key
from hpip.common.digest import file_digest, files_digest
from hpip.errors import HpipError, InvalidInputError
from hpip.graph.inspect import parameter_count, work
from hpip.graph.program import Program
from hpip.inference.execution.program_formats import artifact
from hpip.model.files import CONFIG_NAME
from hpip.model.official import DEMO_NAME, locate_model, official_models
from hpip.model.spec import ModelSpec, load_model_spec

_ONNX_NAME = "inference.onnx"
# PaddleX runs only official models; a model of another name is run as one of the same `arch`.
_NAME_BY_ARCH = {
    "DETR": "Mask-RT-DETR-L",
    "RCNN": "MaskRCNN-ResNet50-FPN",
    "PPYOLOE": "PP-YOLOE_seg-S",
    "SOLOv2": "SOLOv2",
}


@dataclass(frozen=True)
class Subject:
    """A measured model.

    Attributes:
        name: display name; unique.
        spec: the model's specification.
    """

    name: str
    spec: ModelSpec

    @property
    def model_dir(self) -> Path:
        """Absolute path of the model directory or the bundle."""
        return self.spec.model_dir.resolve()

    @property
    def model_bytes(self) -> int:
        """Size of the graph and the parameters."""
        files = self.spec.files
        return sum(path.stat().st_size for path in {files.program, files.params})

    @cached_property
    def digest(self) -> str:
        """Digest of the graph, the parameters and inference.yml."""
        files, bundle = self.spec.files, self.spec.bundle
        if bundle is not None:
            return content_key(bundle.compiled.key, file_digest(files.params))
        config = self.spec.model_dir / CONFIG_NAME
        return files_digest((files.program, files.params, config))[:32]

    @cached_property
    def arithmetic(self) -> tuple[int, float, int] | None:
        """Number of parameters, GFLOP (a multiply-add is two), and operators of unknown size.

        They are of the original graph and one image, which is 1080x1920 if the model has a dynamic
        input size. None for a graph in the older format (.pdmodel), and for a bundle.
        """
        if self.spec.bundle is not None:
            return None
        try:
            program = Program.read(self.spec.files.program)
        except HpipError:
            return None
        network_hw = self.spec.network_hw or self.spec.preprocess.network_hw((1080, 1920))
        done = work(program, network_hw)
        return parameter_count(program), 2 * done.macs / 1e9, done.unknown

    def paddlex_folder(self, scratch: Path, *, onnx: bool = False) -> tuple[str, Path]:
        """An official model name, and a model directory under that name, for PaddleX.

        Args:
            scratch: folder for the directory, if one has to be made.
            onnx: whether the directory must contain `inference.onnx`; if the model has none, hpip
                converts the original graph.

        Raises:
            InvalidInputError: PaddleX has no model of this architecture, or can't run it, because
                it is a bundle.
            BackendUnavailableError, GraphRewriteError, ModelFormatError: the graph can't be
                converted.
        """
        self.spec.require_original_graph("PaddleX")
        name = self.spec.model_name
        is_official = name in official_models().names
        if is_official and (not onnx or (self.model_dir / _ONNX_NAME).exists()):
            return name, self.model_dir
        config_path = self.spec.model_dir / CONFIG_NAME
        config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
        official = name if is_official else _NAME_BY_ARCH.get(str(config.get("arch")))
        if official is None:
            raise InvalidInputError(
                f"PaddleX supports neither a model {name!r} nor one of arch {config.get('arch')!r}"
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
    """Hard-link or copy a file; ONNX Runtime rejects external data behind symbolic links."""
    if target.exists() or not path.is_file():
        return
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def find_subjects(models: Sequence[str]) -> list[Subject]:
    """Find models by directory or name.

    Raises:
        InvalidInputError: no model is given, or one is given twice.
        ModelNotFoundError, ModelFormatError: a model is missing or damaged.
    """
    if not models:
        raise InvalidInputError(
            "models: expected model directories, official names or demo; received none"
        )
    specs = [load_model_spec(locate_model(model).resolve()) for model in models]
    return [Subject(name, spec) for name, spec in zip(_names(models, specs), specs, strict=True)]


def _names(models: Sequence[str], specs: Sequence[ModelSpec]) -> list[str]:
    """Names of the directories, with as many parents as are necessary to distinguish them."""
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
