# SPDX-License-Identifier: Apache-2.0
"""Who takes part: one model, one backend and one choice of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from hpip.backends.base import Precision
from hpip.backends.registry import backend_names
from hpip.common.devices import parse_devices
from hpip.common.system import available_cpus
from hpip.errors import InvalidInputError
from hpip.inference.arguments import check_count, check_score_threshold

PLAIN = "paddle"
AUTO = "auto"
URL = "url"
CUT_PADDLE = "cut-paddle"
UNCUT_ONNXRUNTIME = "uncut-onnxruntime"
PADDLEX = ("paddlex", "paddlex-paddle", "paddlex-onnxruntime")
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Workload:
    """What contenders that are compared with each other have in common.

    Attributes:
        model: name for people, different for each model.
        batch_size: images per call.
        image_hw: size that the images are brought to; None leaves them as they are.
        threads: CPU threads; None for a service, which has its own.
        threshold: lowest score; None takes the model's own.
        model_dir: where the model is; None for a service or a report's row.
    """

    model: str
    batch_size: int = 1
    image_hw: tuple[int, int] | None = None
    threads: int | None = None
    threshold: float | None = None
    model_dir: Path | None = field(default=None, compare=False)

    @property
    def title(self) -> str:
        """The model's name, and the settings that are not the usual."""
        parts = [self.model]
        if self.image_hw:
            parts.append(f"{self.image_hw[0]}x{self.image_hw[1]}")
        if self.batch_size > 1:
            parts.append(f"batch {self.batch_size}")
        if self.threads not in (None, available_cpus()):
            parts.append(f"{self.threads} threads")
        if self.threshold is not None:
            parts.append(f"threshold {self.threshold:g}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Contender:
    """One process of the benchmark.

    Attributes:
        workload: what it has in common with those that it is compared with.
        backend: one of `known_backends`, or "url".
        device: as in `create_predictor`.
        precision: one of `PRECISIONS`.
    """

    workload: Workload
    backend: str
    device: str = "cpu"
    precision: Precision = "fp32"

    @property
    def label(self) -> str:
        """The backend, and the device and precision where they are not the usual."""
        parts = [self.backend]
        if self.precision != "fp32":
            parts.append(self.precision)
        if self.device != "cpu":
            parts.append(self.device)
        return " ".join(parts)


def known_backends() -> tuple[str, ...]:
    """Every name that `--backends` takes."""
    engines = [name for name in backend_names() if name != PLAIN]
    return (AUTO, PLAIN, CUT_PADDLE, UNCUT_ONNXRUNTIME, *engines, *PADDLEX)


def check_backends(names: Sequence[str], *, has_paddlex: bool) -> None:
    """Refuse backends that can't take part, before anything is started.

    Raises:
        InvalidInputError: an unknown name, none, or PaddleX without an interpreter for it.
    """
    if not names:
        raise InvalidInputError(
            f"backends: expected some of {', '.join(known_backends())}; received none"
        )
    for name in names:
        if name not in known_backends():
            raise InvalidInputError(
                f"backends: expected some of {', '.join(known_backends())}; received {name!r}"
            )
        if name in PADDLEX and not has_paddlex:
            raise InvalidInputError(
                f"backends: {name} runs in an environment that has PaddleX; give its interpreter,"
                " for example --paddlex-python /path/to/venv/bin/python"
            )


def contenders(
    workload: Workload,
    backends: Sequence[str],
    devices: Sequence[str],
    precisions: Sequence[str],
) -> list[Contender]:
    """Every contender of one workload; plain Paddle and PaddleX run in fp32 only.

    Raises:
        InvalidInputError: a device, a precision or a number is out of range.
    """
    check_count(workload.batch_size, "batch sizes")
    if workload.threads is not None:
        check_count(workload.threads, "threads")
    if workload.threshold is not None:
        check_score_threshold(workload.threshold, "thresholds")
    for precision in precisions:
        if precision not in PRECISIONS:
            raise InvalidInputError(
                f"precisions: expected some of {', '.join(PRECISIONS)}; received {precision!r}"
            )
    found: dict[Contender, None] = {}
    for device in devices:
        parse_devices(device)
        for backend in backends:
            fixed = backend in (PLAIN, UNCUT_ONNXRUNTIME, *PADDLEX)
            for precision in ("fp32",) if fixed else precisions:
                found[Contender(workload, backend, device, cast(Precision, precision))] = None
    return list(found)
