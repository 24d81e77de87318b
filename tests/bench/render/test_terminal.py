# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from hpip.bench.render.tables import tables_of
from hpip.bench.render.terminal import TerminalWatcher, print_report
from tests.bench.reports import make_load_row, make_report, make_row

REPORT = make_report(
    make_row(speedup_paddlex=1.5, speedup_paddlex_low=1.4, speedup_paddlex_high=1.7),
    make_row("paddle", typical_ms=1300),
    make_row("onnxruntime", state="wrong", error="3 instances are missing"),
    make_row(model="Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN", typical_ms=80000),
    load_rows=(make_load_row(), make_load_row("open", 4)),
)


@pytest.mark.parametrize("width", [80, 120, 240])
def test_what_matters_fits_the_terminal(width: int) -> None:
    out = io.StringIO()
    print_report(REPORT, Console(file=out, width=width))
    text = out.getvalue()
    told = ("2.00 ±5%", "1.50 ±13%", "reference", "WRONG", "3 instances are missing", "validation")
    for words in (*told, "= p50", "peak (MB)", "1 callers", "4/s"):
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("  ")]
    assert max(map(len, rows)) <= width
    everything = {heading for table in tables_of(REPORT) for heading in table.headings}
    shown = {heading for heading in everything if heading in text}
    assert (shown == everything) == (width == 240)


def test_progress_is_live_on_a_terminal() -> None:
    out = io.StringIO()
    with TerminalWatcher(Console(file=out, force_terminal=True, width=120)) as watcher:
        watcher.workload("demo [b]", 1, 2)
        watcher.doing("auto: loading")
        watcher.round(3, {"auto": math.inf}, 1.0, 10.0)
        watcher.round(9, {"auto": 0.123}, 2.0, 10.0)
        watcher._progress.refresh()
        watcher.finished(make_row())
    text = out.getvalue()
    assert "[1/2] demo [b]" in text
    assert "round 9, widest interval 12%" in text
    assert "auto: p50 101 ms" in text or "auto: p50 100 ms" in text


def test_elsewhere_there_is_a_line_for_each_step() -> None:
    out = io.StringIO()
    with TerminalWatcher(Console(file=out)) as watcher:
        watcher.workload("demo", 1, 2)
        watcher.doing("auto: loading")
        watcher.round(1, {}, 1.0, 10.0)
    assert out.getvalue() == "[1/2] demo\n  auto: loading\n"
