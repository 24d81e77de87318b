# SPDX-License-Identifier: Apache-2.0
"""docs/serving.md names every flag, key, metric and status that there is, and no other."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
import typer
import yaml

from benchmarks.serving.server import RunningServer
from hpip.cli.serve import serve_command
from hpip.serving.app import create_app
from hpip.serving.settings import ServingSettings, make_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "serving.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """From a heading to the next one."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert match, title
    return match.group(1)


def rows(title: str) -> list[list[str]]:
    """Cells of a section's first table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def flags_of_the_command() -> set[str]:
    command = typer.Typer()
    command.command()(serve_command)
    parameters = typer.main.get_command(command).params
    return {flag for one in parameters for flag in (*one.opts, *one.secondary_opts)}


def test_every_flag_is_there() -> None:
    named = set(re.findall(r"`?(--[A-Za-z_-]+)", " ".join(row[0] for row in rows("Start"))))
    known = flags_of_the_command()
    assert named <= known
    spelled_twice = {flag.replace("_", "-") for flag in known if "_" in flag[2:]}
    elsewhere = {"--pipeline", "--model", "--model_dir", "--font", "--debug", *spelled_twice}
    elsewhere |= {"--install-completion", "--show-completion"}
    assert known - elsewhere - named == set()


def test_every_key_and_default_is_there() -> None:
    fields = ServingSettings.model_fields
    keys: dict[str, str] = {}
    for row in rows("Start"):
        names = re.findall(r"`(\w+)`", row[1])
        defaults = row[2].split(", ")[: len(names)]
        keys |= dict(zip(names, defaults, strict=True))
    assert set(keys) == set(fields)
    for key, default in keys.items():
        value = fields[key].default
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert float(default) == float(value), key
        if isinstance(value, str):
            assert default == value, key


def test_the_pipeline_file_is_taken() -> None:
    match = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert match
    settings = make_settings(yaml.safe_load(match.group(1))["Serving"], {})
    assert (settings.visualize, settings.workers, settings.max_queue) == (False, 2, 32)


def test_every_status_is_there(demo_server: RunningServer) -> None:
    named = {int(code) for row in rows("Errors") for code in re.findall(r"\d{3}", row[0])}
    with urllib.request.urlopen(f"{demo_server.url}/openapi.json") as response:
        announced = set(map(int, re.findall(r'"([45]\d\d)":', response.read().decode())))
    assert announced <= named
    assert named - announced <= {404, 405}


def test_every_metric_is_there(demo_server: RunningServer) -> None:
    named = {name for row in rows("Metrics") for name in re.findall(r"`(hpip_\w+)", row[0])}
    with urllib.request.urlopen(f"{demo_server.url}/metrics") as response:
        told = set(re.findall(r"# HELP (\w+)", response.read().decode()))
    # A counter's time of creation comes with it; the process's own are named by their beginning.
    own = {name for name in told if not re.search("_created$|^hpip_front_process_", name)}
    assert own | {"hpip_front_process_"} == named


def test_every_path_is_there() -> None:
    named = set(re.findall(r"`(?:GET )?(/[\w./-]*)`", section("Other paths")))
    app = create_app(ServingSettings(), [], on_broken=lambda _: None)
    served = {getattr(route, "path", "") for route in app.routes}
    assert named <= served
    assert {"/health", "/health/ready", "/metrics", "/"} <= named


@pytest.mark.parametrize("file", sorted(DOCS.rglob("*.md")), ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (file.parent / target).exists(), target


@pytest.mark.parametrize("name", ["kubernetes.yaml"])
def test_probes_ask_paths_that_there_are(name: str) -> None:
    documents = list(yaml.safe_load_all((DOCS / "deploy" / name).read_text(encoding="utf-8")))
    (container,) = documents[0]["spec"]["template"]["spec"]["containers"]
    paths = {key: container[key]["httpGet"]["path"] for key in container if key.endswith("Probe")}
    assert paths == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health",
    }
