# SPDX-License-Identifier: Apache-2.0
"""Stores the tuning results of a request in the cache, which all processes share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hpip._core import __version__
from hpip.common.cache import Cache, content_key
from hpip.common.digest import file_digest
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.candidates import (
    TuningRequest,
    candidates,
    machine_name,
    needs_calibration,
    versions,
)
from hpip.inference.tuning.records import (
    Trial,
    Verdict,
    label,
    to_json,
    trial_from_json,
    verdict_from_json,
)

logger = logging.getLogger(__name__)

# Increment when trials or their validation change.
_VERSION = "9"
Record = TypeVar("Record")


class VerdictStore:
    """Loads and saves the verdict and the trials of one request.

    Both are valid for one model, the present versions of hpip and of the engines, and this machine;
    a trial also for the images that it ran.

    Args:
        cache: where they are stored.
        request: the model and the caller's options.
        program_key: cache key of the graph that engines run.
        quick: True separates results of budget 0, which are not timed well, from others.
        calibration: key of the calibration images for int8; None for those of the last calibration
            of this model.

    Attributes:
        key: cache key of the verdict.
        engines: the candidates for the request; int8 engines have their calibration.
    """

    def __init__(
        self,
        cache: Cache,
        request: TuningRequest,
        program_key: str,
        *,
        quick: bool,
        calibration: str | None = None,
    ) -> None:
        self._cache = cache
        self._name = request.spec.model_dir.name
        self._weights = request.spec.files.params
        self._digest = file_digest(self._weights, cache=cache)
        self._model = content_key(
            _VERSION,
            __version__,
            f"exporter {EXPORTER_VERSION}",
            json.dumps(versions()),
            machine_name(request.device),
            repr(request.spec.preprocess),
            program_key,
            self._digest,
        )
        self._place = content_key(self._model, "quick" if quick else "full")
        self.engines = [
            self._with_calibration(engine, calibration) for engine in candidates(request)
        ]
        asked = (
            str(request.device),
            request.threads,
            request.precision,
            request.backend,
            dict(request.settings),
            request.may_convert,
            [to_json(engine) for engine in self.engines],
        )
        described = json.dumps(asked, sort_keys=True, default=str)
        self.key = content_key("verdict", self._place, described)

    def verdict(self) -> Verdict | None:
        """Load the verdict; None if there is none."""
        return self._load(self.key, "verdict", verdict_from_json)

    def save_verdict(self, verdict: Verdict) -> None:
        """Save the verdict, and replace an earlier one.

        As with trials, nothing is saved if the weights have changed meanwhile: engines may have run
        the old ones or the new ones.
        """
        self._save(self.key, f"{self._name}, engine", {"verdict": to_json(verdict)})

    def trial(self, engine: Engine, images: str) -> Trial | None:
        """Load the trial of an engine on the images with this digest; None if there is none."""
        return self._load(self._trial_key(engine, images), "trial", trial_from_json)

    def save_trial(self, trial: Trial, images: str) -> None:
        """Save the trial, and replace an earlier one."""
        title = f"{self._name}, trial of {label(trial.engine)}"
        self._save(self._trial_key(trial.engine, images), title, {"trial": to_json(trial)})

    def calibrated(self, engine: Engine) -> Trial | None:
        """Load the last int8 trial of the engine's backend on calibration images of the user."""
        return self._load(self._calibrated_key(engine), "trial", trial_from_json)

    def save_calibrated(self, trial: Trial) -> None:
        """Save an int8 trial for all requests for this model, and replace an earlier one."""
        title = f"{self._name}, calibration of {label(trial.engine)}"
        self._save(self._calibrated_key(trial.engine), title, {"trial": to_json(trial)})

    def _with_calibration(self, engine: Engine, calibration: str | None) -> Engine:
        if not needs_calibration(engine):
            return engine
        if calibration is None:
            earlier = self.calibrated(engine)
            calibration = "" if earlier is None else earlier.engine.calibration
        return replace(engine, calibration=calibration)

    def _calibrated_key(self, engine: Engine) -> str:
        settings = json.dumps(dict(engine.settings), sort_keys=True, default=str)
        return content_key("calibrated", self._model, engine.backend, str(engine.device), settings)

    def _trial_key(self, engine: Engine, images: str) -> str:
        described = json.dumps(to_json(engine), sort_keys=True, default=str)
        return content_key("trial", self._place, described, images)

    def _load(
        self, key: str, name: str, read: Callable[[Mapping[str, Any]], Record]
    ) -> Record | None:
        loaded = self._cache.load(key)
        if loaded is None:
            return None
        try:
            return read(loaded[1][name])
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("ignoring a cached %s of another version of hpip: %s", name, error)
            self._cache.discard(key)
            return None

    def _save(self, key: str, title: str, record: Mapping[str, Any]) -> None:
        if file_digest(self._weights, cache=self._cache) != self._digest:
            logger.warning("%s changed during tuning; hpip tunes the model again", self._weights)
            return
        self._cache.discard(key)
        self._cache.store(key, {"title": title, **record}, {})
