# SPDX-License-Identifier: Apache-2.0
"""The manifest of a bundle: what a model needs at run time beside weights and graphs, as JSON."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hpip.errors import shorten
from hpip.graph.compile import mask_source_from_json
from hpip.graph.interface import ProgramTensor
from hpip.types import MaskSource, NativeStep

# Increment when a reader of the earlier format could misread a bundle.
FORMAT_VERSION = 1
INT8_KEY, TARGET_KEY = "int8", "target"
_PROGRAM_KEYS = ("program", INT8_KEY)


def int8_name(program: str) -> str:
    """Name of the int8 version of an ONNX part."""
    return f"int8-{program}"


class NewerFormatError(ValueError):
    """A later version of hpip wrote the bundle."""


@dataclass(frozen=True)
class Manifest:
    """The content of `bundle.json`.

    Attributes:
        hpip_version: version of hpip that wrote the bundle.
        verified: whether an engine had the same results as plain Paddle when it was written.
        model_name: name of the architecture, as in `inference.yml`.
        source: name of the model directory.
        source_sha256: digest of its program.
        digests: SHA-256 of each part but the manifest.
        inputs, outputs: those of the exported model.
        network_hw: height and width of the network's input if they are fixed.
        max_batch_size: maximum number of images per run; None for no limit.
        plan: segments and native steps, in the form of `hpip.graph.parts`.
        graph_outputs: names of the values that `masks` refers to.
        masks: post-processing of the masks.
        summary: what hpip changed in the graph, in words.
        builds: compiled models for one engine: names of the parts by ONNX part, and under "target"
            what they are for; empty if there are none.
    """

    hpip_version: str
    verified: bool
    model_name: str
    source: str
    source_sha256: str
    digests: Mapping[str, str]
    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    network_hw: tuple[int, int] | None
    max_batch_size: int | None
    plan: tuple[Mapping[str, Any], ...]
    graph_outputs: tuple[str, ...]
    masks: MaskSource
    summary: str
    builds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the ONNX parts, in the order of the plan."""
        return tuple(step[key] for step in self.plan for key in _PROGRAM_KEYS if step.get(key))

    @property
    def build_parts(self) -> dict[str, str]:
        """Names of the parts with compiled models, by ONNX part."""
        return _build_parts(self.builds)

    @property
    def has_int8(self) -> bool:
        """Whether a segment is also there in int8."""
        return any(step.get(INT8_KEY) for step in self.plan)

    def to_bytes(self) -> bytes:
        """The manifest as JSON; equal for equal manifests."""
        record = {"format": FORMAT_VERSION, **asdict(self)}
        if not self.builds:
            del record["builds"]
        return json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest that a stranger may have written.

    Raises:
        NewerFormatError: its format is not known to this version of hpip.
        ValueError: it is damaged.
    """
    try:
        record = json.loads(data)
        _expect(isinstance(record, dict), "the manifest", "a mapping", record)
        _check_format(record.pop("format", None))
        return _manifest(record)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _check_format(version: Any) -> None:
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise NewerFormatError(
            f"it has format {version}, and this version of hpip reads format {FORMAT_VERSION}. "
            "Install a newer hpip, or write the bundle again with this one."
        )
    _expect(version == FORMAT_VERSION, "format", str(FORMAT_VERSION), version)


def _manifest(record: dict[str, Any]) -> Manifest:
    known = {one.name for one in fields(Manifest)}
    record.setdefault("builds", {})
    _expect(set(record) == known, "keys", ", ".join(sorted(known)), sorted(record))
    _check_builds(record["builds"])
    for name in ("hpip_version", "model_name", "source", "source_sha256", "summary"):
        _expect(isinstance(record[name], str), name, "a text", record[name])
    _expect(isinstance(record["verified"], bool), "verified", "true or false", record["verified"])
    digests = record["digests"]
    _expect(
        isinstance(digests, dict) and all(isinstance(one, str) for one in digests.values()),
        "digests",
        "a digest per part",
        digests,
    )
    plan = tuple(record["plan"])
    _expect(bool(plan), "plan", "at least one step", plan)
    for step in plan:
        _check_step(step)
    hw, most = record["network_hw"], record["max_batch_size"]
    _expect(hw is None or (len(hw) == 2 and all(map(_is_count, hw))), "network_hw", "2 sizes", hw)
    _expect(most is None or _is_count(most), "max_batch_size", "a number of at least 1", most)
    return Manifest(
        **{
            **record,
            "inputs": tuple(map(_tensor, record["inputs"])),
            "outputs": tuple(map(_tensor, record["outputs"])),
            "network_hw": None if hw is None else (hw[0], hw[1]),
            "plan": plan,
            "graph_outputs": _names(record["graph_outputs"], "graph_outputs"),
            "masks": _masks(record["masks"]),
        }
    )


def _build_parts(builds: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in builds.items() if name != TARGET_KEY}


def _check_builds(builds: Mapping[str, Any]) -> None:
    parts = _build_parts(builds)
    _names(list(parts.values()), "builds")
    target = builds.get(TARGET_KEY, {})
    is_text = isinstance(target, dict) and all(isinstance(one, str) for one in target.values())
    _expect(is_text and bool(target) == bool(parts), "builds.target", "texts", target)


def _tensor(record: Mapping[str, Any]) -> ProgramTensor:
    dims = record["dims"]
    _expect(all(isinstance(n, int) for n in dims), "dims", "whole numbers", dims)
    (name,) = _names([record["name"]], "name")
    return ProgramTensor(int(record["index"]), name, str(record["dtype"]), tuple(dims))


def _check_step(step: Mapping[str, Any]) -> None:
    """Check what `plan_from_json` takes as it is."""
    _names(step["inputs"], "inputs")
    _names(step["outputs"], "outputs")
    if "kind" in step:
        kinds = typing.get_args(typing.get_type_hints(NativeStep)["kind"])
        _expect(step["kind"] in kinds, "kind", ", ".join(kinds), step["kind"])
        return
    rows, int8 = step["max_rows"], step.get(INT8_KEY)
    for program in _names([step["program"], *([int8] if int8 else [])], "program"):
        _expect(program.endswith(".onnx"), "program", "the name of an ONNX part", program)
    _expect(int8 in (None, int8_name(step["program"])), INT8_KEY, "the program's name", int8)
    _expect(isinstance(rows, int) and rows >= 0, "max_rows", "at least 0", rows)
    _names([step["segment"], *step["row_inputs"]], "row_inputs")
    _expect(isinstance(step["rows"], str), "rows", "a name", step["rows"])


def _masks(record: Mapping[str, Any]) -> MaskSource:
    masks = mask_source_from_json(record)
    for name, hint in typing.get_type_hints(MaskSource).items():
        value = getattr(masks, name)
        if typing.get_origin(hint) is Literal:
            allowed = typing.get_args(hint)
            _expect(value in allowed, f"masks.{name}", ", ".join(allowed), value)
        elif hint is bool:
            _expect(isinstance(value, bool), f"masks.{name}", "true or false", value)
    _expect(isinstance(masks.threshold, int | float), "masks.threshold", "a number", record)
    return masks


def _names(values: Sequence[Any], where: str) -> tuple[str, ...]:
    is_list = isinstance(values, list)
    _expect(is_list and all(isinstance(v, str) and v for v in values), where, "names", values)
    return tuple(values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _expect(holds: bool, where: str, expected: str, received: Any) -> None:
    if not holds:
        raise ValueError(f"{where}: expected {expected}; received {shorten(received)}")
