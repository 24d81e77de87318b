# SPDX-License-Identifier: Apache-2.0
"""What tuning remembers about one request, in the cache that all processes share."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import hpip
from hpip.graph.cache import Cache, content_key
from hpip.graph.onnx_version import EXPORTER_VERSION
from hpip.runner import Engine
from hpip.tuning.candidates import Request, candidates, machine_name, versions
from hpip.tuning.check import fingerprint
from hpip.tuning.records import (
    Trial,
    Verdict,
    label,
    to_json,
    trial_from_json,
    verdict_from_json,
)

logger = logging.getLogger(__name__)

# Raise when trials are made or judged in another way.
_VERSION = "2"
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
    """

    def __init__(self, cache: Cache, request: Request, program_key: str, *, quick: bool) -> None:
        self._cache = cache
        self._name = request.spec.model_dir.name
        self._place = content_key(
            _VERSION,
            hpip.__version__,
            f"exporter {EXPORTER_VERSION}",
            json.dumps(versions()),
            machine_name(request.device),
            program_key,
            fingerprint(request.spec.files.params),
            "quick" if quick else "full",
        )
        asked = (
            str(request.device),
            request.threads,
            request.precision,
            request.backend,
            dict(request.settings),
            request.may_convert,
            [to_json(engine) for engine in candidates(request)],
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
