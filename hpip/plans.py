# SPDX-License-Identifier: Apache-2.0
"""How a model is run: which program, what it is fed beside the images, what its outputs mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from hpip.model import MASK_FOREGROUND_ABOVE, BoxOutputs, ModelSpec
from hpip.model_files.program_io import read_interface
from hpip.postprocess import (
    Instances,
    Selection,
    instances_from_boxes,
    instances_from_classes,
    instances_from_unpasted,
    split_batch,
)
from hpip.types import AnyArray, MaskSource, ModelFiles
from hpip.unpasted import split_unpasted


class Plan(ABC):
    """One way to run a model; has no state, so that threads may share it.

    Attributes:
        files: what the engine loads.
        max_batch_size: images that one run may take; None for any number.
        summary: what runs, for people.
    """

    files: ModelFiles
    max_batch_size: int | None
    summary: str

    def feeds(self, inputs: Mapping[str, AnyArray], selection: Selection) -> dict[str, AnyArray]:
        """Everything that the program may be fed, by name."""
        return dict(inputs)

    @abstractmethod
    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        selection: Selection,
        *,
        threads: int,
    ) -> list[Instances]:
        """The kept instances of each image.

        Args:
            outputs: what the program returned, in its order.
            inputs: what `network_inputs` made.
            image_sizes_hw: of the original images.
            selection: what to keep.
            threads: CPU threads of the kernels.
        """


class UntouchedPlan(Plan):
    """The export as it is: the reference for every answer."""

    summary = "the untouched program"

    def __init__(self, spec: ModelSpec) -> None:
        self.files = spec.files
        self.max_batch_size = spec.max_batch_size
        self._roles = spec.outputs

    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        selection: Selection,
        *,
        threads: int,
    ) -> list[Instances]:
        """See `Plan.collect`."""
        roles = self._roles
        if isinstance(roles, BoxOutputs):
            parts = split_batch(
                [outputs[role.index] for role in (roles.boxes, roles.counts, roles.masks)]
            )
            return [
                instances_from_boxes(
                    boxes,
                    masks,
                    image_hw,
                    selection,
                    mask_threshold=MASK_FOREGROUND_ABOVE,
                    threads=threads,
                )
                for (boxes, masks), image_hw in zip(parts, image_sizes_hw, strict=True)
            ]
        class_ids, scores, masks = (
            outputs[role.index] for role in (roles.class_ids, roles.scores, roles.masks)
        )
        # The export divides both sides by the vertical scale factor: masks may be a pixel too wide.
        ((height, width),) = image_sizes_hw
        return [
            instances_from_classes(
                class_ids,
                scores,
                masks[:, :height, :width],
                selection,
                mask_threshold=MASK_FOREGROUND_ABOVE,
                threads=threads,
            )
        ]


class CutPlan(Plan):
    """The program without its mask tail; what it leaves is done natively for kept instances."""

    summary = "the cut program"

    def __init__(
        self, files: ModelFiles, masks: MaskSource, threshold_input: str | None = None
    ) -> None:
        self.files = files
        interface = read_interface(files.program)
        takes_many = not interface.reads_first_image_only and masks.boxes_frame != "none"
        self.max_batch_size = None if takes_many else 1
        self._masks = masks
        self._output_names = [tensor.name for tensor in interface.outputs]
        self._threshold_input = threshold_input

    def feeds(self, inputs: Mapping[str, AnyArray], selection: Selection) -> dict[str, AnyArray]:
        """Everything that the program may be fed, by name."""
        feeds = dict(inputs)
        if self._threshold_input is not None:
            feeds[self._threshold_input] = np.array([selection.score_threshold], np.float32)
        return feeds

    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        selection: Selection,
        *,
        threads: int,
    ) -> list[Instances]:
        """See `Plan.collect`."""
        named = dict(zip(self._output_names, outputs, strict=True))
        pictures = split_unpasted(self._masks, named, inputs["im_shape"], inputs["scale_factor"])
        return [
            instances_from_unpasted(picture, image_hw, selection, threads=threads)
            for picture, image_hw in zip(pictures, image_sizes_hw, strict=True)
        ]
