# SPDX-License-Identifier: Apache-2.0
"""The commands that run the graph compiler, show its results, and manage the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpip.cli.flags import Threads
from hpip.common.cache import CACHE_VARIABLE, Cache
from hpip.common.system import available_cpus
from hpip.errors import HpipError
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.drawing import draw_truncation
from hpip.graph.inspect import (
    operator_counts,
    parameter_count,
    returned_bytes,
    work,
)
from hpip.graph.passes.base import Sequential
from hpip.graph.program import Program
from hpip.graph.standard_passes import PASSES
from hpip.graph.translate import translate
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S, Clock, Limits
from hpip.inference.tuning.truncation_check import compile_and_validate
from hpip.model.bundle_file import Bundle
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.types import NativeStep

ModelDirArgument = Annotated[Path, typer.Argument(help="Directory of an exported model.")]
ModelOrBundleArgument = Annotated[
    Path, typer.Argument(help="Directory of an exported model, or a bundle.")
]

_SIZES = {"480p": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}
_MOST_OPERATORS = 12

cache_app = typer.Typer(help="List or clear the cache of compiled and tuned models.")


def compile_command(
    model_dir: ModelDirArgument,
    verify: Annotated[
        bool,
        typer.Option(help="Compare the results of the truncated and the original graph."),
    ] = True,
    threads: Threads = None,
) -> None:
    """Compile a model to a truncated graph, validate the graph, and cache both.

    The truncated graph ends before the resize of the masks to the full image; hpip finishes the
    masks natively. Exits with 1 if there is none for a reason that you can change, or if the next
    start won't find it.
    """
    spec = load_model_spec(model_dir)
    spec.require_original_graph("hpip compile")
    spec.check_parameters()
    cache = Cache()
    compiled = compile_model(spec.files, cache=cache)
    _print_passes(compiled)
    if compiled.masks is None:
        typer.echo(f"{spec.model_name} runs with its original graph: {compiled.reason}")
        if compiled.mendable:
            raise typer.Exit(1)
        return
    for segment in compiled.segments:
        typer.echo(f"program: {segment.files.program}")
    if verify:
        _, found = compile_and_validate(
            spec,
            threads=threads or available_cpus(),
            cache=cache,
            clock=Clock(Limits(THOROUGH_BUDGET_S)),
            retry=True,
        )
        typer.echo(f"check:   {found.reason}")
        if not found.same:
            typer.echo(f"{spec.model_name} will run with its original graph.")
            raise typer.Exit(1)
    # A new cache, which does not see what an earlier one keeps for this process only.
    if Cache().load(compiled.key) is None:
        typer.echo(
            f"problem: the cache {cache.root} can't be written, so hpip compiles "
            f"{spec.model_name} again at the next start. Set {CACHE_VARIABLE} to a writable "
            "folder.",
            err=True,
        )
        raise typer.Exit(1)


def inspect_command(
    model_dir: ModelOrBundleArgument,
    svg: Annotated[
        Path | None,
        typer.Option(
            help="Draw the end of the graph, and where hpip truncates it, into this file."
        ),
    ] = None,
) -> None:
    """Show a model's inputs, outputs and operators, and what the graph compiler saves.

    For a bundle, show what it contains.
    """
    spec = load_model_spec(model_dir)
    typer.echo(f"model:      {spec.model_name} ({spec.model_dir})")
    for tensor in spec.inputs:
        typer.echo(f"input:      {tensor}")
    if spec.bundle is not None:
        if svg is not None:
            spec.require_original_graph("--svg")
        _print_bundle(spec, spec.bundle)
        return
    cache = Cache()
    compiled = compile_model(spec.files, cache=cache)
    try:
        files = spec.files if spec.files.program.suffix == ".json" else translate(spec.files, cache)
        program = Program.read(files.program)
    except HpipError as error:
        typer.echo(f"program:    can't be read: {error}")
        return
    for output in program.outputs:
        kind = output.output_types[0]
        shape = "" if kind is None else f"{kind.dtype}{list(kind.shape)}"
        typer.echo(f"output:     {output.attribute('name')}: {shape}")
    image_hw = _network_hw(spec)
    _print_operators(program, image_hw)
    _print_passes(compiled)
    if compiled.masks is None:
        typer.echo(f"truncated:  no: {compiled.reason}")
        return
    truncated = Program.read(files.program)
    Sequential(PASSES)(truncated)
    _print_savings(program, truncated, compiled)
    _print_plan(compiled, image_hw)
    if svg is not None:
        svg.write_text(draw_truncation(program, truncated, spec.model_name))
        typer.echo(f"drawing:    {svg}")


def _print_bundle(spec: ModelSpec, bundle: Bundle) -> None:
    manifest, references = bundle.manifest, bundle.references()
    mark = "verified" if manifest.verified else "NOT VERIFIED"
    typer.echo(f"bundle:     written by hpip {manifest.hpip_version}, {mark}")
    typer.echo(f"source:     {manifest.source} (program {manifest.source_sha256[:16]})")
    for tensor in manifest.outputs:
        typer.echo(f"output:     {tensor}")
    typer.echo(f"classes:    {len(spec.labels)}")
    typer.echo(f"weights:    {bundle.weights.size_bytes / 1e6:.1f} MB")
    typer.echo(f"truncated:  {manifest.summary}")
    instances = sum(len(result.scores) for result in references.results)
    typer.echo(f"references: {len(references.results)} images with {instances} instances")
    typer.echo("plan:")
    for step in bundle.compiled.plan:
        if isinstance(step, NativeStep):
            typer.echo(f"  native    {step.kind}")
        else:
            typer.echo(f"  segment   {step.name} ({step.files.program})")


def _network_hw(spec: ModelSpec) -> tuple[int, int]:
    """The input size for counting operations: the model's own, or that of a 1080p image."""
    return spec.network_hw or spec.preprocess.network_hw(_SIZES["1080p"])


