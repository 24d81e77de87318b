# SPDX-License-Identifier: Apache-2.0
"""The command, with models that are quick."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the HTML report needs matplotlib")

import hpip
from hpip import create_pipeline
from hpip.bench.cli import main
from hpip.bench.record import STAGES
from hpip.evaluation import evaluate, load_dataset
from tests.coco_files import SIDE, CocoFolder
from tests.pictures import rectangles

from .reports import make_report, make_row

# Its calls take tens of milliseconds; what no stage claims is a constant of about 0.3.
DEMO = Path(hpip.__file__).parent / "demo"
SHORT = ("--budget-s", "60", "--least-rounds", "6", "--width", "1000")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hpip.bench", *map(str, arguments)]


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command says when it refuses."""
    with pytest.raises(SystemExit) as left:
        main([*map(str, arguments)])
    assert left.value.code == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.err


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of one run in every format, and what it printed."""
    out = tmp_path_factory.mktemp("out")
    done = subprocess.run(
        command(
            "--models", DEMO, "--images", DEMO, "--backends", "auto,paddle",
            "--callers", "1,2", "--rates", "20", "--load-s", "0.5", "--output", out,
            "--format", "md,csv,json,html", *SHORT,
        ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_every_format_is_there(measured: tuple[Path, str]) -> None:
    out, printed = measured
    assert {path.name for path in out.iterdir()} >= {
        *("bench.md", "bench.csv", "bench.json", "bench.html", "plots")
    }
    assert len(list((out / "plots").glob("*.svg"))) == len(list((out / "plots").glob("*.png")))
    for words in ("Latency", "Latency by stage", "Latency under load", "reference"):
        assert words in printed
        assert words in (out / "bench.html").read_text()


def test_stages_add_up_to_the_whole_within_3_percent(measured: tuple[Path, str]) -> None:
    content = json.loads((measured[0] / "bench.json").read_text())
    assert content["interrupted"] is False
    rows = {row["backend"]: row for row in content["results"]}
    assert set(rows) == {"auto", "paddle"}
    for row in rows.values():
        assert row["state"] == "measured", row["error"]
        assert 0 <= row["other_ms"] <= 0.03 * row["p50_ms"]
        assert sum(row[stage] for stage in STAGES) == pytest.approx(row["p50_ms"])
        # Of all calls: in some the machine may have turned to another job between two stages.
        assert 0.9 < row["stage_sum_ratio"] <= 1
        assert row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["peak_rss_bytes"] >= row["loaded_rss_bytes"] > 10**7
        assert row["first_result_ms"] > row["load_ms"] > 0
        assert row["draw_ms"] > 0
        assert row["samples"] == len(row["samples_ms"]) >= 6
    assert rows["auto"]["instances_matched"] > 0
    assert rows["paddle"]["speedup_plain"] == 1


def test_the_report_names_no_folder_of_this_machine(measured: tuple[Path, str]) -> None:
    for name in ("bench.json", "bench.md", "bench.csv", "bench.html"):
        text = (measured[0] / name).read_text()
        for folder in (DEMO, DEMO.parent, measured[0], Path.home()):
            assert f"{folder}/" not in text


def test_loads_are_reported(measured: tuple[Path, str]) -> None:
    content = json.loads((measured[0] / "bench.json").read_text())
    loads = [(row["backend"], row["loop"], row["callers"]) for row in content["load"]]
    assert loads == [
        (backend, loop, callers)
        for backend in ("auto", "paddle")
        for loop, callers in (("closed", 1), ("closed", 2), ("open", None))
    ]
    assert all(row["errors"] == 0 and row["requests"] > 0 for row in content["load"])


def test_a_report_is_shown_and_compared_again(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measured[0] / "bench.json"
    main_args = ["--report", str(report), "--compare", str(report), "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main([*main_args, "--format", "md"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "noise, the intervals overlap" in printed
    assert "0 regressions" in printed
    assert (tmp_path / "bench.md").read_text() == (measured[0] / "bench.md").read_text()


def test_a_regression_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_report(make_row(typical_ms=100)).save(tmp_path / "old.json")
    make_report(make_row(typical_ms=120)).save(tmp_path / "new.json")
    arguments = ["--report", str(tmp_path / "new.json"), "--compare", str(tmp_path / "old.json")]
    for bound, code in (("0.1", 1), ("0.5", 0)):
        out = ["--output", str(tmp_path / "out"), "--format", "json", "--max-regression", bound]
        with pytest.raises(SystemExit) as left:
            main([*arguments, *out])
        assert left.value.code == code
    assert "1 regressions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "demo", "--backends", "warp"), "backends: expected some of auto, paddle"),
        (("--models", "demo", "--backends", "paddlex"), "--paddlex-python"),
        (("--models", "demo", "--paddlex-python", "/no/python"), "which does not exist"),
        (("--models", "Mask-RT-DETR-Q"), "Did you mean"),
        (("--models", "no/such/folder"), "does not exist"),
        (("--models", "demo", "--images", "no/such/photo.jpg"), "no such file"),
        (("--models", "demo", "demo"), "expected each once"),
        (("--models", "demo", "--sizes", "big"), "expected HEIGHTxWIDTH"),
        (("--models", "demo", "--precisions", "fp8"), "precisions: expected some of"),
        (("--models", "demo", "--devices", "tpu:0"), "tpu"),
        (("--models", "demo", "--budget-s", "0"), "budget_s: expected a number above 0"),
        (("--models", "demo", "--batch-sizes", "0"), "batch sizes: expected a whole number"),
        (("--models", "demo", "--callers", "0"), "callers and rates"),
        (("--models", "demo", "--format", "pdf"), "format: expected some of md, csv, json, html"),
        (("--models", "demo", "--coco", "x.json"), "coco and coco_images"),
        (("--url", "localhost:80"), "expected an http"),
        ((), "models: expected model directories"),
        (("--suite", "no.yaml"), "suite no.yaml: the file can't be read"),
        (("--report", "no.json"), "no.json: expected a JSON report"),
    ],
)
def test_wrong_requests_are_told_before_anything_starts(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpip.bench.run.sgemm_gflops", lambda _: pytest.fail("too late"))
    assert message in fails(capsys, *arguments, "--output", tmp_path)


def test_a_folder_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = fails(capsys, "--models", "demo", "--images", tmp_path, "--output", tmp_path)
    assert "no image in this directory" in told


def test_an_old_report_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpip.bench.run.sgemm_gflops", lambda _: pytest.fail("too late"))
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"schema": "hpip.bench", "schema_version": 0}))
    told = fails(capsys, "--models", "demo", "--compare", old, "--output", tmp_path)
    assert "from an older hpip" in told


# A few hundred bytes of YAML whose text would fill the memory: the last of nine lists, each of
# which holds the one before ten times.
YAML_BOMB = (
    "[&a0 [x,x,x,x,x,x,x,x,x,x], "
    + ", ".join(f"&a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))
    + "]"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("speed: 3", "received 'speed'"),
        ("threads: many", "threads: expected tuple"),
        ("- a", "expected a mapping"),
        ("a: [", "can't be read"),
        ("rest_s: 2001-99-99", "can't be read"),
        ("x: " + "[" * 100_000, "can't be read"),
        ("coco: {a: b}", "coco: expected str | None; received {'a': 'b'}"),
        (f"models: {YAML_BOMB}", "models: expected tuple[str, ...]; received [["),
        (YAML_BOMB, "expected a mapping of settings; received [["),
    ],
    ids=lambda text: text[:12],
)
def test_bad_suites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(content)
    assert message in fails(capsys, "--suite", suite, "--output", tmp_path)


@pytest.mark.skipif(find_spec("paddlex") is not None, reason="PaddleX is in this environment")
def test_an_engine_that_is_not_here_is_told_and_the_rest_measured(
    tiny_model_dir: Path, photos: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        command(
            "--models", tiny_model_dir, "--images", photos, "--backends", "paddle,paddlex",
            "--paddlex-python", sys.executable, "--format", "json", "--output", tmp_path,
            *SHORT,
        ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {r["backend"]: r for r in json.loads((tmp_path / "bench.json").read_text())["results"]}
    assert rows["paddle"]["state"] == "measured"
    assert rows["paddlex"]["state"] == "unavailable"
    assert rows["paddlex"]["p50_ms"] is None
    assert rows["paddlex"]["error"] in done.stdout.replace("\n", " ")


def test_average_precision_batches_and_sizes(tiny_model_dir: Path, tmp_path: Path) -> None:
    coco = CocoFolder(tmp_path / "coco")
    whole = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    coco.instance(whole, 1, (16, 16, 48, 48))
    missed = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    coco.instance(missed, 2, (60, 60, 100, 100))
    out = tmp_path / "out"
    done = subprocess.run(
        command(
            "--models", tiny_model_dir, "--images", coco.images_dir, "--backends", "paddle",
            "--coco", coco.write(), "--coco-images", coco.images_dir, "--sizes", "64x64,96x80",
            "--batch-sizes", "2", "--threads", "1", "--thresholds", "0.4", "--output", out,
            "--format", "csv", *SHORT,
        ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "bench.json").read_text())["results"]
    assert [row["image_hw"] for row in rows] == [[64, 64], [96, 80]]
    truth, model = load_dataset(coco.folder / "annotations.json"), str(tiny_model_dir)
    with create_pipeline(model_dir=model, use_hpip=False, device="cpu") as pipeline:
        wanted = evaluate(pipeline, coco.images_dir, truth)
    for row in rows:
        assert (row["state"], row["batch_size"], row["threads"]) == ("measured", 2, 1)
        assert row["throughput_ips"] == pytest.approx(2000 / row["mean_ms"])
        assert row["mask_ap"] == pytest.approx(wanted.masks.metrics["AP"])
        assert row["box_ap"] == pytest.approx(wanted.boxes.metrics["AP"])


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"the command ended without saying {words!r}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_kept_marked_and_resumed(
    tiny_model_dir: Path, photos: Path, tmp_path: Path, number: signal.Signals
) -> None:
    arguments: list[Any] = ["--models", tiny_model_dir, "--images", photos]
    arguments += ["--backends", "paddle", "--format", "json,md", "--output", tmp_path]
    endless = ["--budget-s", "1e9", "--least-rounds", "1000000"]
    process = subprocess.Popen(
        command(*arguments, *endless, "--batch-sizes", "1,2"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # As a terminal starts it: what runs in the background inherits that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_for(process, "rounds")
        time.sleep(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert process.returncode == 130
    assert "--resume continues" in err
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["interrupted"] is True
    (row,) = report["results"]
    assert (row["state"], row["p50_ms"] is None) == ("interrupted", False)
    assert "interrupted" in (tmp_path / "bench.md").read_text()

    # What was finished before is not measured again: as if the second had been, in another way.
    done = {**row, "batch_size": 2, "state": "measured", "runs": "kept"}
    (tmp_path / "bench.json").write_text(json.dumps({**report, "results": [row, done]}))
    resumed = subprocess.run(
        command(*arguments, *SHORT, "--batch-sizes", "1,2", "--resume"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["interrupted"] is False
    assert [row["state"] for row in report["results"]] == ["measured"] * 2
    assert [row["runs"] == "kept" for row in report["results"]] == [False, True]


def test_hpip_bench_is_the_same_command() -> None:
    texts = [
        subprocess.run(
            [sys.executable, "-m", *module, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for module in (["hpip.bench"], ["hpip", "bench"])
    ]
    assert texts[0] == texts[1]
    assert "--models" in texts[0]
