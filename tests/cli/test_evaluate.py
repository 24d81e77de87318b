# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hpip.cli import main
from hpip.cli.evaluate_tables import class_table
from hpip.evaluation import (
    METRICS,
    CategoryMapping,
    ClassScores,
    CocoDataset,
    Evaluation,
    OperatingPoint,
    RegionScores,
)
from tests.coco_files import SIDE, CocoFolder, by_hand
from tests.pictures import rectangles

RED, GREEN = 1, 2


@pytest.fixture
def coco(tmp_path: Path) -> CocoFolder:
    """Two pictures: one right answer, one shifted by 6 of 32 columns, one missed green."""
    coco = CocoFolder(tmp_path)
    first = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    coco.instance(first, RED, (16, 16, 48, 48))
    second = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    coco.instance(second, RED, (22, 16, 54, 48))
    coco.instance(second, GREEN, (60, 60, 100, 100))
    return coco


@pytest.fixture(autouse=True)
def same_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command silences the package's logger; here only until the test ends."""
    logger = logging.getLogger("hpip")
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpip", "eval", "--device", "cpu", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_saved_detections_give_the_same_figures_by_hand(
    tiny_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    annotations, out = coco.write(), tmp_path / "out"
    done = run(
        "--model_dir", tiny_model_dir, "--images", coco.images_dir, "--annotations", annotations,
        "--save_path", out, "--json", "--reference", "plain",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((out / "eval.json").read_text())
    assert (content["images"], content["instances"], content["detections"]) == (2, 3, 2)
    for region in ("masks", "boxes"):
        ours = [
            -1.0 if content[region][name] is None else content[region][name] for name in METRICS
        ]
        for truth in (annotations, out / "ground_truth.json"):
            stats, class_aps = by_hand(truth, out / "detections.json", region)
            assert ours == pytest.approx(stats, abs=1e-9)
            per_class = content[region]["per_class"]
            assert [one["AP"] or -1.0 for one in per_class if one["name"] == "red"] == [
                pytest.approx(class_aps[0], abs=1e-9)
            ]
        assert by_hand(annotations, out / "detections_plain.json", region)[0] == stats
        assert set(content["difference"][region].values()) <= {0.0, None}
    assert content["reference"]["use_hpip"] is False
    assert "2 images, 3 instances" in done.stderr


def evaluate_here(
    monkeypatch: pytest.MonkeyPatch, model_dir: Path, coco: CocoFolder, *arguments: object
) -> int:
    """The exit code of the command, run in this process: a new one loads Paddle for seconds."""
    flags = [
        "--model-dir", model_dir, "--images", coco.images_dir, "--annotations",
        coco.folder / "annotations.json", "--device", "cpu", *arguments,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["hpip", "eval", *map(str, flags)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_tables_show_figures_beside_plain_paddle(
    tiny_model_dir: Path,
    coco: CocoFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coco.write()
    assert evaluate_here(monkeypatch, tiny_model_dir, coco, "--reference", "plain") == 0
    shown = capsys.readouterr()
    rows = {row.strip().split("  ")[0]: row.split() for row in shown.out.splitlines()}
    assert rows["AP50"][1:] == ["0.5000", "0.5000", "+0.0000"] * 2
    assert rows["AP large"][2:] == ["-"] * 6
    assert rows["red"][:4] == ["red", "2", "0.7030", "1.0000"]
    assert rows["green"][1:4] == ["1", "0.0000", "0.0000"]
    assert rows["all"][1:4] == ["3", "0.3515", "0.5000"]
    assert "blue" not in shown.out
    assert "score threshold 0.05" in shown.err


def test_limit_no_hpip_and_a_named_file(
    tiny_model_dir: Path,
    coco: CocoFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coco.write()
    file = tmp_path / "o" / "mine.json"
    flags = ("--limit", 1, "--no-hpip", "--json", "--save-path", file, "--threshold", "0.5")
    assert evaluate_here(monkeypatch, tiny_model_dir, coco, *flags) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["images"], content["use_hpip"], content["threshold"]) == (1, False, 0.5)
    assert content["masks"]["AP"] == pytest.approx(1.0)
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "eval.json", "ground_truth.json", "mine.json",
    ]  # fmt: skip
    assert by_hand(file.with_name("ground_truth.json"), file, "boxes")[0][0] == pytest.approx(1.0)


def test_a_missing_image_is_named_and_fails_the_command(
    tiny_model_dir: Path,
    coco: CocoFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coco.categories = {1: "RED", 2: "violet", 3: "pink"}
    coco.write()
    (coco.images_dir / coco.images[1]["file_name"]).unlink()
    assert evaluate_here(monkeypatch, tiny_model_dir, coco) == 1
    shown = capsys.readouterr()
    assert f"failed: {coco.images_dir}/17.png: no such file" in shown.err
    assert "1 failed, counted as images without detections" in shown.err
    assert "count as missed: violet, pink" in shown.err
    assert "AP50" in shown.out


def test_errors_are_one_line_and_exit_code_1(
    tiny_model_dir: Path,
    coco: CocoFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    coco.categories = {1: "pink", 2: "violet"}
    for text, message in (("{", "JSON"), (json.dumps(coco.content()), "pink, violet")):
        (coco.folder / "annotations.json").write_text(text)
        assert evaluate_here(monkeypatch, tiny_model_dir, coco) == 1
        shown = capsys.readouterr()
        assert shown.err.startswith("error: ")
        assert message in shown.err
        assert shown.out == ""


def test_without_a_model_the_flags_are_named(
    coco: CocoFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hpip", "eval", "--images", "x", "--annotations", "y"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "--model_dir" in capsys.readouterr().err


def test_names_of_classes_are_printed_with_their_brackets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    point = OperatingPoint(score_threshold=0.5, f1=0.5, precision=0.5, recall=0.5)
    names = ("car [red]", "[bold]")
    classes = tuple(ClassScores(i, name, 1, 0.5, 0.5, point, point) for i, name in enumerate(names))
    scores = RegionScores(dict.fromkeys(METRICS, 0.5), point, point, classes)
    mapping = CategoryMapping("name", {}, (), ())
    dataset = CocoDataset(Path("x.json"), (), {}, ())
    found = Evaluation(dataset, mapping, 0.05, (), (), masks=scores, boxes=scores)
    Console().print(class_table(found))
    shown = capsys.readouterr().out
    for name in names:
        assert name in shown