def _print_operators(program: Program, image_hw: tuple[int, int]) -> None:
    counts = operator_counts(program)
    most = ", ".join(f"{count} {name}" for name, count in counts.most_common(_MOST_OPERATORS))
    typer.echo(f"operators:  {counts.total()}: {most}, ...")
    typer.echo(
        f"arithmetic: {_work_text(program, image_hw)} for an input of {image_hw[0]}x{image_hw[1]}"
    )
    typer.echo(f"weights:    {parameter_count(program) / 1e6:.1f} M parameters")


def _print_passes(compiled: CompiledModel) -> None:
    for report in compiled.passes:
        mark = "applied" if report.modified else "skipped"
        typer.echo(f"{mark}:    {report.name}: {report.reason}")


def _work_text(program: Program, image_hw: tuple[int, int]) -> str:
    done = work(program, image_hw)
    more = f" and {done.unknown} operations of unknown size" if done.unknown else ""
    return f"{done.macs / 1e9:.1f} G multiply-adds at most{more}"


def _print_savings(program: Program, truncated: Program, compiled: CompiledModel) -> None:
    removed = operator_counts(program).total() - operator_counts(truncated).total()
    folder = compiled.segments[0].files.program.parent
    typer.echo(f"truncated:  {removed} operators removed, written to {folder}")
    typer.echo("output size for one image, at most:")
    for name, image_hw in _SIZES.items():
        before, after = (returned_bytes(p, image_hw) / 1e6 for p in (program, truncated))
        typer.echo(f"  {name:>5}  {before:8.1f} MB -> {after:6.1f} MB")


def _print_plan(compiled: CompiledModel, image_hw: tuple[int, int]) -> None:
    typer.echo("plan:")
    for step in compiled.plan:
        if isinstance(step, NativeStep):
            typer.echo(f"  native    {step.kind}")
            continue
        program = Program.read(step.files.program)
        count = operator_counts(program).total()
        # Only the segment that reads the image has an arithmetic that follows from its size.
        known = "image" in step.inputs
        text = f", {_work_text(program, image_hw)}" if known else ""
        typer.echo(f"  segment   {step.name}: {count} operators{text}")


@cache_app.command("list")
def list_cache() -> None:
    """List the cache entries with their sizes."""
    cache = Cache()
    entries = cache.entries()
    for entry in entries:
        typer.echo(f"{entry.size_bytes / 1e6:8.2f} MB  {entry.key}  {entry.title}")
    typer.echo(f"{len(entries)} entries in {cache.root}")


@cache_app.command("clear")
def clear_cache() -> None:
    """Delete all cache entries; hpip compiles and tunes a model again at its next use."""
    cache = Cache()
    typer.echo(f"freed {cache.clear() / 1e6:.1f} MB in {cache.root}")
