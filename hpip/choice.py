# SPDX-License-Identifier: Apache-2.0
"""Which plan a predictor runs, and why."""

from __future__ import annotations

import logging

from hpip.graph.cache import Cache
from hpip.graph.compile import compile_model
from hpip.model import ModelSpec
from hpip.plans import CutPlan, Plan, UntouchedPlan
from hpip.verify import verdict

logger = logging.getLogger(__name__)


def choose_plan(
    spec: ModelSpec, *, use_hpip: bool, threads: int, cache: Cache | None = None
) -> tuple[Plan, str]:
    """The cut program where there is one that gave the export's answers, else the export.

    The first time a model is seen, its cut program is checked in a child process.

    Returns:
        The plan, and why it was chosen.

    Raises:
        ModelFormatError: the parameters do not belong to the program.
    """
    untouched = UntouchedPlan(spec)
    if not use_hpip:
        return untouched, "use_hpip is off"
    cache = cache or Cache()
    compiled = compile_model(spec.files, cache=cache)
    if compiled.masks is None:
        logger.info("%s runs uncut: %s", spec.model_name, compiled.reason)
        return untouched, f"use_hpip is on, but {compiled.reason}"
    found = verdict(spec, compiled, threads=threads, cache=cache)
    if not found.same:
        logger.warning("%s runs uncut: %s", spec.model_name, found.reason)
        return untouched, f"use_hpip is on, but {found.reason}"
    return CutPlan(compiled), f"{compiled.reason}; {found.reason}"
