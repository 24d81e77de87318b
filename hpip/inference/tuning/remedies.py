# SPDX-License-Identifier: Apache-2.0
"""Says what the user can change if a model runs slower than hpip could run it."""

from __future__ import annotations

from hpip.inference.tuning.candidates import BASELINE, TuningRequest
from hpip.inference.tuning.records import Verdict
from hpip.inference.tuning.tune import Tuned

# The engines that need no installation beside Paddle's.
_PART_OF_PADDLE = ("paddle", "paddle_onednn", "paddle_tensorrt")
# Devices that an extra of the same name installs engines for.
_EXTRAS = ("cpu", "gpu")


def mendable(request: TuningRequest, tuned: Tuned) -> str:
    """What the user can mend, in one line: fault, consequence and remedy; empty if nothing.

    A graph that hpip does not recognise, and engines that are slower than plain Paddle or whose
    results differ from it, are no such faults.

    Args:
        request: the model and the caller's options.
        tuned: the result of tuning it.
    """
    return " ".join(_fault(request, tuned).split())


def _fault(request: TuningRequest, tuned: Tuned) -> str:
    name, verdict = request.spec.model_name, tuned.verdict
    if verdict.selection.engine.backend == BASELINE:
        if not verdict.complete and all(trial.state != "verified" for trial in verdict.trials):
            late = [trial.outcome for trial in verdict.trials if not trial.final]
            return (
                f"{name} runs on plain Paddle, which is slower, because no engine was validated "
                f"({late[0] if late else verdict.selection.reason}). Run `hpip tune "
                f"{request.spec.model_dir}` once, with enough time (--budget) and free memory."
            )
        if missing := _missing_engines(request, verdict):
            return (
                f"{name} runs on plain Paddle, which is slower, because no other engine is "
                f"installed ({missing}). Run: pip install 'hpip[{request.device.kind}]'"
            )
    if verdict.program == "untouched" and tuned.compiled.mendable:
        return (
            f"{name} runs with its original graph, which is slower and needs more memory: "
            f"{tuned.compiled.reason}"
        )
    return ""


def _missing_engines(request: TuningRequest, verdict: Verdict) -> str:
    """The engines that could be installed, with reasons; empty unless all of them are missing."""
    if request.device.kind not in _EXTRAS:
        return ""
    others = [trial for trial in verdict.trials if trial.engine.backend not in _PART_OF_PADDLE]
    if any(trial.state != "absent" for trial in others):
        return ""
    return "; ".join(f"{trial.engine.backend}: {trial.reason}" for trial in others)
