# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from benchmarks.update_readme import FILES, ROOT, updated
from tests.bench.reports import make_report, make_row


def test_figures_come_between_markers_and_nowhere_else(tmp_path: Path) -> None:
    wrong = make_row("onnxruntime", state="wrong", error="1 missing")
    make_report(make_row(), make_row("paddle"), wrong).save(tmp_path / "a.json")
    marked = "<!-- bench:begin a.json -->\n{}<!-- bench:end -->"
    text = f"before\n{marked.format('old figures' + chr(10))}\nafter 1.5 ms\n"
    new = updated(text, tmp_path)
    assert new.startswith("before\n<!-- bench:begin a.json -->\n| model")
    assert new.endswith("<!-- bench:end -->\nafter 1.5 ms\n")
    assert "old figures" not in new
    assert "| demo | auto | 100 |" in new
    assert "| 2.00 (1.90 to 2.10) |" in new
    assert "wrong, 7 instances" in new
    assert updated(new, tmp_path) == new


def test_this_projects_files_are_up_to_date() -> None:
    for name in FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert updated(text, ROOT) == text, "run python -m benchmarks.update_readme"
