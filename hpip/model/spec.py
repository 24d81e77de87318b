# SPDX-License-Identifier: Apache-2.0
"""Metadata of a model: files, inputs, preprocessing, labels, roles of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import util
from pathlib import Path
from typing import Literal, TypeAlias

from hpip.errors import BackendUnavailableError, InvalidInputError, ModelFormatError
from hpip.graph.interface import ProgramInterface, ProgramTensor, read_interface
from hpip.graph.operation import TensorType
from hpip.graph.params import check_parameters
from hpip.model.bundle_archive import MANIFEST_NAME, is_bundle
from hpip.model.bundle_file import Bundle, read_bundle
from hpip.model.files import CONFIG_NAME, PROGRAM_NAMES, find_model_files
from hpip.model.inference_config import (
    InferenceConfig,
    parse_inference_config,
    read_inference_config,
)
from hpip.types import ModelFiles, PreprocessPlan, ResizeStep

# Values of a mask output above this are foreground. Exported models end with a comparison, so that
# masks are 0 and 1 in the output's type; MaskRCNN also returns -1 where the canvas of a batch is
# larger than the instance's image.
MASK_FOREGROUND_ABOVE = 0.5


@dataclass(frozen=True)
class BoxOutputs:
    """Outputs of exported Mask-RT-DETR, MaskRCNN, Cascade-MaskRCNN and PP-YOLOE_seg models.

    Attributes:
        boxes: float32 [N, 6], rows of class id, score, x0, y0, x1, y1 in pixels of the original
            image. Rows with class id -1 are padding.
        counts: int32 [B], number of rows of `boxes` and `masks` per image, in order.
        masks: [N, H, W] at the original image's size, int32 or float32.
    """

    boxes: ProgramTensor
    counts: ProgramTensor
    masks: ProgramTensor
    layout: Literal["boxes"] = field(default="boxes", init=False)


@dataclass(frozen=True)
class ClassOutputs:
    """Outputs of exported SOLOv2 models, which have no boxes.

    Attributes:
        count: integer scalar, number of instances.
        class_ids: int64 [N].
        scores: float32 [N].
        masks: [N, H, W] at the original image's size, uint8.
    """

    count: ProgramTensor
    class_ids: ProgramTensor
    scores: ProgramTensor
    masks: ProgramTensor
    layout: Literal["classes"] = field(default="classes", init=False)


ModelOutputs: TypeAlias = BoxOutputs | ClassOutputs


@dataclass(frozen=True)
class ModelSpec:
    """Metadata of a model, read without an engine.

    Attributes:
        model_name: name of the architecture, from `inference.yml`.
        model_dir: the model directory, or the bundle.
        files: program and parameters; of a bundle, the file with the parameters for both.
        inputs: inputs of the program, in order: `image` float32 [B, 3, H, W], and if the model has
            them `im_shape` (size after Resize) and `scale_factor` (that size over the original
            size), float32 [B, 2] as height, width.
        preprocess: steps from BGR image to `image`.
        labels: class names by class id.
        score_threshold: the model's default score threshold.
        outputs: the program's outputs by role.
        network_hw: height and width of `image` if they are static, else None.
        max_batch_size: maximum number of images per run that gives correct results; None for no
            limit.
        parameters: types of the weights; None if the program's format does not tell them.
        bundle: the prepared model; None for a model directory.
    """

    model_name: str
    model_dir: Path
    files: ModelFiles
    inputs: tuple[ProgramTensor, ...]
    preprocess: PreprocessPlan
    labels: tuple[str, ...]
    score_threshold: float
    outputs: ModelOutputs
    network_hw: tuple[int, int] | None
    max_batch_size: int | None
    parameters: tuple[TensorType, ...] | None = None
    bundle: Bundle | None = None

    def check_parameters(self) -> None:
        """Check that the parameter file is whole and belongs to the program; reads headers only.

        Raises:
            ModelFormatError: it is truncated, or of another export.
        """
        if self.bundle is None:  # else all bytes have been compared with their digest
            check_parameters(self.files.params, self.parameters)

    def require_original_graph(self, purpose: str) -> None:
        """Check that this is no bundle, which has no original graph.

        Args:
            purpose: what needs the graph, as the subject of a sentence.

        Raises:
            InvalidInputError: it is a bundle.
            BackendUnavailableError: it is also a model directory, but Paddle is not installed.
        """
        if self.bundle is not None and _has_program(self.model_dir):
            raise BackendUnavailableError(
                "paddle",
                f"{purpose} needs Paddle, which is not installed.",
                "Install it with: pip install 'hpip[cpu]'",
            )
        if self.bundle is not None:
            raise InvalidInputError(
                f"{purpose} needs the model's original graph, which the bundle {self.model_dir} "
                f"does not contain. Use the model directory that it was exported from: "
                f"{self.bundle.manifest.source} ({self.model_name})."
            )

    def resized(self, target_hw: tuple[int, int] | None) -> ModelSpec:
        """The model with another target size of its resize step; None keeps it."""
        if target_hw is None:
            return self
        steps = tuple(
            replace(step, target_hw=target_hw) if isinstance(step, ResizeStep) else step
            for step in self.preprocess.steps
        )
        return replace(self, preprocess=replace(self.preprocess, steps=steps))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in the program's order."""
        return tuple(tensor.name for tensor in self.inputs)

    def label(self, class_id: int) -> str:
        """Name of a class; its id as text if `label_list` is too short.

        Raises:
            InvalidInputError: the id is negative, which marks padding rows.
        """
        if class_id < 0:
            raise InvalidInputError(f"class id: expected 0 or more, received {class_id}")
        return self.labels[class_id] if class_id < len(self.labels) else str(class_id)


