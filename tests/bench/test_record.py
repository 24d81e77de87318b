# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hpip.bench.compare import compare_reports
from hpip.bench.record import STAGES, ReportFormatError, load_report
from hpip.bench.render.tables import remarks, tables_of
from hpip.bench.render.text import csv_text, markdown

from .reports import ENVIRONMENT, make_load_row, make_report, make_row


def test_a_report_comes_back_as_it_was(tmp_path: Path) -> None:
    report = make_report(make_row(image_hw=(480, 640), threshold=0.5), load_rows=(make_load_row(),))
    report.save(tmp_path / "bench.json")
    assert load_report(tmp_path / "bench.json") == report


def test_the_json_has_the_promised_fields(tmp_path: Path) -> None:
    make_report(make_row(calls=3)).save(tmp_path / "bench.json")
    # Three calls give no interval: its infinite ends are null, which every JSON reader takes.
    content = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    (row,) = content["results"]
    for name in ("p50_ms", "p90_ms", "p99_ms", "preprocess_ms", "infer_ms", "postprocess_ms"):
        assert row[name] > 0
    assert row["peak_rss_bytes"] == 400_000_000
    assert row["p50_low_ms"] is None
    assert sum(row[stage] for stage in STAGES) == pytest.approx(row["p50_ms"])
    assert content["schema_version"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 0}, "received 0, from an older hpip. Measure again"),
        ({"schema_version": 99}, "from a newer hpip"),
        ({"schema": "other"}, "received another file"),
        ({"results": [{"model": "x"}]}, "damaged"),
        ({"images": None, "created_utc": ...}, "damaged"),
    ],
)
def test_other_files_are_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "old.json"
    content = {**make_report(make_row()).to_json(), **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))
    with pytest.raises(ReportFormatError, match=message) as caught:
        load_report(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", "\ufffd"])
def test_files_that_are_no_reports(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ReportFormatError, match="expected a"):
        load_report(path)


def test_csv_has_a_line_for_each_contender() -> None:
    report = make_report(make_row(), make_row("paddle", typical_ms=300, image_hw=(480, 640)))
    lines = list(csv.DictReader(io.StringIO(csv_text(report))))
    assert [line["backend"] for line in lines] == ["auto", "paddle"]
    assert [line["image_hw"] for line in lines] == ["", "480x640"]
    assert float(lines[0]["p50_ms"]) == report.rows[0].p50_ms


def test_markdown_shows_no_time_of_a_wrong_answer() -> None:
    wrong = make_row("onnxruntime", state="wrong", error="1 instance | missing\nin image 0")
    text = markdown(make_report(make_row(), wrong))
    line = next(one for one in text.splitlines() if one.startswith("| demo | onnxruntime"))
    assert line.count("-") >= 8
    assert "WRONG" in line
    assert (
        "demo, onnxruntime: validation failed, so no latency: 1 instance \\| missing in image 0"
        in text
    )


def test_tables_and_remarks_tell_what_is_special() -> None:
    report = make_report(
        make_row(remembered="2026-01-01"),
        make_row("tensorrt", state="unavailable", error="no GPU", calls=1),
        make_row("openvino", state="unverified"),
        interrupted=True,
    )
    told = "\n".join(remarks(report))
    for words in ("interrupted", "2026-01-01", "unavailable: no GPU", "not validated"):
        assert words in told
    latency = tables_of(report)[0]
    assert [row[1] for row in latency.rows] == ["auto*", "tensorrt", "openvino"]
    for table in tables_of(report):
        assert {len(row) for row in table.rows} == {len(table.headings)}


def kinds(changes: list[Any]) -> list[str]:
    return [change.kind for change in changes]


@pytest.mark.parametrize(
    ("typical_ms", "expected"),
    [(100.5, "same"), (80, "faster"), (106, "slower"), (130, "regression")],
)
def test_changes_are_told_from_noise(typical_ms: float, expected: str) -> None:
    old = make_report(make_row(typical_ms=100, seed=1))
    new = make_report(make_row(typical_ms=typical_ms, seed=2))
    (change,) = compare_reports(new, old, 0.1)
    assert change.kind == expected
    assert ("noise, the intervals overlap" in change.text) == (expected == "same")


def test_few_calls_are_no_proof() -> None:
    old, new = make_report(make_row(calls=4)), make_report(make_row(typical_ms=500, calls=4))
    (change,) = compare_reports(new, old, 0.1)
    assert change.kind == "same"
    assert "too few calls for an interval" in change.text


def test_a_right_answer_that_was_lost_is_a_regression() -> None:
    old = make_report(make_row())
    for state, kind in (("wrong", "regression"), ("failed", "regression"), ("interrupted", "note")):
        new = make_report(make_row(state=state, error="why"))
        assert kinds(compare_reports(new, old, 0.1)) == [kind]


def test_memory_beyond_the_bound_is_a_regression() -> None:
    old, new = make_report(make_row()), make_report(make_row(peak_rss_bytes=500_000_000))
    assert kinds(compare_reports(new, old, 0.1)) == ["same", "regression"]
    assert kinds(compare_reports(new, old, 0.3)) == ["same"]


def test_other_machines_and_other_contenders_are_noted() -> None:
    elsewhere = {**ENVIRONMENT, "cpu": "Another", "load_average": [9.0, 9.0, 9.0]}
    old = make_report(make_row("paddle"), environment=elsewhere, images=[])
    changes = compare_reports(make_report(make_row()), old, 0.1)
    assert set(kinds(changes)) == {"note"}
    told = "\n".join(change.text for change in changes)
    for words in ('cpu: "Another" -> "A processor"', "not in the old", "only in the old", "images"):
        assert words in told
    assert "load_average" not in told
