# SPDX-License-Identifier: Apache-2.0
"""Update the figures of reports in Markdown files, between markers.

    python -m benchmarks.update_readme            # writes
    python -m benchmarks.update_readme --check    # exits with 1 if a file is outdated

`<!-- bench:begin benchmarks/results/demo/bench.json -->` names a report; the text between it and
`<!-- bench:end -->` is replaced by the report's table. `<!-- stock:begin MODEL,... -->` stands for
rows of the comparison with stock PaddleX. Do not edit the text between markers by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.stock.table import reports_in, speed_table
from hpip.bench.contender import PLAIN
from hpip.bench.record import Report, Row, load_report
from hpip.bench.render.tables import Table, machine_line, milliseconds, remarks
from hpip.bench.render.text import markdown_table

ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "benchmarks/README.md")
STOCK = "benchmarks/results/stock"
_BLOCK = re.compile(
    r"(?P<begin><!-- (?P<kind>bench|stock):begin (?P<what>\S+) -->\n).*?"
    r"(?P<end><!-- (?P=kind):end -->)",
    re.DOTALL,
)


def updated(text: str, root: Path) -> str:
    """The text with every block regenerated from its report; paths are relative to `root`."""

    def block(match: re.Match[str]) -> str:
        if match["kind"] == "stock":
            table = speed_table(match["what"].split(","), reports_in(root / STOCK))
            return f"{match['begin']}{markdown_table(table)}\n{match['end']}"
        report = load_report(root / match["what"])
        return f"{match['begin']}{summary(report)}\n{match['end']}"

    return _BLOCK.sub(block, text)


def summary(report: Report) -> str:
    """The main table of a report, the machine, and remarks."""
    rows: list[tuple[str, ...]] = [
        (
            row.contender.workload.title,
            row.contender.label,
            milliseconds(row.p50_ms) if row.timed else "-",
            milliseconds(row.cpu_p50_ms) if row.timed else "-",
            _speedup(row),
            f"{row.peak_rss_bytes / 1e6:,.0f}" if row.peak_rss_bytes else "-",
            _validation(row),
        )
        for row in report.rows
    ]
    headings = ("model", "contender", "p50 (ms)", "CPU (ms)", "speed-up over plain Paddle")
    table = Table("", "", (*headings, "peak RSS (MB)", "validation"), rows)
    notes = [f"- {text}" for text in remarks(report)]
    return "\n".join([markdown_table(table), "", machine_line(report), *notes])


def _speedup(row: Row) -> str:
    low, high = row.speedup_plain_low, row.speedup_plain_high
    if row.speedup_plain is None:
        return "-"
    if low is None or high is None or low == high:
        return f"{row.speedup_plain:.2f}"
    return f"{row.speedup_plain:.2f} ({low:.2f} to {high:.2f})"


def _validation(row: Row) -> str:
    if row.backend == PLAIN:
        return "reference"
    if row.instances_matched is None:
        return "not compared"
    return f"{'passed' if row.timed else row.state}, {row.instances_matched} instances"


def main() -> None:
    """Update the files, or check whether they are up to date."""
    parser = argparse.ArgumentParser(description="Update the figures of reports in Markdown files.")
    parser.add_argument(
        "--check", action="store_true", help="only check; exit with 1 if a file is outdated"
    )
    options = parser.parse_args()
    stale = []
    for name in FILES:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = updated(text, ROOT)
        if new == text:
            continue
        stale.append(name)
        if not options.check:
            path.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'outdated' if options.check else 'updated'}: {', '.join(stale)}")
    if options.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
