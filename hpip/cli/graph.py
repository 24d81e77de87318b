# SPDX-License-Identifier: Apache-2.0
"""The commands that show and run the graph compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpip.errors import HpipError
from hpip.graph.cache import Cache
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.inspect import (
    operator_counts,
    parameter_count,
    returned_bytes,
    work,
)
from hpip.graph.program import Program
from hpip.model import ModelSpec, load_model_spec
from hpip.system import available_cpus
from hpip.tuning.budget import THOROUGH_BUDGET_S, Clock, Limits
from hpip.tuning.check import checked

ModelDirArgument = Annotated[Path, typer.Argument(help="Directory of the model.")]

_SIZES = {"480p": (480, 640), "1080p": (1080, 1920), "4K": (2160, 3840)}
_MOST_OPERATORS = 12

cache_app = typer.Typer(help="Look at the cache of compiled models, or empty it.")


def compile_command(
    model_dir: ModelDirArgument,
    verify: Annotated[
        bool, typer.Option(help="Run the cut program against the export on one picture.")
    ] = True,
    threads: Annotated[int | None, typer.Option("--threads", help="CPU threads.")] = None,
) -> None:
    """Rewrite a model so that it does less work, check it, and remember both."""
    spec = load_model_spec(model_dir)
    cache = Cache()
    compiled = compile_model(spec.files, cache=cache)
    _print_passes(compiled)
    if compiled.masks is None:
        typer.echo(f"{spec.model_name} runs as it is: {compiled.reason}")
        return
    for segment in compiled.segments:
        typer.echo(f"program: {segment.files.program}")
    if verify:
        found = checked(
            spec,
            compiled,
            threads=threads or available_cpus(),
            cache=cache,
            clock=Clock(Limits(THOROUGH_BUDGET_S)),
            retry=True,
        )
        typer.echo(f"check:   {found.reason}")
        if not found.same:
            typer.echo(f"{spec.model_name} will run as it is.")
            raise typer.Exit(1)


def inspect_command(model_dir: ModelDirArgument) -> None:
    """Show what a model is, what the compiler does to it, and what that saves."""
    spec = load_model_spec(model_dir)
    typer.echo(f"model:      {spec.model_name} ({spec.model_dir})")
    for tensor in spec.inputs:
        typer.echo(f"input:      {tensor}")
    compiled = compile_model(spec.files)
    try:
        program = Program.read(spec.files.program)
    except HpipError as error:
        typer.echo(f"program:    can't be read: {error}")
        return
    for output in program.outputs:
        kind = output.output_types[0]
        shape = "" if kind is None else f"{kind.dtype}{list(kind.shape)}"
        typer.echo(f"output:     {output.attribute('name')}: {shape}")
    _print_operators(program)
    _print_passes(compiled)
    if compiled.masks is None:
        typer.echo(f"cut:        no: {compiled.reason}")
        return
    _print_savings(spec, program, compiled)


def _print_operators(program: Program) -> None:
    counts = operator_counts(program)
    most = ", ".join(f"{count} {name}" for name, count in counts.most_common(_MOST_OPERATORS))
    typer.echo(f"operators:  {counts.total()}: {most}, ...")
    done = work(program)
    unknown = f", {done.unknown} more of sizes that depend on the image" if done.unknown else ""
    typer.echo(
        f"arithmetic: {done.macs / 1e9:.1f} G multiply-adds in convolutions and products{unknown}"
    )
    typer.echo(f"weights:    {parameter_count(program) / 1e6:.1f} M numbers")


def _print_passes(compiled: CompiledModel) -> None:
    for report in compiled.passes:
        mark = "did " if report.modified else "left"
        typer.echo(f"{mark}        {report.name}: {report.reason}")


def _print_savings(spec: ModelSpec, program: Program, compiled: CompiledModel) -> None:
    cuts = [Program.read(segment.files.program) for segment in compiled.segments]
    left = sum(operator_counts(cut).total() for cut in cuts)
    removed = operator_counts(program).total() - left
    typer.echo(
        f"cut:        {removed} operators fewer, at {compiled.segments[0].files.program.parent}"
    )
    typer.echo("returned for one image, at most:")
    for name, image_hw in _SIZES.items():
        before, after = (returned_bytes(p, image_hw) / 1e6 for p in (program, cuts[-1]))
        typer.echo(f"  {name:>5}  {before:8.1f} MB -> {after:6.1f} MB")


@cache_app.command("list")
def list_cache() -> None:
    """List what is in the cache."""
    cache = Cache()
    entries = cache.entries()
    for entry in entries:
        typer.echo(f"{entry.size_bytes / 1e6:8.2f} MB  {entry.key}  {entry.title}")
    typer.echo(f"{len(entries)} entries in {cache.root}")


@cache_app.command("clear")
def clear_cache() -> None:
    """Empty the cache; models are compiled and checked again when they are next used."""
    cache = Cache()
    typer.echo(f"freed {cache.clear() / 1e6:.1f} MB in {cache.root}")