def load_model_spec(model_dir: str | Path) -> ModelSpec:
    """Read a model directory or a bundle; no engine is imported.

    A folder that is both, as the demo model is, counts as a model directory if Paddle is installed.

    Raises:
        ModelFormatError: the directory, the bundle or a file is missing or damaged, or the
            preprocessing, the inputs or the outputs are not supported.
        SaveError: the graphs of a bundle can't be written to the cache.
    """
    folder = Path(model_dir).expanduser().absolute()
    if is_bundle(folder) and not (_has_program(folder) and util.find_spec("paddle")):
        return _bundle_spec(read_bundle(folder))
    files = find_model_files(folder)
    config = read_inference_config(folder / CONFIG_NAME)
    interface = read_interface(files.program)
    network_hw, max_batch_size = _check_inputs(files.program, interface)
    _check_fixed_size(files.program, config, network_hw)
    return ModelSpec(
        model_name=config.model_name,
        model_dir=folder,
        files=files,
        inputs=interface.inputs,
        preprocess=config.preprocess,
        labels=config.labels,
        score_threshold=config.score_threshold,
        outputs=_resolve_outputs(files.program, interface.outputs),
        network_hw=network_hw,
        max_batch_size=max_batch_size,
        parameters=interface.parameters,
    )


def _has_program(folder: Path) -> bool:
    return any((folder / name).is_file() for name in PROGRAM_NAMES)


def _bundle_spec(bundle: Bundle) -> ModelSpec:
    path, manifest = bundle.path, bundle.manifest
    config = parse_inference_config(bundle.config, f"bundle {path}, {CONFIG_NAME}")
    where = path / MANIFEST_NAME
    _check_input_tensors(where, manifest.inputs)
    return ModelSpec(
        model_name=config.model_name,
        model_dir=path,
        files=ModelFiles(bundle.weights.file, bundle.weights.file),
        inputs=manifest.inputs,
        preprocess=config.preprocess,
        labels=config.labels,
        score_threshold=config.score_threshold,
        outputs=_resolve_outputs(where, manifest.outputs),
        network_hw=manifest.network_hw,
        max_batch_size=manifest.max_batch_size,
        bundle=bundle,
    )


def _check_inputs(
    program: Path, interface: ProgramInterface
) -> tuple[tuple[int, int] | None, int | None]:
    """Check all inputs; returns network size and maximum batch size.

    Raises:
        ModelFormatError: an input is not one of the three supported ones.
    """
    batch, _, height, width = _check_input_tensors(program, interface.inputs).dims
    network_hw = (height, width) if height > 0 and width > 0 else None
    if interface.reads_first_image_only or interface.uses_batch_statistics or interface.loops:
        return network_hw, 1
    return network_hw, batch if batch > 0 else None


