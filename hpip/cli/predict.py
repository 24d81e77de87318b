# SPDX-License-Identifier: Apache-2.0
"""`hpip predict`: runs a pipeline with a progress bar, saves files and reports failures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from hpip.cli.notices import warnings_printed
from hpip.cli.progress import image_progress
from hpip.cli.waiting import tell_progress
from hpip.errors import BackendUnavailableError, HpipError, describe_failure
from hpip.inference.pipeline import InstanceSegPipeline, create_pipeline
from hpip.inputs.sources import FileInputs, count_files
from hpip.results.result import InstanceSegResult


@dataclass(frozen=True)
class PredictRequest:
    """The flags of one `hpip predict`."""

    pipeline: str | None
    model: str | None
    model_dir: str | None
    input: list[str]
    save_path: Path | None
    device: str | None
    threshold: float | None
    use_hpip: bool | None
    hpi_config: dict[str, Any] | None
    batch_size: int | None = None
    max_detections: int | None = None
    classes: list[int | str] | None = None
    threads: int | None = None
    precision: str = "auto"
    workers: int = 1
    print_results: bool = False
    keep_subfolders: bool = True
    font: str | None = None

    @property
    def inputs(self) -> FileInputs:
        """The inputs, without what lies in the folder of the results."""
        return FileInputs(tuple(self.input), self.save_path)


@dataclass
class _Tally:
    images: int = 0
    instances: int = 0
    failures: list[tuple[str, Exception]] = field(default_factory=list)

    def fail(self, name: str, error: Exception) -> None:
        self.failures.append((name, error))


def run_predict(request: PredictRequest) -> int:
    """Segment every input, save the results, and report the inputs that failed.

    Results are printed to stdout, progress and failures to stderr.

    Returns:
        The number of failed inputs.
    """
    out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    tally = _Tally()
    with warnings_printed(err), _load(request) as pipeline:
        started = time.perf_counter()
        results = pipeline.predict(request.inputs, on_failure=tally.fail)
        _consume(results, request, tally, out, err)
        seconds = time.perf_counter() - started
    for name, error in tally.failures:
        text = describe_failure(name, error).replace(name, printable(name))
        err.print(f"failed: {text}", style="red", markup=False, highlight=False)
    rate = f", {seconds / tally.images:.2f} s each" if tally.images else ""
    saved = f"; saved to {request.save_path}" if request.save_path and tally.images else ""
    err.print(
        f"{tally.images} images, {tally.instances} instances in {seconds:.2f} s{rate}"
        f"; {len(tally.failures)} failed{saved}",
        markup=False,
        highlight=False,
    )
    return len(tally.failures)


def _load(request: PredictRequest) -> InstanceSegPipeline:
    with tell_progress(
        "loading the model; at its first use hpip also looks for the fastest engine"
    ):
        return create_pipeline(
            request.pipeline,
            model=request.model,
            model_dir=request.model_dir,
            device=request.device,
            use_hpip=request.use_hpip,
            hpi_config=request.hpi_config,
            batch_size=request.batch_size,
            threshold=request.threshold,
            max_detections=request.max_detections,
            classes=request.classes,
            threads=request.threads,
            precision=request.precision,
            workers=request.workers,
            font_path=request.font,
        )


def _consume(
    results: Iterator[InstanceSegResult],
    request: PredictRequest,
    tally: _Tally,
    out: Console,
    err: Console,
) -> None:
    total = count_files(request.input, output_folder=request.save_path)
    with image_progress("segmenting", err, total) as step:
        for result in results:
            try:
                _deliver(result, request, out)
            # Without OpenCV hpip cannot draw: that is not about one input.
            except BackendUnavailableError:
                raise
            except (HpipError, MemoryError) as error:
                tally.fail(result.input_path or result.stem, error)
            else:
                tally.images += 1
                tally.instances += len(result.scores)
            step(tally.images + len(tally.failures), total)


def _deliver(result: InstanceSegResult, request: PredictRequest, out: Console) -> None:
    """Save one result and print it.

    Raises:
        SaveError: the file system refuses, or there can be no file of that name.
        InvalidInputError: the drawing does not fit into its format.
    """
    if request.save_path is not None:
        folder = request.save_path
        result.save_all(folder / result.subfolder if request.keep_subfolders else folder)
    if request.print_results:
        result.print()
    else:
        out.print(_line(result), markup=False, highlight=False)


def _line(result: InstanceSegResult) -> str:
    counts = Counter(result.labels)
    found = ", ".join(f"{number} {label}" for label, number in counts.most_common())
    return f"{printable(result.input_path or result.stem)}: {found or 'no instances'}"


def printable(text: str) -> str:
    """The text on one line: line breaks and other control characters as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
