# SPDX-License-Identifier: Apache-2.0
"""Check and measure official models with their trained weights.

    python -m benchmarks.official MODEL... [--coco DIR] [--paddlex-python VENV/bin/python]

For each model, it checks hpip's assumptions about the files, tunes on every engine, compares with
stock PaddleX, and computes mask AP on every engine for comparison with the published value. It
writes official.md, official.json and a record of each step to --output; run it again to continue.
Exit codes: 0, no step failed; 1, a step failed, or a model could not be read; 2, wrong usage; 130,
interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.official.published import OFFICIAL, official_name
from benchmarks.official.report import markdown
from benchmarks.official.steps import AP, DONE, FAILED, ORIGINAL, Job, engines_of
from hpip.bench.environment import environment, same_environment
from hpip.bench.images import load_images
from hpip.bench.settings import BenchSettings
from hpip.bench.subject import Subject, find_subjects
from hpip.common.digest import files_digest
from hpip.common.files import write_atomically
from hpip.errors import DatasetError, HpipError, InvalidInputError
from hpip.evaluation import load_dataset
from hpip.inference.tuning.budget import THOROUGH_BUDGET_S
from hpip.model.official import demo_images

RESULTS = Path(__file__).parents[1] / "results" / "official"
_ANNOTATIONS, _IMAGES = Path("annotations") / "instances_val2017.json", "val2017"
_NOT_RIGHT, _INTERRUPTED = 1, 130


def coco_files(coco: Path, images_dir: Path | None) -> tuple[Path, Path]:
    """Find the annotation file and the directory of the images.

    Args:
        coco: a directory in COCO's layout, or an annotation file.
        images_dir: directory of the images; None means `val2017` in COCO's layout.

    Raises:
        DatasetError: one of them does not exist.
    """
    is_folder = coco.is_dir()
    annotations = coco / _ANNOTATIONS if is_folder else coco
    folder = images_dir or (coco / _IMAGES if is_folder else None)
    if not annotations.is_file():
        raise DatasetError(
            f"--coco: expected a directory with {_ANNOTATIONS} and {_IMAGES}, or an annotation"
            f" file; {annotations} does not exist"
        )
    if folder is None or not folder.is_dir():
        raise DatasetError(
            f"--coco-images: expected the directory of the images of {annotations};"
            f" received {folder or 'none'}"
        )
    return annotations.resolve(), folder.resolve()


@dataclass(frozen=True)
class Run:
    """One call of the command.

    Attributes:
        options: the command line, with absolute paths.
        coco: annotation file and directory of the images, or None.
        photo: digest of the image for the comparison with PaddleX.
        place: machine, software, and PaddleX's environment.
    """

    options: argparse.Namespace
    coco: tuple[Path, Path] | None
    photo: str
    place: dict[str, Any]

    def measure(self, model: str) -> Iterator[dict[str, Any]]:
        """Run the missing steps of one model; yields its record so far after each step."""
        record: dict[str, Any] = {"model": _title(model), "name": None, "steps": {}}
        try:
            (subject,) = find_subjects([model])
            steps = ["checks", "gate", "stock"]
            if self.coco is not None:
                steps += [AP + name for name in self._engines(subject.model_dir)]
            record |= {"model_bytes": subject.model_bytes, "digest": subject.digest}
        except (HpipError, OSError) as error:
            yield {**record, "state": FAILED, "reason": str(error)}
            return
        name = official_name(subject.model_dir, subject.spec.model_name)
        record["name"] = name
        if name is not None:
            record["published_mask_ap"] = OFFICIAL[name].mask_ap
        for number, step in enumerate(steps, start=1):
            print(f"{subject.name}: {step} ({number} of {len(steps)})", file=sys.stderr)
            record["steps"][step] = self._step(subject, name, step)
            if record["steps"][step]["state"] != DONE:
                print("{state}: {reason}".format_map(record["steps"][step]), file=sys.stderr)
            yield record

    def _engines(self, model_dir: Path) -> list[str]:
        known, wanted = engines_of(model_dir), self.options.engines
        if unknown := sorted(set(wanted or ()) - set(known)):
            raise InvalidInputError(
                f"--engines: expected some of {', '.join(known)}; received {', '.join(unknown)}"
            )
        return [name for name in known if wanted is None or name in wanted]

    def _step(self, subject: Subject, name: str | None, step: str) -> dict[str, Any]:
        """Load the record of a step that is done, or run the step."""
        key = self._key(subject, step)
        short = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
        folder = self.options.output.resolve() / subject.name.replace("/", "-")
        path = folder / f"{step}-{short}.json"
        if path.is_file():
            earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if earlier["state"] == DONE:
                return earlier
            path.unlink()
        annotations, images_dir = self.coco or (None, None)
        job = Job(
            step=step,
            model_dir=str(subject.model_dir),
            name=name,
            record=str(path),
            work=str(path.with_suffix("")),
            photo=self.options.photo,
            paddlex_python=self.options.paddlex_python,
            annotations=None if annotations is None else str(annotations),
            images_dir=None if images_dir is None else str(images_dir),
            limit=self.options.coco_limit,
            tune_budget_s=self.options.tune_budget,
        )
        code = _run_child(job)
        if not path.is_file():
            return {"state": FAILED, "reason": f"its process exited with {_ending(code)}"}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _key(self, subject: Subject, step: str) -> dict[str, Any]:
        """Everything that determines the outcome of a step."""
        options = self.options
        other = ("load_average", "paddlex_packages")
        place = {name: value for name, value in self.place.items() if name not in other}
        key: dict[str, Any] = {"digest": subject.digest, "place": place}
        if step == "gate":
            key["budget"] = options.tune_budget
        if step == "stock":
            key |= {"photo": self.photo, "paddlex": self.place["paddlex_packages"]}
        if step.startswith(AP) and self.coco is not None:
            key |= {"coco": files_digest([self.coco[0]]), "limit": options.coco_limit}
        return key


def _run_child(job: Job) -> int:
    """Run a step in a child process; an interrupt of this process also interrupts the step."""
    command = [sys.executable, "-m", "benchmarks.official.steps", json.dumps(asdict(job))]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _write(output: Path, content: dict[str, Any]) -> None:
    write_atomically(output / "official.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(output / "official.md", markdown(content).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all missing steps; returns the exit code."""
    options = _options(arguments)
    coco = None
    if options.coco is not None:
        coco = coco_files(options.coco, options.coco_images)
        load_dataset(coco[0], max_images=options.coco_limit)
    _expect_distinct(options.models)
    BenchSettings(paddlex_python=options.paddlex_python).check()
    (photo,) = load_images([options.photo], 1)
    place = environment(options.paddlex_python)
    run = Run(options, coco, photo.digest, place)
    content: dict[str, Any] = {
        "schema": "hpip.official",
        "schema_version": 1,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": place,
        "settings": {
            "photo": Path(options.photo).name,
            "coco": None if coco is None else coco[0].name,
            "coco_limit": options.coco_limit,
            "tune_budget_s": options.tune_budget,
            "engines": options.engines,
        },
        "models": _earlier(options.output, place),
    }
    failed = False
    for model in options.models:
        record: dict[str, Any] = {}
        for record in run.measure(model):
            others = [one for one in content["models"] if one["model"] != record["model"]]
            content["models"] = [*others, record]
            _write(options.output, content)
        states = [record.get("state"), *(one["state"] for one in record["steps"].values())]
        failed |= FAILED in states
    sys.stdout.write(markdown(content))
    return _NOT_RIGHT if failed else 0


