# SPDX-License-Identifier: Apache-2.0
"""What a caller may ask of a predictor, checked at the boundary."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

from hpip.errors import BackendUnavailableError, InvalidInputError

# Keys of PaddleX's hpi_config; those that name a device or a model are set there internally.
_HPI_KEYS = (
    "auto_config",
    "backend",
    "backend_config",
    "auto_paddle2onnx",
    "device_type",
    "device_id",
    "hpi_info",
    "model_name",
    "pdx_model_name",
)
_BACKENDS = ("paddle",)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_score_threshold(value: Any, name: str = "threshold") -> float:
    """Return the threshold as a float in [0, 1].

    Raises:
        InvalidInputError: it is not a number between 0 and 1.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InvalidInputError(f"{name}: expected a number from 0 to 1; received {value!r}")
    return float(value)


def check_count(value: Any, name: str, at_least: int = 1) -> int:
    """Return the number as an int.

    Raises:
        InvalidInputError: it is not a whole number, or too small.
    """
    if not _is_whole(value) or int(value) < at_least:
        raise InvalidInputError(
            f"{name}: expected a whole number of at least {at_least}; received {value!r}"
        )
    return int(value)


def resolve_classes(
    classes: Collection[int | str] | int | str | None, labels: tuple[str, ...]
) -> frozenset[int] | None:
    """Turn class names and ids into ids; None stays None and means all.

    Raises:
        InvalidInputError: a name is not among the labels, or an id is out of range.
    """
    if classes is None:
        return None
    wanted: list[Any] = [classes] if isinstance(classes, str | int) else list(classes)
    ids = set()
    for entry in wanted:
        if isinstance(entry, str):
            if entry not in labels:
                raise InvalidInputError(
                    f"classes: expected labels of the model ({', '.join(labels[:5])}, ...); "
                    f"received {entry!r}"
                )
            ids.add(labels.index(entry))
        elif _is_whole(entry):
            if not 0 <= int(entry) < len(labels):
                raise InvalidInputError(
                    f"classes: expected ids from 0 to {len(labels) - 1}; received {entry}"
                )
            ids.add(int(entry))
        else:
            raise InvalidInputError(f"classes: expected names or ids; received {entry!r}")
    return frozenset(ids)


def check_hpi_config(hpi_config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Check PaddleX's `hpi_config` mapping and return a copy.

    Raises:
        InvalidInputError: not a mapping, an unknown key, or `auto_config` off without a backend.
        BackendUnavailableError: an engine is asked for that this version does not drive.
    """
    if hpi_config is None:
        return {}
    if not isinstance(hpi_config, Mapping):
        raise InvalidInputError(
            f"hpi_config: expected a mapping with keys of {', '.join(_HPI_KEYS)}; "
            f"received {type(hpi_config).__name__}"
        )
    if unknown := sorted(set(hpi_config) - set(_HPI_KEYS), key=str):
        raise InvalidInputError(
            f"hpi_config: expected keys of {', '.join(_HPI_KEYS)}; received {unknown[0]!r}"
        )
    backend = hpi_config.get("backend")
    if backend is None and hpi_config.get("auto_config") is False:
        raise InvalidInputError("hpi_config: auto_config=False needs a backend; received none")
    if backend is not None and backend not in _BACKENDS:
        raise BackendUnavailableError(
            str(backend),
            "this version of hpip does not drive it.",
            f"Available: {', '.join(_BACKENDS)}.",
        )
    return dict(hpi_config)


def check_backend_threads(hpi_config: Mapping[str, Any]) -> int | None:
    """CPU threads that `backend_config` gives, under either of PaddleX's names, else None."""
    backend_config = hpi_config.get("backend_config") or {}
    for key in ("cpu_threads", "cpu_num_threads"):
        if key in backend_config:
            return check_count(backend_config[key], f"hpi_config.backend_config.{key}")
    return None
