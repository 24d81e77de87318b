# SPDX-License-Identifier: Apache-2.0
"""Exports a model directory to a bundle, and verifies the bundle before it is handed out."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any

from hpip._core import __version__
from hpip.backends.base import require_engine
from hpip.backends.onnxruntime import OnnxRuntimeBackend
from hpip.backends.openvino import OpenVinoBackend
from hpip.bundle.openvino_builds import openvino_builds
from hpip.bundle.references import compute_references
from hpip.bundle.zip_writer import write_zip
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.common.digest import file_digest
from hpip.common.system import available_cpus
from hpip.errors import (
    BackendError,
    BackendUnavailableError,
    InvalidInputError,
    ModelFormatError,
    SaveError,
)
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.interface import read_interface
from hpip.graph.onnx_weights import move_weights
from hpip.graph.parts import step_to_json
from hpip.inference.arguments import check_count, check_precision
from hpip.inference.execution.plan import TruncatedPlan
from hpip.inference.execution.program_formats import artifact, int8_artifact
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Clock, Limits, tell
from hpip.inference.tuning.calibrate import Calibration, calibrate
from hpip.inference.tuning.candidates import TuningRequest
from hpip.inference.tuning.images import read_images, shipped_images, split_for_calibration
from hpip.inference.tuning.records import Verdict
from hpip.inference.tuning.truncation_check import compile_and_validate
from hpip.inference.tuning.tune import tune
from hpip.model.bundle_archive import BUNDLE_SUFFIX, MANIFEST_NAME
from hpip.model.bundle_file import REFERENCES_NAME
from hpip.model.bundle_manifest import INT8_KEY, Manifest, int8_name
from hpip.model.files import CONFIG_NAME, PARAMS_NAME
from hpip.model.official import locate_model
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.types import NativeStep, PlanStep, Segment, UInt8Array

_MOST_IMAGES = 32


@dataclass(frozen=True)
class ExportReport:
    """What `export_model` wrote.

    Attributes:
        path: the bundle.
        model_name: name of the model's architecture.
        size_bytes: size of the bundle.
        weights_bytes: size of the model's parameter file, which is a part of it.
        verdict: which engines gave the same results as plain Paddle, and how fast they were; None
            for an unverified bundle.
        reason: why the bundle is not verified; empty if it is.
    """

    path: Path
    model_name: str
    size_bytes: int
    weights_bytes: int
    verdict: Verdict | None
    reason: str = ""


def export_model(
    model: str | Path,
    output: str | Path,
    *,
    images: Sequence[str | Path] = (),
    precision: str = "fp32",
    include: Sequence[str] = (),
    threads: int | None = None,
    unverified: bool = False,
) -> ExportReport:
    """Write a model into one file that runs without Paddle, on ONNX Runtime or OpenVINO.

    The bundle contains the truncated graph in ONNX, the weights, `inference.yml`, and plain
    Paddle's results on the images that come with hpip and on `images`. Before it is written, every
    installed engine runs it, and at least one must give the same results as plain Paddle. Equal
    models, images and versions give equal bundles.

    Args:
        model: a model directory, the name of an official model, or "demo".
        output: path that ends in .hpip, or an existing folder.
        images: image files or folders whose reference results are added; at most 32 images.
        precision: "fp32"; or another precision, in which some engine must then be valid within its
            tolerances. "int8" adds graphs in int8, calibrated with three quarters of `images`.
        include: "openvino" adds OpenVINO's compiled models, about as large as the weights, so that
            the first start does not compile, on processors like this one with the same OpenVINO.
        threads: CPU threads; None for all that the process may use.
        unverified: True writes a bundle that did not pass, marked as such.

    Raises:
        InvalidInputError: an argument is not valid, or the model is a bundle.
        ModelNotFoundError, ModelFormatError: the model is missing or damaged, or hpip can't
            truncate its graph.
        GraphRewriteError: the graph has operators that hpip can't convert to ONNX.
        BackendUnavailableError: Paddle, the onnx package, or every engine is missing.
        BackendError: plain Paddle failed, or no engine gives the same results.
        SaveError: the bundle can't be written.
    """
    spec = load_model_spec(locate_model(model))
    spec.require_original_graph("hpip export")
    spec.check_parameters()
    target = _target(spec, Path(output).expanduser().absolute())
    chosen = check_precision(precision)
    if set(include) - {OpenVinoBackend.name}:
        raise InvalidInputError(f"include: expected openvino or nothing; received {list(include)}")
    for module in ("paddle", "onnx"):
        if util.find_spec(module) is None:
            raise BackendUnavailableError(
                module,
                "hpip export computes the reference results with Paddle, and writes ONNX.",
                "Install both with: pip install 'hpip[cpu]'",
            )
    if include:
        require_engine(OpenVinoBackend())
    count = check_count(available_cpus() if threads is None else threads, "threads")
    users = read_images([str(path) for path in images], most=_MOST_IMAGES) if images else []
    calibration = None
    if chosen == "int8":
        for_ranges, _ = split_for_calibration(users)
        calibration = Calibration(for_ranges, spec.preprocess)
    request = TuningRequest(spec, Device("cpu"), count, chosen)
    exporter = _Exporter(request, target, users, calibration, unverified)
    return exporter.export(with_builds=bool(include))


def _target(spec: ModelSpec, output: Path) -> Path:
    if output.is_dir():
        return output / f"{spec.model_dir.name}{BUNDLE_SUFFIX}"
    if output.suffix != BUNDLE_SUFFIX:
        raise InvalidInputError(
            f"output: expected a path that ends in {BUNDLE_SUFFIX}, or an existing folder; "
            f"received {output}"
        )
    return output


class _Exporter:
    def __init__(
        self,
        request: TuningRequest,
        target: Path,
        users_images: Sequence[UInt8Array],
        calibration: Calibration | None,
        unverified: bool,
    ) -> None:
        self._request = request
        self._spec = request.spec
        self._threads = request.threads
        self._target = target
        self._users_images = users_images
        self._calibration = calibration
        self._unverified = unverified
        self._limits = Limits(THOROUGH_BUDGET_S)
        self._cache = Cache()

    def export(self, *, with_builds: bool) -> ExportReport:
        """Write the bundle beside its target, verify it, and move it there."""
        scratch = self._target.with_name(f".hpip-{secrets.token_hex(8)}.tmp")
        try:
            scratch.mkdir(parents=True)
            # Of the same name, which is part of the graphs that the cache keeps.
            return self._export(scratch / self._target.name, with_builds=with_builds)
        except OSError as error:
            if isinstance(error, SaveError):
                raise
            raise SaveError(
                f"can't write {self._target}: {error.strerror or error}. Check that the folder is "
                "writable and that the disk has room for twice the weights."
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _export(self, partial: Path, *, with_builds: bool) -> ExportReport:
        compiled, reason = self._compile()
        parts, manifest = self._parts(compiled, verified=not reason)
        self._write(partial, manifest, parts)
        verdict = None
        if not reason:
            try:
                verdict = self._verify(replace(self._request, spec=load_model_spec(partial)))
            except (BackendError, BackendUnavailableError) as error:
                if not self._unverified:
                    raise
                reason = str(error)
                manifest = replace(manifest, verified=False)
                self._write(partial, manifest, parts)
        if with_builds:
            bundle = load_model_spec(partial)
            manifest, builds = openvino_builds(bundle, manifest, self._threads)
            self._write(partial, manifest, {**parts, **builds})
        size_bytes = partial.stat().st_size
        weights_bytes = self._spec.files.params.stat().st_size
        partial.replace(self._target)
        name = self._spec.model_name
        return ExportReport(self._target, name, size_bytes, weights_bytes, verdict, reason)

    def _compile(self) -> tuple[CompiledModel, str]:
        """The truncated graph, and why it is not valid; empty if it is."""
        compiled = compile_model(self._spec.files, cache=self._cache)
        if compiled.masks is None:
            raise ModelFormatError(
                f"{self._spec.model_dir} can't be exported, because hpip can't truncate its graph: "
                f"{compiled.reason}"
            )
        compiled, check = compile_and_validate(
            self._spec,
            threads=self._threads,
            cache=self._cache,
            clock=Clock(self._limits),
            retry=True,
        )
        if check.same:
            return compiled, ""
        if not self._unverified:
            raise BackendError("hpip", "verify the truncated graph", check.reason)
        return compiled, check.reason

    def _parts(
        self, compiled: CompiledModel, *, verified: bool
    ) -> tuple[dict[str, bytes], Manifest]:
        """All parts but weights and manifest, and the manifest."""
        spec = self._spec
        graphs = {_program_name(segment): self._graph(segment) for segment in compiled.segments}
        graphs |= self._int8_graphs(compiled)
        tell.get()(f"computing the reference results of {spec.model_name}")
        images = [*shipped_images(), *self._users_images]
        references = compute_references(
            spec, TruncatedPlan(compiled), images, threads=self._threads, limits=self._limits
        )
        parts = {
            CONFIG_NAME: (spec.model_dir / CONFIG_NAME).read_bytes(),
            REFERENCES_NAME: references.to_bytes(),
            **graphs,
        }
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
        digests[PARAMS_NAME] = file_digest(spec.files.params, cache=self._cache)
        interface = read_interface(spec.files.program)
        assert compiled.masks is not None
        manifest = Manifest(
            hpip_version=__version__,
            verified=verified,
            model_name=spec.model_name,
            source=spec.model_dir.name,
            source_sha256=file_digest(spec.files.program, cache=self._cache),
            digests=digests,
            inputs=interface.inputs,
            outputs=interface.outputs,
            network_hw=spec.network_hw,
            max_batch_size=compiled.max_batch_size,
            plan=tuple(_step(step, graphs) for step in compiled.plan),
            graph_outputs=compiled.outputs,
            masks=compiled.masks,
            summary=compiled.reason,
        )
        return parts, manifest

    def _graph(self, segment: Segment) -> bytes:
        """A segment in ONNX, whose weights are a part of the bundle."""
        files = artifact(segment.files, "onnx", cache=self._cache)
        return move_weights(
            files.program.read_bytes(),
            location=files.params.name,
            new_location=PARAMS_NAME,
            start=0,
            size_bytes=files.params.stat().st_size,
        )

    def _int8_graphs(self, compiled: CompiledModel) -> dict[str, bytes]:
        """The segments in int8 that can be quantized; empty unless int8 is wanted."""
        if self._calibration is None:
            return {}
        tell.get()(f"calibrating {self._spec.model_name} for int8")
        device = self._request.device
        engine = Engine(OnnxRuntimeBackend.name, device, self._threads, "int8")
        plan, key = TruncatedPlan(compiled), self._calibration.key
        refused = calibrate(plan, engine, self._calibration, cache=self._cache)
        return {
            int8_name(_program_name(segment)): int8_artifact(
                segment.files, OnnxRuntimeBackend(), device, key, cache=self._cache
            ).program.read_bytes()
            for segment in compiled.segments
            if segment.name not in refused
        }

    def _write(self, path: Path, manifest: Manifest, parts: dict[str, bytes]) -> None:
        everything = {MANIFEST_NAME: manifest.to_bytes(), **parts}
        write_zip(path, self._spec.files.params, PARAMS_NAME, everything)

    def _verify(self, request: TuningRequest) -> Verdict:
        """Run the bundle on all engines; raises BackendError if none is valid."""
        images = [*shipped_images(), *self._users_images] if self._users_images else None
        verdict = tune(
            request, cache=self._cache, limits=self._limits, images=images, again=True
        ).verdict
        valid = {t.engine.precision for t in verdict.trials if t.state == "verified"}
        if request.precision not in valid:
            outcomes = "; ".join(trial.outcome for trial in verdict.trials)
            raise BackendError("hpip", f"verify {request.precision}", outcomes)
        return verdict


def _program_name(segment: Segment) -> str:
    return f"{segment.files.program.stem}.onnx"


def _step(step: PlanStep, graphs: Mapping[str, bytes]) -> dict[str, Any]:
    """The manifest's form of a step."""
    if isinstance(step, NativeStep):
        return step_to_json(step, "")
    program = _program_name(step)
    int8 = {INT8_KEY: int8_name(program)} if int8_name(program) in graphs else {}
    return {**step_to_json(step, program), **int8}
