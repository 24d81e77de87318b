# SPDX-License-Identifier: Apache-2.0
"""What is measured: workloads, and the contenders that run them."""

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
    """The settings that contenders share when they are compared.

    Attributes:
        model: display name; unique.
        batch_size: images per call.
        image_hw: size to which the images are resized; None for no resize.
        threads: CPU threads; None for a service, which decides itself.
        threshold: score threshold; None for the model's own.
        model_dir: directory of the model; None for a service or a row of a report.
    """

    model: str
    batch_size: int = 1
    image_hw: tuple[int, int] | None = None
    threads: int | None = None
    threshold: float | None = None
    model_dir: Path | None = field(default=None, compare=False)

    @property
    def title(self) -> str:
        """The model's name, and the settings that differ from the defaults."""
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
    """One model, engine and precision, measured in a process of its own.

    Attributes:
        workload: the settings that it shares with other contenders.
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
        """The backend, and device and precision if they differ from the defaults."""
        parts = [self.backend]
        if self.precision != "fp32":
            parts.append(self.precision)
        if self.device != "cpu":
            parts.append(self.device)
        return " ".join(parts)


def known_backends() -> tuple[str, ...]:
    """All valid values of `--backends`."""
    engines = [name for name in backend_names() if name != PLAIN]
    return (AUTO, PLAIN, CUT_PADDLE, UNCUT_ONNXRUNTIME, *engines, *PADDLEX)


def check_backends(names: Sequence[str], *, has_paddlex: bool) -> None:
    """Validate the names of backends, before any contender starts.

    Raises:
        InvalidInputError: a name is unknown, none is given, or PaddleX has no interpreter.
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
                f"backends: {name} needs an environment with PaddleX; received no interpreter."
                " Give it, for example: --paddlex-python /path/to/venv/bin/python"
            )


def contenders(
    workload: Workload,
    backends: Sequence[str],
    devices: Sequence[str],
    precisions: Sequence[str],
) -> list[Contender]:
    """All contenders of one workload; plain Paddle and PaddleX run only in fp32.

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
