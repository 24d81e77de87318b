# SPDX-License-Identifier: Apache-2.0
"""Adds hpip to PaddleX 3.0 to 3.4.

These versions have one registry, which maps model names to predictor classes, and create every
model through its lookup `BasePredictor.get`. `install` wraps this lookup, and returns a function
that restores it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from paddlex.inference.models import BasePredictor
from paddlex.inference.models.instance_segmentation.predictor import InstanceSegPredictor
from paddlex.inference.models.object_detection.processors import ReadImage
from paddlex.inference.utils.pp_option import PaddlePredictorOption

from hpip.errors import BackendUnavailableError
from hpip.inference.predictor import Predictor
from hpip.integrations.paddlex_segment import (
    DEMO_MODEL_NAME,
    SegmentationResult,
    UnsupportedModelError,
    open_predictor,
    process_batch,
)

logger = logging.getLogger(__name__)

_NAME = "hpip"


class SegmentationPredictor(InstanceSegPredictor):  # type: ignore[misc]
    """PaddleX's predictor; hpip replaces its preprocessing, network and postprocessing."""

    # Empty, so that this class does not replace PaddleX's own predictor in the registry.
    entities: ClassVar[list[str]] = []

    def __init__(
        self, *args: Any, device: str | None = None, hpi_config: Any = None, **others: Any
    ) -> None:
        self._request = (hpi_config, device)
        super().__init__(*args, device=device, use_hpip=False, **others)
        self._read = ReadImage(format="BGR")

    @property
    def use_hpip(self) -> bool:
        """Always True."""
        return True

    def _get_result_class(self) -> type:
        return SegmentationResult

    def create_static_infer(self) -> Any:
        """Open the model with hpip, or with plain Paddle if hpip does not support it."""
        self._hpi_config = self._prepare_hpi_config(*self._request)
        config = self._hpi_config.model_dump(exclude_none=True)
        try:
            return open_predictor(self.model_dir, config)
        except UnsupportedModelError as error:
            logger.warning(
                "%s runs on plain Paddle, as without use_hpip: %s", self.model_name, error
            )
            return super().create_static_infer()

    def process(self, batch_data: Any, threshold: float | None = None) -> dict[str, list[Any]]:
        """Segment one batch."""
        threshold = self.threshold if threshold is None else threshold
        if isinstance(self.infer, Predictor):
            return process_batch(self.infer, self._read, batch_data, threshold)
        fields: dict[str, list[Any]] = super().process(batch_data, threshold=threshold)
        return fields

    def close(self) -> None:
        """Free the engine's memory."""
        if isinstance(self.infer, Predictor):
            self.infer.close()


def install(*, take_over: bool) -> Callable[[], None]:
    """Make hpip available as `engine="hpip"`.

    Args:
        take_over: also use it for `use_hpip=True`.

    Returns:
        A function that undoes all changes to PaddleX.
    """

    def get(cls: Any, name: str) -> Callable[..., Any]:
        return partial(_create, type(cls).get(cls, name), take_over)

    BasePredictor.all()[DEMO_MODEL_NAME] = InstanceSegPredictor
    BasePredictor.get = classmethod(get)

    def undo() -> None:
        # Restores the lookup that `BasePredictor` inherits from its metaclass.
        del BasePredictor.get
        BasePredictor.all().pop(DEMO_MODEL_NAME, None)

    return undo


def _create(
    predictor_class: Any,
    take_over: bool,
    *args: Any,
    engine: str | None = None,
    use_hpip: bool = False,
    hpi_config: Any = None,
    **others: Any,
) -> Any:
    if engine not in (None, _NAME):
        raise BackendUnavailableError(
            engine,
            'PaddleX 3.0 to 3.4 does not support the argument `engine`, except "hpip".',
            "Remove `engine`, or install PaddleX 3.5 or later.",
        )
    if engine != _NAME and not (use_hpip and take_over):
        return predictor_class(*args, use_hpip=use_hpip, hpi_config=hpi_config, **others)
    if issubclass(predictor_class, InstanceSegPredictor):
        return SegmentationPredictor(*args, hpi_config=hpi_config, **others)
    options = _plain_options(others.pop("pp_option", None), hpi_config)
    return predictor_class(*args, use_hpip=False, pp_option=options, **others)


def _plain_options(pp_option: Any, hpi_config: Any) -> Any:
    """PaddleX's options for plain Paddle, updated with `backend_config`."""
    if hasattr(hpi_config, "model_dump"):
        hpi_config = hpi_config.model_dump(exclude_none=True)
    config: Mapping[str, Any] = hpi_config or {}
    backend = config.get("backend")
    if backend not in (None, "paddle"):
        raise BackendUnavailableError(
            backend,
            "with PaddleX 3.0 to 3.4, hpip supports this engine for instance segmentation only.",
            "Remove `backend` from hpi_config, or install PaddleX 3.5 or later.",
        )
    if not config.get("backend_config"):
        return pp_option
    pp_option = PaddlePredictorOption() if pp_option is None else pp_option
    for key, value in config["backend_config"].items():
        setattr(pp_option, key, value)
    return pp_option
