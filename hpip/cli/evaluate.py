# SPDX-License-Identifier: Apache-2.0
"""`hpip eval`: evaluates a pipeline with a progress bar, prints tables and saves files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hpip._core import __version__
from hpip.cli.evaluate_tables import class_table, metric_table
from hpip.cli.progress import image_progress
from hpip.common.files import target_file, write_atomically
from hpip.errors import describe_failure
from hpip.evaluation import CocoDataset, Evaluation, evaluate, load_dataset, metric_differences
from hpip.inference.pipeline import create_pipeline


@dataclass(frozen=True)
class EvalRequest:
    """The flags of one `hpip eval`."""

    model: str | None
    model_dir: str | None
    images_dir: Path
    annotations: Path
    threshold: float
    device: str | None
    max_images: int | None
    save_path: Path | None
    print_json: bool
    with_reference: bool
    use_hpip: bool | None
    batch_size: int | None
    threads: int | None


def run_eval(request: EvalRequest) -> int:
    """Evaluate a model, print its metrics to stdout, and save them.

    Progress and failures are printed to stderr.

    Returns:
        The number of images without a result.
    """
    err = Console(stderr=True, soft_wrap=True)
    dataset = load_dataset(request.annotations, max_images=request.max_images)
    content: dict[str, Any] = {
        "hpip_version": __version__,
        "images_dir": str(request.images_dir),
        "annotations": str(request.annotations),
    }
    evaluation, description = _evaluate(request, dataset, request.use_hpip, err)
    content |= description | evaluation.to_json()
    reference = None
    if request.with_reference:
        reference, description = _evaluate(request, dataset, False, err)
        content["reference"] = description | reference.to_json()
        content["difference"] = metric_differences(evaluation, reference)
    if request.save_path is not None:
        _save(request.save_path, evaluation, reference, content, err)
    if request.print_json:
        print(json.dumps(content, indent=2))
    else:
        _print_tables(evaluation, reference)
    _report(evaluation, "", err)
    if reference is not None:
        _report(reference, "plain: ", err)
    return len(evaluation.failures) + (len(reference.failures) if reference else 0)


def _evaluate(
    request: EvalRequest, dataset: CocoDataset, use_hpip: bool | None, err: Console
) -> tuple[Evaluation, dict[str, Any]]:
    with create_pipeline(
        model=request.model,
        model_dir=request.model_dir,
        device=request.device,
        use_hpip=use_hpip,
        batch_size=request.batch_size,
        threads=request.threads,
    ) as pipeline:
        first = pipeline.predictors[0]
        description = {
            "model": first.spec.model_name,
            "use_hpip": first.use_hpip,
            "device": ",".join(str(one.device) for one in pipeline.predictors),
        }
        name = f"evaluating {first.spec.model_name}{'' if first.use_hpip else ', plain'}"
        with image_progress(name, err) as step:
            evaluation = evaluate(
                pipeline,
                request.images_dir,
                dataset,
                threshold=request.threshold,
                on_progress=step,
            )
    return evaluation, description


def _print_tables(evaluation: Evaluation, reference: Evaluation | None) -> None:
    out = Console()
    out.print(metric_table(evaluation, reference))
    out.print(class_table(evaluation))


def _report(evaluation: Evaluation, prefix: str, err: Console) -> None:
    """Print what the tables don't show: failures, and how labels were matched to categories."""

    def say(text: str, style: str = "") -> None:
        err.print(f"{prefix}{text}", style=style, markup=False, highlight=False)

    for name, error in evaluation.failures:
        say(f"failed: {describe_failure(name, error)}", "red")
    categories = evaluation.categories
    if categories.matched_by == "position":
        say("Labels and categories share no name: hpip matched them by position.", "yellow")
    if categories.categories_without_label:
        names = ", ".join(categories.categories_without_label)
        say(
            "The model has no label for these categories, so their instances count as missed:"
            f" {names}",
            "yellow",
        )
    failed = len(evaluation.failures)
    say(
        f"{len(evaluation.dataset.images)} images,"
        f" {sum(one.instances for one in evaluation.masks.classes)} instances,"
        f" {len(evaluation.detections)} detections at the score threshold {evaluation.threshold:g};"
        f" {failed} failed" + (", counted as images without detections" if failed else "")
    )


def _save(
    save_path: Path,
    evaluation: Evaluation,
    reference: Evaluation | None,
    content: dict[str, Any],
    err: Console,
) -> None:
    path = target_file(save_path, "detections.json", (".json",))
    evaluation.save_detections(path)
    if reference is not None:
        reference.save_detections(path.with_name(f"{path.stem}_plain.json"))
    truth = json.dumps(evaluation.dataset.to_coco())
    write_atomically(path.with_name("ground_truth.json"), truth.encode())
    write_atomically(path.with_name("eval.json"), json.dumps(content, indent=2).encode())
    err.print(f"saved to {path.parent}", markup=False, highlight=False)
