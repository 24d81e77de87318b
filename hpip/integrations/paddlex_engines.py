# SPDX-License-Identifier: Apache-2.0
"""Registers hpip as an engine of PaddleX 3.5 to 3.7.

`install` uses PaddleX's registries of engines and bindings. It also wraps two functions of
`paddlex.inference.models`: the one that maps `use_hpip=True` to an engine, and the one that selects
the engine's configuration. The function that `install` returns restores both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paddlex.inference import models
from paddlex.inference.models.bindings import (
    create_binding_registration,
    default_registry,
    register_predictor_binding_map,
    try_get_binding,
)
from paddlex.inference.models.engines import InferenceEngine
from paddlex.inference.models.engines.hpi import HPIEngine
from paddlex.inference.models.instance_segmentation.predictor import InstanceSegRunnerPredictor
from paddlex.inference.models.object_detection.processors import ReadImage
from paddlex.inference.models.runners import InferenceRunner

from hpip.errors import HpipError
from hpip.inference.predictor import Predictor
from hpip.integrations.paddlex_segment import (
    DEMO_MODEL_NAME,
    SegmentationResult,
    UnsupportedModelError,
    may_tune,
    named_engine,
    open_predictor,
    process_batch,
    static_program,
)
from hpip.integrations.static_program import EngineRun, TunedRun

logger = logging.getLogger(__name__)

_NAME = "hpip"
_PLAIN = "paddle_static"
_PLUGIN = "hpi"


class SegmentationRunner(InferenceRunner):  # type: ignore[misc]
    """Runs a whole model on hpip: from batches of images to the fields of PaddleX's results."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._read = ReadImage(format="BGR")

    def __call__(self, x: Any = None, *, threshold: float | None = None) -> dict[str, list[Any]]:
        """Segment one batch of PaddleX's batch sampler."""
        return process_batch(self.predictor, self._read, x, threshold)

    def close(self) -> None:
        """Free the engine's memory."""
        self.predictor.close()


class StaticRunner(InferenceRunner):  # type: ignore[misc]
    """Runs any other static program; its inputs are arrays, sorted by the names of the inputs."""

    def __init__(self, run: EngineRun | TunedRun, plain: Any = None) -> None:
        self.run = run
        self._plain = plain

    def __call__(self, x: Any = None, **_: Any) -> Sequence[Any]:
        """Run the program once."""
        return self.run(x)

    def close(self) -> None:
        """Free the engines' memory."""
        self.run.close()
        if self._plain is not None:
            self._plain.close()


class SegmentationRunnerPredictor(InstanceSegRunnerPredictor):  # type: ignore[misc]
    """PaddleX's predictor; hpip replaces its preprocessing, network and postprocessing."""

    def _get_result_class(self) -> type:
        return SegmentationResult

    def process(self, batch_data: Any, threshold: float | None = None) -> dict[str, list[Any]]:
        """Segment one batch."""
        threshold = self.threshold if threshold is None else threshold
        if isinstance(self.runner, SegmentationRunner):
            fields: dict[str, list[Any]] = self.runner(batch_data, threshold=threshold)
        else:
            fields = super().process(batch_data, threshold=threshold)
        return fields


class HpipEngine(HPIEngine):  # type: ignore[misc]
    """The engine "hpip"; accepts the configuration of PaddleX's plug-in, but does not need it."""

    entities = _NAME

    @property
    def name(self) -> str:
        """Name of the engine."""
        return _NAME

    def get_supported_model_formats(self) -> tuple[str, ...]:
        """The supported format: Paddle's static programs."""
        return ("paddle",)

    def ensure_environment(self) -> None:
        """Raise PaddleX's error if Paddle is not installed."""
        _plain_engine().ensure_environment()

    def get_default_runner_builder(self) -> Callable[..., Any]:
        """The function that builds runners for models of other tasks."""
        return _build_static_runner

    def validate_runner(self, runner: Any) -> None:
        """Accept every runner that hpip's builders return.

        Raises:
            TypeError: `runner` is not an `InferenceRunner`.
        """
        if not isinstance(runner, InferenceRunner):
            raise TypeError(f"runner: expected InferenceRunner; received {type(runner).__name__}")


def install(*, take_over: bool) -> Callable[[], None]:
    """Register the engine "hpip" in PaddleX.

    Args:
        take_over: also use it for `use_hpip=True`.

    Returns:
        A function that undoes all changes to PaddleX.
    """
    resolve, select = models._resolve_effective_engine, models._select_engine_config_source
    InferenceEngine.all()[_NAME] = HpipEngine
    _register_models()
    models._select_engine_config_source = _wrap_select(select)
    if take_over:
        models._resolve_effective_engine = _wrap_resolve(resolve)
    _forget_known_engines()

    def undo() -> None:
        models._resolve_effective_engine = resolve
        models._select_engine_config_source = select
        # PaddleX has no function that removes a binding.
        for engines in default_registry._registry.values():
            engines.pop(_NAME, None)
        default_registry._registry.pop(DEMO_MODEL_NAME, None)
        InferenceEngine.all().pop(_NAME, None)
        _forget_known_engines()

    return undo


