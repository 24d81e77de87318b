# SPDX-License-Identifier: Apache-2.0
"""The commands that show and run the graph compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpip.common.cache import Cache
from hpip.common.system import available_cpus
from hpip.errors import HpipError
from hpip.graph.compile import CompiledModel, compile_model
from hpip.graph.drawing import draw_cut
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
from hpip.inference.tuning.cut_check import cut_and_checked
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.types import NativeStep

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
    spec.check_parameters()
    cache = Cache()
    compiled = compile_model(spec.files, cache=cache)
    _print_passes(compiled)
    if compiled.masks is None:
        typer.echo(f"{spec.model_name} runs as it is: {compiled.reason}")
        return
    for segment in compiled.segments:
        typer.echo(f"program: {segment.files.program}")
    if verify:
        _, found = cut_and_checked(
            spec,
            threads=threads or available_cpus(),
            cache=cache,
            clock=Clock(Limits(THOROUGH_BUDGET_S)),
            retry=True,
        )
        typer.echo(f"check:   {found.reason}")
        if not found.same:
            typer.echo(f"{spec.model_name} will run as it is.")
            raise typer.Exit(1)


def inspect_command(
    model_dir: ModelDirArgument,
    svg: Annotated[
        Path | None, typer.Option(help="Draw the end of the program with the cut into this file.")
    ] = None,
) -> None:
    """Show what a model is, what the compiler does to it, and what that saves."""
    spec = load_model_spec(model_dir)
    typer.echo(f"model:      {spec.model_name} ({spec.model_dir})")
    for tensor in spec.inputs:
        typer.echo(f"input:      {tensor}")
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
        typer.echo(f"cut:        no: {compiled.reason}")
        return
    cut = Program.read(files.program)
    Sequential(PASSES)(cut)
    _print_savings(program, cut, compiled)
    _print_plan(compiled, image_hw)
    if svg is not None:
        svg.write_text(draw_cut(program, cut, spec.model_name))
        typer.echo(f"drawing:    {svg}")


def _network_hw(spec: ModelSpec) -> tuple[int, int]:
    """The size that operations are counted at: the model's own, or that of a 1080p picture."""
    return spec.network_hw or spec.preprocess.network_hw(_SIZES["1080p"])


def _print_operators(program: Program, image_hw: tuple[int, int]) -> None:
    counts = operator_counts(program)
    most = ", ".join(f"{count} {name}" for name, count in counts.most_common(_MOST_OPERATORS))
    typer.echo(f"operators:  {counts.total()}: {most}, ...")
    typer.echo(
        f"arithmetic: {_work_text(program, image_hw)} for an input of {image_hw[0]}x{image_hw[1]}"
    )
    typer.echo(f"weights:    {parameter_count(program) / 1e6:.1f} M numbers")


def _print_passes(compiled: CompiledModel) -> None:
    for report in compiled.passes:
        mark = "did " if report.modified else "left"
        typer.echo(f"{mark}        {report.name}: {report.reason}")


def _work_text(program: Program, image_hw: tuple[int, int]) -> str:
    done = work(program, image_hw)
    more = f" and {done.unknown} operations of unknown size" if done.unknown else ""
    return f"{done.macs / 1e9:.1f} G multiply-adds at most{more}"


def _print_savings(program: Program, cut: Program, compiled: CompiledModel) -> None:
    removed = operator_counts(program).total() - operator_counts(cut).total()
    folder = compiled.segments[0].files.program.parent
    typer.echo(f"cut:        {removed} operators fewer, at {folder}")
    typer.echo("returned for one image, at most:")
    for name, image_hw in _SIZES.items():
        before, after = (returned_bytes(p, image_hw) / 1e6 for p in (program, cut))
        typer.echo(f"  {name:>5}  {before:8.1f} MB -> {after:6.1f} MB")


def _print_plan(compiled: CompiledModel, image_hw: tuple[int, int]) -> None:
    typer.echo("plan:")
    for step in compiled.plan:
        if isinstance(step, NativeStep):
            typer.echo(f"  native    {step.kind}")
            continue
        program = Program.read(step.files.program)
        count = operator_counts(program).total()
        # Only the part that is fed the picture can be counted for a size of it.
        known = "image" in step.inputs
        text = f", {_work_text(program, image_hw)}" if known else ""
        typer.echo(f"  segment   {step.name}: {count} operators{text}")


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
