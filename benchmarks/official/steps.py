# SPDX-License-Identifier: Apache-2.0
"""The steps of one model, each in its own process, so that a crash of an engine ends only its step.

    python -m benchmarks.official.steps JOB_AS_JSON

It writes the result to the job's record.
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.official.checks import check_model
from benchmarks.stock.__main__ import measure, settings_of
from benchmarks.stock.goals import SUITES
from hpip.cli.progress import image_progress
from hpip.common.devices import parse_devices
from hpip.common.files import write_atomically
from hpip.common.system import available_cpus
from hpip.errors import BackendError, BackendUnavailableError, HpipError
from hpip.evaluation import CocoDataset, evaluate, load_dataset
from hpip.evaluation.scores import score_detections
from hpip.inference.pipeline import InstanceSegPipeline, create_pipeline
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.candidates import TuningRequest, candidates
from hpip.inference.tuning.records import Trial, Verdict, label
from hpip.inference.tuning.tune import tune
from hpip.model.spec import load_model_spec

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
# The engine failed the validation, which is a result and not a failure of the step.
REJECTED = "rejected"
AP = "ap-"
# The original graph on plain Paddle, as with `use_hpip=False`.
ORIGINAL = "original"
PADDLE = "paddle"
# COCO's metrics use all detections, regardless of their score.
_THRESHOLD = 0.0
# Images per saved part: the slowest engine takes ten minutes for them.
_CHUNK = 50
_INTERRUPTED = 130


@dataclass(frozen=True)
class Job:
    """One step of one model.

    Attributes:
        step: "checks", "gate", "stock", or "ap-" and one of `engines_of`.
        model_dir: absolute path.
        name: official name, or None.
        record: file for the result.
        work: directory for the partial results from which an interrupted step continues.
        photo: image for the comparison with PaddleX.
        paddlex_python: Python interpreter with PaddleX, or None.
        annotations: COCO annotation file, or None.
        images_dir: root directory of its file names.
        limit: maximum number of its images; None for all.
        tune_budget_s: maximum seconds to tune.
    """

    step: str
    model_dir: str
    name: str | None
    record: str
    work: str
    photo: str
    paddlex_python: str | None
    annotations: str | None
    images_dir: str | None
    limit: int | None
    tune_budget_s: float


class SkippedError(HpipError):
    """A step does not apply, or something that it needs was not given."""


class RejectedError(HpipError):
    """The engine of the step failed hpip's validation of the model."""


def engines_of(model_dir: Path) -> list[str]:
    """The engines for mask AP: all candidates, and the original graph at the end."""
    backends = dict.fromkeys(one.backend for one in candidates(_request(model_dir)))
    return [*backends, PADDLE, ORIGINAL]


def _request(model_dir: Path) -> TuningRequest:
    return TuningRequest(load_model_spec(model_dir), parse_devices("cpu")[0], available_cpus())


def _checks(job: Job) -> dict[str, Any]:
    found = check_model(load_model_spec(job.model_dir), job.name)
    return {"checks": [asdict(check) for check in found]}


def _gate(job: Job) -> dict[str, Any]:
    verdict = tune(
        _request(Path(job.model_dir)), limits=Limits(job.tune_budget_s), again=True
    ).verdict
    chosen = verdict.selection.engine
    return {
        "program": verdict.program,
        "program_reason": verdict.program_reason,
        "engine": label(chosen),
        "backend": chosen.backend,
        "reason": verdict.selection.reason,
        "complete": verdict.complete,
        "plain_paddle_ms": verdict.baseline_ms,
        "trials": [_trial(trial, verdict) for trial in verdict.trials],
    }


def _trial(trial: Trial, verdict: Verdict) -> dict[str, Any]:
    return {
        "engine": label(trial.engine),
        "backend": trial.engine.backend,
        "version": trial.version,
        "state": trial.state,
        "time_ms": trial.time_ms,
        "speed_up": verdict.speedup(trial.time_ms, trial.cpu_ms),
        "peak_rss_bytes": trial.peak_rss_bytes,
        "accuracy": trial.accuracy,
        "reason": trial.reason,
    }