def _register_models() -> None:
    """Bind every model of plain Paddle to hpip too, and register the demo model."""
    register_predictor_binding_map(InstanceSegRunnerPredictor, {_PLAIN: DEMO_MODEL_NAME})
    for model_name in list(default_registry._registry):
        plain = try_get_binding(model_name, _PLAIN)
        if plain is None:
            continue
        if issubclass(plain.predictor, InstanceSegRunnerPredictor):
            registration = create_binding_registration(
                model_name, runner_builder=_build_segmentation_runner
            )
            register_predictor_binding_map(SegmentationRunnerPredictor, {_NAME: registration})
        else:
            register_predictor_binding_map(plain.predictor, {_NAME: model_name})


def _forget_known_engines() -> None:
    models._get_inference_engine.cache_clear()
    models._engine_config_bucket_key_allowlist.cache_clear()


def _wrap_resolve(original: Callable[..., str]) -> Callable[..., str]:
    def resolve(model_name: str, engine: str | None, use_hpip: bool, genai_config: Any) -> str:
        """PaddleX's choice; hpip replaces its plug-in if hpip can run the model."""
        chosen = original(model_name, engine, use_hpip, genai_config)
        if chosen != _PLUGIN:
            return chosen
        if try_get_binding(model_name, _NAME) is not None:
            return _NAME
        if engine is not None:
            return chosen
        logger.info("%s has no static Paddle program: use_hpip has no effect", model_name)
        return original(model_name, None, False, genai_config)

    return resolve


def _wrap_select(original: Callable[..., Any]) -> Callable[..., Any]:
    def select(*, engine: str, engine_config: Any, **others: Any) -> Any:
        """PaddleX's choice of the configuration; hpip uses the one of its plug-in."""
        if engine != _NAME:
            return original(engine=engine, engine_config=engine_config, **others)
        chosen = original(engine=_PLUGIN, engine_config=engine_config, **others)
        # A mapping from engines to configurations: use the plug-in's for hpip.
        if isinstance(chosen, dict) and _PLUGIN in chosen and _NAME not in chosen:
            return {**chosen, _NAME: chosen[_PLUGIN]}
        return chosen

    return select


def _build_segmentation_runner(
    *, model_name: str, model_dir: Path, engine_config: dict[str, Any], **others: Any
) -> Any:
    """The whole model on hpip, or PaddleX's own runner if hpip does not support the model."""
    try:
        return SegmentationRunner(open_predictor(model_dir, engine_config))
    except UnsupportedModelError as error:
        logger.warning("%s runs on plain Paddle, as without use_hpip: %s", model_name, error)
        return _build_plain_runner(
            model_name=model_name, model_dir=model_dir, engine_config=engine_config, **others
        )


def _build_static_runner(
    *, model_name: str, model_dir: Path, engine_config: dict[str, Any], **others: Any
) -> Any:
    """The requested engine; by default PaddleX's own runner, or a faster engine if there is one."""
    engine = named_engine(engine_config)
    if engine is not None:
        return StaticRunner(EngineRun(static_program(model_name, model_dir, engine_config), engine))
    plain = _build_plain_runner(
        model_name=model_name, model_dir=model_dir, engine_config=engine_config, **others
    )
    if not may_tune(engine_config):
        return plain
    try:
        run = TunedRun(static_program(model_name, model_dir, engine_config), plain)
    except HpipError as error:
        logger.warning("%s runs on plain Paddle, as without use_hpip: %s", model_name, error)
        return plain
    return StaticRunner(run, plain)


def _build_plain_runner(
    *,
    model_name: str,
    model_dir: Path,
    model_config: dict[str, Any] | None,
    engine_config: dict[str, Any],
    **_: Any,
) -> Any:
    """PaddleX's own runner, configured as without `use_hpip`: the baseline and the fallback."""
    plain = _plain_engine()
    device = {key: engine_config.get(key) for key in ("device_type", "device_id")}
    options = {**device, **(engine_config.get("backend_config") or {})}
    return plain.build_runner(
        model_name=model_name,
        model_dir=model_dir,
        model_config=model_config,
        engine_config=plain.normalize_config(options, model_name=model_name),
        binding=try_get_binding(model_name, _PLAIN),
    )


def _plain_engine() -> Any:
    return InferenceEngine.get(_PLAIN)()
