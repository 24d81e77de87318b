# SPDX-License-Identifier: Apache-2.0
"""Plans: how to run a model with its original graph or with the truncated one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hpip.backends.base import Session
from hpip.graph.compile import CompiledModel
from hpip.graph.interface import read_interface
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.inference.execution.mask_postprocess import split_by_image
from hpip.inference.execution.plan_session import PlanSession
from hpip.inference.execution.postprocess import (
    InstanceFilter,
    Instances,
    instances_from_boxes,
    instances_from_classes,
    instances_from_low_resolution,
    split_batch,
)
from hpip.model.spec import MASK_FOREGROUND_ABOVE, BoxOutputs, ModelSpec
from hpip.types import AnyArray, PlanStep, Segment


class Plan(ABC):
    """One way to run a model. Plans are immutable, so threads may share them.

    Attributes:
        steps: graph segments, which engines run, and native steps between them, in order.
        outputs: names of the values that `collect` takes.
        max_batch_size: maximum number of images per run; None for no maximum.
        summary: the graph in words, for reports.
    """

    steps: tuple[PlanStep, ...]
    outputs: tuple[str, ...]
    max_batch_size: int | None
    summary: str

    def open(self, open_segment: Callable[[Segment], Session], *, threads: int) -> Session:
        """Open a session that runs all steps.

        Args:
            open_segment: opens a segment on its engine.
            threads: CPU threads of the native steps.

        Raises:
            BackendUnavailableError: an engine or the device is not available.
            BackendError: an engine can't load a segment.
        """
        return PlanSession(self.steps, self.outputs, open_segment, threads=threads)

    def feeds(
        self, inputs: Mapping[str, AnyArray], instance_filter: InstanceFilter
    ) -> dict[str, AnyArray]:
        """All arrays that the graph may take as inputs, by name."""
        return dict(inputs)

    @abstractmethod
    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        instance_filter: InstanceFilter,
        *,
        threads: int,
    ) -> list[Instances]:
        """Convert the outputs to the instances of each image that pass the filter.

        Args:
            outputs: the outputs of a run, in the order of `Plan.outputs`.
            inputs: the inputs of the run, as `network_inputs` returns them.
            image_sizes_hw: sizes of the original images.
            instance_filter: which instances to return.
            threads: CPU threads of the kernels.

        Raises:
            BackendError: the engine returned outputs that contradict each other.
        """


class OriginalPlan(Plan):
    """Runs the original graph of the exported model, the reference for validation."""

    summary = "original graph"

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
        instance_filter: InstanceFilter,
        *,
        threads: int,
    ) -> list[Instances]:
        """Convert the outputs to instances; see `Plan.collect`."""
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
                    instance_filter,
                    mask_threshold=MASK_FOREGROUND_ABOVE,
                    threads=threads,
                )
                for (boxes, masks), image_hw in zip(parts, image_sizes_hw, strict=True)
            ]
        class_ids, scores, masks = (
            outputs[role.index] for role in (roles.class_ids, roles.scores, roles.masks)
        )
        # The model divides both sides by the vertical scale, so masks may be a pixel too wide.
        ((height, width),) = image_sizes_hw
        return [
            instances_from_classes(
                class_ids,
                scores,
                masks[:, :height, :width],
                instance_filter,
                mask_threshold=MASK_FOREGROUND_ABOVE,
                threads=threads,
            )
        ]


class TruncatedPlan(Plan):
    """Runs the truncated graph.

    hpip removes the mask head's full-image resize from the graph, and finishes the masks natively,
    only for instances that pass the filter.
    """

    def __init__(self, compiled: CompiledModel) -> None:
        """Raise ValueError if the compiler did not truncate the graph."""
        if compiled.masks is None:
            raise ValueError(f"the graph is not truncated: {compiled.reason}")
        self.steps = compiled.plan
        self.outputs = compiled.outputs
        self.max_batch_size = compiled.max_batch_size
        self._masks = compiled.masks
        segments = sum(isinstance(step, Segment) for step in self.steps)
        self.summary = (
            "truncated graph" if segments == 1 else f"truncated graph in {segments} segments"
        )

    def feeds(
        self, inputs: Mapping[str, AnyArray], instance_filter: InstanceFilter
    ) -> dict[str, AnyArray]:
        """All arrays that the graph may take as inputs, by name."""
        threshold = np.array([instance_filter.score_threshold], np.float32)
        return {**inputs, SCORE_THRESHOLD: threshold}

    def collect(
        self,
        outputs: Sequence[AnyArray],
        inputs: Mapping[str, AnyArray],
        image_sizes_hw: Sequence[tuple[int, int]],
        instance_filter: InstanceFilter,
        *,
        threads: int,
    ) -> list[Instances]:
        """Convert the outputs to instances; see `Plan.collect`."""
        named = dict(zip(self.outputs, outputs, strict=True))
        split = split_by_image(self._masks, named, inputs["im_shape"], inputs["scale_factor"])
        return [
            instances_from_low_resolution(instances, image_hw, instance_filter, threads=threads)
            for instances, image_hw in zip(split, image_sizes_hw, strict=True)
        ]