def _stock(job: Job) -> dict[str, Any]:
    """Run `benchmarks.stock` on this model; the result contains the report of `hpip bench`."""
    if job.paddlex_python is None:
        raise SkippedError("--paddlex-python (a Python interpreter with PaddleX) was not given")
    suite = next((suite for suite in SUITES if job.name in suite.models), None)
    if suite is None or job.name is None:
        raise SkippedError("PaddleX can be compared on official models only")
    folder = Path(job.model_dir)
    settings = settings_of(suite, folder.name, folder.parent, job.photo, job.paddlex_python)
    path = Path(job.work) / "bench.json"
    measure(settings, path, resume=True)
    return {"report": json.loads(path.read_text(encoding="utf-8"))}


def _average_precision(job: Job) -> dict[str, Any]:
    assert job.annotations is not None, "mask AP is a step of a run with --coco only"
    dataset = load_dataset(job.annotations, max_images=job.limit)
    chunks = list(_chunks(dataset, Path(job.work)))
    if missing := [one for one in chunks if not one[0].is_file()]:
        _detect(job, missing, len(dataset.images))
    found = [json.loads(path.read_text(encoding="utf-8")) for path, _ in chunks]
    records = [record for one in found for record in one["detections"]]
    masks = score_detections(dataset, records, "masks", threshold=_THRESHOLD)
    boxes = score_detections(dataset, records, "boxes", threshold=_THRESHOLD)
    return {
        "images": len(dataset.images),
        "annotations": dataset.path.name,
        "mask_ap": masks.metrics["AP"],
        "box_ap": boxes.metrics["AP"],
        "masks": masks.to_json(),
        "boxes": boxes.to_json(),
        "detections": len(records),
        "failed_images": [failure for one in found for failure in one["failures"]],
        "categories": found[0]["categories"],
    }


def _chunks(dataset: CocoDataset, folder: Path) -> Iterator[tuple[Path, CocoDataset]]:
    """Split the dataset into parts, each with the file for its detections."""
    for start in range(0, len(dataset.images), _CHUNK):
        images = dataset.images[start : start + _CHUNK]
        ids = {image.image_id for image in images}
        annotations = tuple(one for one in dataset.annotations if one["image_id"] in ids)
        yield folder / f"{start:06d}.json", replace(dataset, images=images, annotations=annotations)


def _detect(job: Job, chunks: list[tuple[Path, CocoDataset]], total: int) -> None:
    """Predict the images of these parts on the engine of the step."""
    engine = job.step.removeprefix(AP)
    done = total - sum(len(part.images) for _, part in chunks)
    title = f"mask AP of {Path(job.model_dir).name} on {engine}"
    with (
        _pipeline(job, engine) as pipeline,
        image_progress(title, Console(stderr=True), total) as show,
    ):
        for path, part in chunks:
            found = evaluate(pipeline, job.images_dir or "", part, threshold=_THRESHOLD)
            done += len(part.images)
            show(done, total)
            content = {
                "detections": found.detections,
                "failures": [(name, str(error)) for name, error in found.failures],
                "categories": found.to_json()["categories"],
            }
            write_atomically(path, json.dumps(content).encode())


def _pipeline(job: Job, engine: str) -> InstanceSegPipeline:
    if engine == ORIGINAL:
        return create_pipeline(model_dir=job.model_dir, use_hpip=False)
    try:
        return create_pipeline(
            model_dir=job.model_dir, use_hpip=True, hpi_config={"backend": engine}
        )
    except BackendError as error:
        raise RejectedError(str(error)) from error


_STEPS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "checks": _checks,
    "gate": _gate,
    "stock": _stock,
}


def run(job: Job) -> dict[str, Any]:
    """Run the step; an error becomes its state and reason."""
    step = _STEPS.get(job.step, _average_precision)
    try:
        return {"state": DONE, **step(job)}
    except (SkippedError, BackendUnavailableError) as error:
        return {"state": SKIPPED, "reason": str(error)}
    except RejectedError as error:
        return {"state": REJECTED, "reason": str(error)}
    except HpipError as error:
        return {"state": FAILED, "reason": str(error)}
    except Exception as error:  # a bug in one step must not cost the report of the others
        traceback.print_exc()
        return {"state": FAILED, "reason": f"{type(error).__name__}: {error}"}


def main() -> None:
    """In the child process: run the job on the command line."""
    # The parent interrupts a step with SIGTERM; partial results must be saved before.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    job = Job(**json.loads(sys.argv[1]))
    Path(job.work).mkdir(parents=True, exist_ok=True)
    try:
        found = run(job)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    write_atomically(Path(job.record), json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
