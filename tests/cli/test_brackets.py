# SPDX-License-Identifier: Apache-2.0
"""No text of the command line loses its brackets, which rich reads as markup."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import typer
from typer import rich_utils
from typer.testing import CliRunner

from hpip.cli import tune as tune_module
from hpip.cli.app import app
from hpip.common.devices import Device
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning.records import EngineSelection, Trial, Verdict
from hpip.model.official import find_model
from hpip.model.spec import load_model_spec
from tests.cli.test_doctor import SOUND, with_versions

RUNNER = CliRunner()
FIX = "pip install 'hpip[cpu]'"


def test_doctor_prints_what_to_install_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = replace(SOUND, versions=with_versions(paddlepaddle=None))
    monkeypatch.setattr(tune_module, "examine", lambda: seen)
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert any(line.rstrip().endswith(f"-> {FIX}") for line in result.stdout.splitlines())


def commands(command: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list]]:
    """Every command, and the texts of its flags."""
    yield names, [one.help for one in command.params if not getattr(one, "hidden", False)]
    for name, below in getattr(command, "commands", {}).items():
        if name != "bench":  # it has a parser of its own
            yield from commands(below, (*names, name))


@pytest.mark.parametrize(("names", "helps"), list(commands(typer.main.get_command(app))))
def test_help_shows_every_bracket(
    names: tuple[str, ...], helps: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 1000)
    shown = RUNNER.invoke(app, [*names, "--help"]).stdout
    for text in helps:
        for word in re.findall(r"\S*[\[\]<>*]\S*", text or ""):
            assert word.strip("`") in shown


def test_errors_show_every_bracket() -> None:
    command = [sys.executable, "-m", "hpip", "predict", "--model", "x[red]y[/]", "--input", "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "x[red]y[/]" in done.stderr


@pytest.mark.parametrize("arguments", [["predict", "--spe[red]d"], ["tun[bold]e"]])
def test_usage_errors_show_every_bracket(arguments: list[str]) -> None:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert arguments[-1] in result.output


def test_explain_shows_every_bracket(capsys: pytest.CaptureFixture[str]) -> None:
    spec = replace(load_model_spec(find_model("demo")), model_name="model[bold]name")
    request = tune_module.TuningRequest(spec, Device("cpu"), 1)
    engine = Engine("openvino", Device("cpu"), 1, settings={"key": "a[red]b"})
    reason = f"not installed: {FIX} [red]"
    trial = Trial(engine, "1[dim]", "absent", reason, accuracy="x[b]y")
    selection = EngineSelection(request.baseline, "be[u]cause", (("open[i]vino", reason),))
    verdict = Verdict("untouched", "no [s]pass matched", selection, (trial,), untried=("x",))
    tune_module._print_verdict(request, verdict)
    shown = capsys.readouterr().out
    for text in ("model[bold]name", "open[i]vino", reason, "be[u]cause", "no [s]pass", "x[b]y"):
        assert text in shown
