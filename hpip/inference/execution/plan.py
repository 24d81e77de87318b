# SPDX-License-Identifier: Apache-2.0
"""How a model is run: which program, what it is fed beside the images, what its outputs mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hpip.backends.base import Session
from hpip.graph.compile import CompiledModel
from hpip.graph.interface import read_interface
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.inference.execution.mask_postprocess import split_unpasted
from hpip.inference.execution.plan_session import PlanSession
from hpip.inference.execution.postprocess import (
    Instances,
    Selection,
    instances_from_boxes,
    instances_from_classes,
    instances_from_unpasted,
    split_batch,
)
from hpip.model.spec import MASK_FOREGROUND_ABOVE, BoxOutputs, ModelSpec
from hpip.types import AnyArray, PlanStep, Segment


class Plan(ABC):
    """One way to run a model; has no state, so that threads may share it.

    Attributes:
        steps: segments for engines and native steps between them, in order.
        outputs: names of the values that `collect` takes.
        max_batch_size: images that one run may take; None for any number.
        summary: what runs, for people.
    """

    steps: tuple[PlanStep, ...]
    outputs: tuple[str, ...]
    max_batch_size: int | None
    summary: str

    def open(self, open_segment: Callable[[Segment], Session], *, threads: int) -> Session:
        """A session that runs all steps.

        Args:
            open_segment: opens a segment on the engine that is to run it.
            threads: CPU threads of the native steps.

        Raises:
            BackendUnavailableError: an engine or the device is not here.
            BackendError: an engine refused a segment.
        """
        return PlanSession(self.steps, self.outputs, open_segment, threads=threads)

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
        interface = read_interface(spec.files.program)
        self.outputs = tuple(tensor.name for tensor in interface.outputs)
        inputs = tuple(tensor.name for tensor in interface.inputs)
        self.steps = (Segment("export", spec.files, inputs, self.outputs),)
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

    def __init__(self, compiled: CompiledModel) -> None:
        """Raise ValueError for a model that nothing could be cut from."""
        if compiled.masks is None:
            raise ValueError(f"nothing is cut: {compiled.reason}")
        self.steps = compiled.plan
        self.outputs = compiled.outputs
        self.max_batch_size = compiled.max_batch_size
        self._masks = compiled.masks
        segments = sum(isinstance(step, Segment) for step in self.steps)
        self.summary = (
            "the cut program" if segments == 1 else f"the cut program in {segments} segments"
        )

    def feeds(self, inputs: Mapping[str, AnyArray], selection: Selection) -> dict[str, AnyArray]:
        """Everything that the program may be fed, by name."""
        threshold = np.array([selection.score_threshold], np.float32)
        return {**inputs, SCORE_THRESHOLD: threshold}

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
        named = dict(zip(self.outputs, outputs, strict=True))
        pictures = split_unpasted(self._masks, named, inputs["im_shape"], inputs["scale_factor"])
        return [
            instances_from_unpasted(picture, image_hw, selection, threads=threads)
            for picture, image_hw in zip(pictures, image_sizes_hw, strict=True)
        ]
