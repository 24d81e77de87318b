# SPDX-License-Identifier: Apache-2.0
"""What tuning remembers about one request, in the cache that all processes share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hpip._core import __version__
from hpip.common.cache import Cache, content_key
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.candidates import (
    Request,
    candidates,
    machine_name,
    needs_calibration,
    versions,
)
from hpip.inference.tuning.cut_check import fingerprint
from hpip.inference.tuning.records import (
    Trial,
    Verdict,
    label,
    to_json,
    trial_from_json,
    verdict_from_json,
)

logger = logging.getLogger(__name__)

# Raise when trials are made or judged in another way.
_VERSION = "7"
Record = TypeVar("Record")


class Memory:
    """Verdict and trials of one request.

    Both hold for this model, these versions of hpip and of the engines, and this machine; a trial
    also for the pictures that it was made on.

    Args:
        cache: where they are kept.
        request: what is asked for.
        program_key: names the program that engines are given.
        quick: keep what a budget of 0 found apart from what was measured properly.
        calibration: names the pictures that int8 is to be made from; None takes those that were
            given before, to whatever request for this model.

    Attributes:
        engines: the request's candidates, those in int8 with their calibration.
    """

    def __init__(
        self,
        cache: Cache,
        request: Request,
        program_key: str,
        *,
        quick: bool,
        calibration: str | None = None,
    ) -> None:
        self._cache = cache
        self._name = request.spec.model_dir.name
        self._model = content_key(
            _VERSION,
            __version__,
            f"exporter {EXPORTER_VERSION}",
            json.dumps(versions()),
            machine_name(request.device),
            program_key,
            fingerprint(request.spec.files.params),
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
        """The remembered verdict."""
        return self._load(self.key, "verdict", verdict_from_json)

    def keep_verdict(self, verdict: Verdict) -> None:
        """Remember it in place of an earlier one."""
        self._keep(self.key, f"{self._name}, engine", {"verdict": to_json(verdict)})

    def trial(self, engine: Engine, pictures: str) -> Trial | None:
        """The remembered trial of an engine on the pictures of that digest."""
        return self._load(self._trial_key(engine, pictures), "trial", trial_from_json)

    def keep_trial(self, trial: Trial, pictures: str) -> None:
        """Remember it in place of an earlier one."""
        title = f"{self._name}, trial of {label(trial.engine)}"
        self._keep(self._trial_key(trial.engine, pictures), title, {"trial": to_json(trial)})

    def calibrated(self, engine: Engine) -> Trial | None:
        """The last trial of the engine's backend in int8 on pictures that were given for it."""
        return self._load(self._calibrated_key(engine), "trial", trial_from_json)

    def keep_calibrated(self, trial: Trial) -> None:
        """Remember it in place of an earlier one, for all requests for this model."""
        title = f"{self._name}, calibration of {label(trial.engine)}"
        self._keep(self._calibrated_key(trial.engine), title, {"trial": to_json(trial)})

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

    def _trial_key(self, engine: Engine, pictures: str) -> str:
        described = json.dumps(to_json(engine), sort_keys=True, default=str)
        return content_key("trial", self._place, described, pictures)

    def _load(
        self, key: str, name: str, read: Callable[[Mapping[str, Any]], Record]
    ) -> Record | None:
        loaded = self._cache.load(key)
        if loaded is None:
            return None
        try:
            return read(loaded[1][name])
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("a %s in the cache is of another version: %s", name, error)
            self._cache.discard(key)
            return None

    def _keep(self, key: str, title: str, record: Mapping[str, Any]) -> None:
        self._cache.discard(key)
        self._cache.store(key, {"title": title, **record}, {})
