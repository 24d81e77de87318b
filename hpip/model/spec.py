# SPDX-License-Identifier: Apache-2.0
"""A model directory as a frozen record: files, inputs, preprocessing, labels, roles of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from hpip.errors import InvalidInputError, ModelFormatError
from hpip.graph.interface import ProgramInterface, ProgramTensor, read_interface
from hpip.graph.operation import TensorType
from hpip.graph.params import check_parameters
from hpip.model.files import CONFIG_NAME, find_model_files
from hpip.model.inference_config import InferenceConfig, read_inference_config
from hpip.types import ModelFiles, PreprocessPlan, ResizeStep

# Values of a mask output above this belong to the instance. Every export ends its masks in a
# comparison cast to the output's type, so they are 0 and 1 already; only MaskRCNN also writes -1,
# where a batch's canvas is larger than the instance's own image.
MASK_FOREGROUND_ABOVE = 0.5


@dataclass(frozen=True)
class BoxOutputs:
    """Outputs of Mask-RT-DETR, MaskRCNN, Cascade-MaskRCNN and PP-YOLOE_seg exports.

    Attributes:
        boxes: float32 [N, 6], rows of class id, score, x0, y0, x1, y1 in pixels of the original
            image. A row with class id -1 is a filler.
        counts: int32 [B], rows of `boxes` and `masks` that belong to each image, in order.
        masks: [N, H, W] at the original image's size, int32 or float32.
    """

    boxes: ProgramTensor
    counts: ProgramTensor
    masks: ProgramTensor
    layout: Literal["boxes"] = field(default="boxes", init=False)


@dataclass(frozen=True)
class ClassOutputs:
    """Outputs of a SOLOv2 export, which has no boxes.

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
    """Everything that hpip knows of a model without running it.

    Attributes:
        model_name: name of the architecture, from `inference.yml`.
        model_dir: where the files are.
        files: program and parameters.
        inputs: what the program must be fed, in its order: `image` float32 [B, 3, H, W], and where
            the export wants them `im_shape` (size after Resize) and `scale_factor` (that size over
            the original's), float32 [B, 2] as height, width.
        preprocess: from BGR image to `image`.
        labels: class names by class id.
        score_threshold: what the model's makers draw at.
        outputs: the program's outputs by role.
        network_hw: height and width of `image` where the export fixes them, else None.
        max_batch_size: images that one run may take; None where any number comes out right.
        parameters: types of the weights; None where the program's format does not tell them.
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

    def check_parameters(self) -> None:
        """Check that the parameter file is whole and belongs to the program; reads headers only.

        Raises:
            ModelFormatError: it is truncated, or of another export.
        """
        check_parameters(self.files.params, self.parameters)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in the program's order."""
        return tuple(tensor.name for tensor in self.inputs)

    def label(self, class_id: int) -> str:
        """Name of a class; its number as text where `label_list` is too short.

        Raises:
            InvalidInputError: the id is negative, which exports use for filler rows.
        """
        if class_id < 0:
            raise InvalidInputError(f"class id: expected 0 or more, received {class_id}")
        return self.labels[class_id] if class_id < len(self.labels) else str(class_id)


def load_model_spec(model_dir: str | Path) -> ModelSpec:
    """Read a model directory; no engine is imported.

    Raises:
        ModelFormatError: the directory or a file is missing or damaged, the preprocessing has an
            operator that hpip does not know, or the outputs are of no known family.
    """
    folder = Path(model_dir).expanduser().absolute()
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


def _check_inputs(
    program: Path, interface: ProgramInterface
) -> tuple[tuple[int, int] | None, int | None]:
    """Network size and batch limit, after a look at every input.

    Raises:
        ModelFormatError: an input is not one of the three that hpip can feed.
    """
    by_name = {tensor.name: tensor for tensor in interface.inputs}
    accepted = (
        set(by_name) in _INPUT_SETS
        and all(tensor.dtype == "float32" for tensor in interface.inputs)
        and len(by_name["image"].dims) == 4
        and by_name["image"].dims[1] == 3
        and all(len(tensor.dims) == 2 for name, tensor in by_name.items() if name != "image")
    )
    if not accepted:
        raise ModelFormatError(
            f"{program}: expected the inputs image: float32[B, 3, H, W] and, where the model takes "
            "them, im_shape and scale_factor: float32[B, 2]; received "
            f"{', '.join(map(str, interface.inputs))}. hpip runs PaddleX instance-segmentation "
            "models only."
        )
    batch, _, height, width = by_name["image"].dims
    network_hw = (height, width) if height > 0 and width > 0 else None
    if interface.reads_first_image_only or interface.uses_batch_statistics or interface.loops:
        return network_hw, 1
    return network_hw, batch if batch > 0 else None


_INPUT_SETS: Sequence[set[str]] = (
    {"image"},
    {"image", "im_shape"},
    {"image", "scale_factor"},
    {"image", "im_shape", "scale_factor"},
)


def _check_fixed_size(
    program: Path, config: InferenceConfig, network_hw: tuple[int, int] | None
) -> None:
    """Preprocessing that always gives one size must give the one that the network takes."""
    resizes = [step for step in config.preprocess.steps if isinstance(step, ResizeStep)]
    if network_hw is None or not resizes or resizes[-1].keep_ratio:
        return
    made_hw = config.preprocess.network_hw((1, 1))
    if made_hw != network_hw:
        raise ModelFormatError(
            f"{program} takes images of {network_hw[0]} x {network_hw[1]} (height x width), but "
            f"Preprocess in {CONFIG_NAME} makes {made_hw[0]} x {made_hw[1]}: expected both to be "
            "of the same export. Export the model again."
        )


def _is_boxes(tensor: ProgramTensor) -> bool:
    return tensor.dtype == "float32" and len(tensor.dims) == 2 and tensor.dims[1] == 6


def _is_masks(tensor: ProgramTensor) -> bool:
    return len(tensor.dims) == 3 and tensor.dtype in ("bool", "uint8", "int32", "int64", "float32")


def _is_integer_vector(tensor: ProgramTensor) -> bool:
    return tensor.dtype in ("int32", "int64") and len(tensor.dims) == 1


def _is_integer_scalar(tensor: ProgramTensor) -> bool:
    # Exports from before Paddle had 0-D tensors say [1].
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
    """Give each output its role by count, dtype and rank; names and order are not trusted."""
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
    """Role -> output where each role fits exactly one output and none is left over, else empty."""
    fitting = {role: [tensor for tensor in outputs if fits(tensor)] for role, fits in rules.items()}
    if len(outputs) != len(rules) or any(len(tensors) != 1 for tensors in fitting.values()):
        return {}
    return {role: tensors[0] for role, tensors in fitting.items()}