def _title(model: str) -> str:
    """A model's name in the report: its name, or that of its directory."""
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() else folder.name


def _expect_distinct(models: Sequence[str]) -> None:
    titles = [_title(model) for model in models]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise InvalidInputError(
            f"models: expected different names; received {', '.join(twice)} twice. Rename a"
            " directory, or use a separate --output for each."
        )


def _earlier(output: Path, place: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of an existing report, if it is from this machine and software."""
    path = output / "official.json"
    if not path.is_file():
        return []
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    models: list[dict[str, Any]] = content["models"]
    return models if same_environment(content["environment"], place) else []


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.official",
        description="Check and measure official models with their trained weights.",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="directories or official names")
    parser.add_argument("--coco", type=Path, help="COCO's directory, or an annotation file")
    parser.add_argument(
        "--coco-images", type=Path, metavar="DIR", help="directory of the annotated images"
    )
    parser.add_argument("--coco-limit", type=int, metavar="N", help="use only the first N images")
    parser.add_argument(
        "--engines", nargs="+", help=f"engines for mask AP: backends, {ORIGINAL}; default: all"
    )
    parser.add_argument(
        "--photo", help="image for the comparison with PaddleX; default: one of hpip's"
    )
    parser.add_argument(
        "--paddlex-python", metavar="PYTHON", help="Python interpreter with PaddleX"
    )
    parser.add_argument(
        "--tune-budget",
        type=float,
        metavar="S",
        default=THOROUGH_BUDGET_S,
        help="maximum seconds to tune one model",
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.coco is None and (options.coco_images or options.coco_limit):
        parser.error("--coco-images and --coco-limit require --coco")
    options.photo = str(Path(options.photo or demo_images()[0]).resolve())
    if options.paddlex_python and os.sep in options.paddlex_python:
        # Not resolved: the interpreter of a virtual environment works only through its link.
        options.paddlex_python = str(Path(options.paddlex_python).absolute())
    options.engines = tuple(options.engines) if options.engines else None
    return options


if __name__ == "__main__":
    # SIGTERM, for example from `timeout`, has the same effect as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; run the command again to continue", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except HpipError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_NOT_RIGHT)