def _check_input_tensors(program: Path, inputs: Sequence[ProgramTensor]) -> ProgramTensor:
    """Check names and types of all inputs; returns the one of the image."""
    by_name = {tensor.name: tensor for tensor in inputs}
    accepted = (
        set(by_name) in _INPUT_SETS
        and all(tensor.dtype == "float32" for tensor in inputs)
        and len(by_name["image"].dims) == 4
        and by_name["image"].dims[1] == 3
        and all(len(tensor.dims) == 2 for name, tensor in by_name.items() if name != "image")
    )
    if not accepted:
        raise ModelFormatError(
            f"{program}: expected the inputs image: float32[B, 3, H, W], and optionally im_shape "
            "and scale_factor: float32[B, 2]; received "
            f"{', '.join(map(str, inputs))}. hpip supports PaddleX instance-segmentation "
            "models only."
        )
    return by_name["image"]


_INPUT_SETS: Sequence[set[str]] = (
    {"image"},
    {"image", "im_shape"},
    {"image", "scale_factor"},
    {"image", "im_shape", "scale_factor"},
)


def _check_fixed_size(
    program: Path, config: InferenceConfig, network_hw: tuple[int, int] | None
) -> None:
    """Check that preprocessing to a fixed size matches the network's static input size."""
    resizes = [step for step in config.preprocess.steps if isinstance(step, ResizeStep)]
    if network_hw is None or not resizes or resizes[-1].keep_ratio:
        return
    made_hw = config.preprocess.network_hw((1, 1))
    if made_hw != network_hw:
        raise ModelFormatError(
            f"{program} expects images of {network_hw[0]} x {network_hw[1]} (height x width), but "
            f"Preprocess in {CONFIG_NAME} resizes to {made_hw[0]} x {made_hw[1]}. Use the program "
            "and the configuration of the same export, or export the model again."
        )


def _is_boxes(tensor: ProgramTensor) -> bool:
    return tensor.dtype == "float32" and len(tensor.dims) == 2 and tensor.dims[1] == 6


def _is_masks(tensor: ProgramTensor) -> bool:
    return len(tensor.dims) == 3 and tensor.dtype in ("bool", "uint8", "int32", "int64", "float32")


def _is_integer_vector(tensor: ProgramTensor) -> bool:
    return tensor.dtype in ("int32", "int64") and len(tensor.dims) == 1


def _is_integer_scalar(tensor: ProgramTensor) -> bool:
    # [1] in models exported before Paddle had 0-D tensors.
    return tensor.dtype in ("int32", "int64") and tensor.dims in ((), (1,))


def _is_class_ids(tensor: ProgramTensor) -> bool:
    return _is_integer_vector(tensor) and not _is_integer_scalar(tensor)


def _is_scores(tensor: ProgramTensor) -> bool:
    return tensor.dtype == "float32" and len(tensor.dims) == 1


_Rules: TypeAlias = Mapping[str, Callable[[ProgramTensor], bool]]
_BOX_RULES: _Rules = {"boxes": _is_boxes, "counts": _is_integer_vector, "masks": _is_masks}
_CLASS_RULES: _Rules = {
    "count": _is_integer_scalar,
    "class_ids": _is_class_ids,
    "scores": _is_scores,
    "masks": _is_masks,
}


def _resolve_outputs(program: Path, outputs: Sequence[ProgramTensor]) -> ModelOutputs:
    """Assign roles to outputs by number, dtype and rank; names and order are ignored."""
    if roles := _match_roles(_BOX_RULES, outputs):
        return BoxOutputs(**roles)
    if roles := _match_roles(_CLASS_RULES, outputs):
        return ClassOutputs(**roles)
    raise ModelFormatError(
        f"{program}: expected the outputs of an instance-segmentation model, either boxes "
        "float32[N, 6], counts int32[B] and masks [N, H, W], or count int64[], class ids int64[N], "
        f"scores float32[N] and masks uint8[N, H, W]; received {', '.join(map(str, outputs))}. "
        "Use the inference export of such a model."
    )


def _match_roles(rules: _Rules, outputs: Sequence[ProgramTensor]) -> dict[str, ProgramTensor]:
    """Role -> output if each role matches exactly one output and none remains, else empty."""
    fitting = {role: [tensor for tensor in outputs if fits(tensor)] for role, fits in rules.items()}
    if len(outputs) != len(rules) or any(len(tensors) != 1 for tensors in fitting.values()):
        return {}
    return {role: tensors[0] for role, tensors in fitting.items()}
