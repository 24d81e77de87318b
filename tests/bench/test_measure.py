# SPDX-License-Identifier: Apache-2.0
"""Contenders of known times and answers, each a real process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.bench.contender import Contender, Workload
from hpip.bench.environment import environment
from hpip.bench.images import load_images
from hpip.bench.measure import Job, WorkloadRun
from hpip.bench.predictions import ContenderPrediction, ReferenceCache
from hpip.bench.record import DIFFERS, FAILED, INTERRUPTED, MEASURED, UNVERIFIED, WRONG, Row
from hpip.bench.settings import BenchSettings
from hpip.bench.subject import find_subjects
from hpip.bench.verify import Verifier
from hpip.bench.watcher import Watcher

Sleepers = Callable[..., None]
# A sleep is never shorter; on a busy machine it may be this much longer.
LATE_MS = 1000.0

FOUND = {
    "boxes": [[10.0, 10.0, 50.0, 40.0]],
    "scores": [0.9],
    "class_ids": [1],
    "masks": [None],
    "boxes_from_masks": False,
}


def workload_run(
    tmp_path: Path, photos: Path, settings: BenchSettings, backends: list[str], model: str = "x"
) -> WorkloadRun:
    workload = Workload(model, threads=1)
    job = Job(
        contenders=[Contender(workload, backend) for backend in backends],
        subject=find_subjects(["demo"])[0] if model == "demo" else None,
        images=load_images([str(photos)]),
        settings=settings,
        dataset=None,
        scratch=tmp_path,
    )
    return WorkloadRun(job, ReferenceCache(environment()), Watcher())


def row_of(run: WorkloadRun, backend: str) -> Row:
    return next(entry.row for entry in run.entries if entry.contender.backend == backend)


def test_known_sleeps_come_back_as_percentiles(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    """100 calls: 50 of 20 ms, 40 of 100 ms, 9 of 200 ms, 1 of 400 ms; one more call came before."""
    sleeps = [20] * 50 + [100] * 40 + [200] * 9 + [400]
    mixed = [sleeps[(i * 37) % 100] for i in range(100)]
    log = tmp_path / "log"
    sleepers({"sleeps_ms": [*mixed[-1:], *mixed[:-1]], "log": str(log)})
    settings = BenchSettings(rest_s=0, least_rounds=100, budget_s=1e9, width=1e9, warmup=0)
    run = workload_run(tmp_path, photos, settings, ["url"])
    run.measure()
    row = row_of(run, "url")
    assert row.state == MEASURED
    assert row.samples == len(row.samples_ms) == 100
    slept = [float(line) for line in log.read_text().split()][1:]
    figures = (row.min_ms, row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms, row.max_ms)
    for figure, percent, planned_ms in zip(
        figures, (0, 50, 90, 95, 99, 100), (20, 60, 110, 200, 202, 400), strict=True
    ):
        assert figure is not None
        # By the sleeper's own clock, but for a rest between two readings; by plan, as far as a busy
        # machine wakes it in time.
        assert figure == pytest.approx(np.percentile(slept, percent), abs=25)
        assert planned_ms - 0.1 <= figure <= planned_ms + LATE_MS
    assert row.mean_ms == pytest.approx(np.mean(slept), abs=5)
    assert row.cpu_p50_ms is not None
    assert row.cpu_p50_ms < row.p50_ms
    # Three quarters of each call are "infer", one quarter "read": they add up to the median.
    assert row.infer_ms == pytest.approx(0.75 * row.p50_ms)
    assert row.read_ms == pytest.approx(0.25 * row.p50_ms)
    assert row.stage_sum_ratio == pytest.approx(1)
    assert row.other_ms == pytest.approx(0, abs=1e-6)


def test_contenders_take_turns_and_speedups_are_of_pairs(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    sleepers({"sleeps_ms": [30]}, {"sleeps_ms": [90]})
    settings = BenchSettings(rest_s=0, least_rounds=8, budget_s=1e9, width=1e9)
    run = workload_run(tmp_path, photos, settings, ["url", "paddle"])
    run.measure()
    fast, plain = row_of(run, "url"), row_of(run, "paddle")
    assert fast.samples == plain.samples == 8
    assert plain.speedup_plain == 1
    assert fast.speedup_plain is not None
    assert fast.speedup_plain_low is not None
    pairs = [b / a for a, b in zip(fast.samples_ms, plain.samples_ms, strict=True)]
    assert fast.speedup_plain == pytest.approx(np.median(pairs), rel=1e-3)
    assert fast.speedup_plain_low <= fast.speedup_plain


def test_rounds_end_when_medians_are_sure(tmp_path: Path, photos: Path, sleepers: Sleepers) -> None:
    sleepers({"sleeps_ms": [20]})
    settings = BenchSettings(rest_s=0, least_rounds=7, budget_s=1e9, width=1e3)
    run = workload_run(tmp_path, photos, settings, ["url"])
    run.measure()
    assert row_of(run, "url").samples == 7


def test_rounds_end_when_the_budget_does(tmp_path: Path, photos: Path, sleepers: Sleepers) -> None:
    sleepers({"sleeps_ms": [20]})
    settings = BenchSettings(rest_s=0, least_rounds=10**6, budget_s=0.01, width=0.001)
    run = workload_run(tmp_path, photos, settings, ["url"])
    run.measure()
    assert row_of(run, "url").samples == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"die_at": "load"}, "SIGABRT"),
        ({"die_at": "run", "after": 4}, "SIGABRT"),
        ({"hang_at": "run", "after": 4}, "no reply to 'run'"),
    ],
)
def test_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, photos: Path, sleepers: Sleepers, fault: dict[str, Any], message: str
) -> None:
    sleepers({"sleeps_ms": [5], **fault}, {"sleeps_ms": [5]})
    settings = BenchSettings(rest_s=0, least_rounds=6, budget_s=1e9, width=1e9, timeout_s=15)
    run = workload_run(tmp_path, photos, settings, ["paddle", "url"])
    run.measure()
    bad, good = row_of(run, "paddle"), row_of(run, "url")
    assert (bad.state, bad.p50_ms) == (FAILED, None)
    assert message in bad.error
    assert (good.state, good.samples) == (MEASURED, 6)


def test_an_interruption_keeps_what_was_measured(
    tmp_path: Path, photos: Path, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepers({"sleeps_ms": [5]})
    run = workload_run(tmp_path, photos, BenchSettings(rest_s=0, budget_s=1e9), ["url"])

    def stop(number: int, *_: object) -> None:
        if number == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(run._watcher, "round", stop)
    with pytest.raises(KeyboardInterrupt):
        run.measure()
    row = row_of(run, "url")
    assert (row.state, row.samples) == (INTERRUPTED, 9)
    assert row.p50_ms is not None
    assert run.entries[0].process is None


@pytest.mark.usefixtures("fresh_cache")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, None),
        ({"scores": [0.898]}, "maximum score difference: 0.002"),
        ({"class_ids": [2]}, "1 instances of the reference are missing"),
        ({"boxes": [], "scores": [], "class_ids": [], "masks": []}, "missing"),
    ],
)
def test_a_wrong_answer_gets_no_time_but_its_error(
    tmp_path: Path,
    photos: Path,
    sleepers: Sleepers,
    change: dict[str, Any],
    complaint: str | None,
) -> None:
    # Plain Paddle; then the contender's first load and its second.
    other = {"sleeps_ms": [5], "answer": {**FOUND, **change}}
    sleepers({"sleeps_ms": [5], "answer": FOUND}, other, other)
    settings = BenchSettings(rest_s=0, least_rounds=3, budget_s=1e9, width=1e9)
    run = workload_run(tmp_path, photos, settings, ["paddle", "auto"], model="demo")
    run.measure()
    plain, row = row_of(run, "paddle"), row_of(run, "auto")
    assert plain.state == MEASURED
    if complaint is None:
        assert (row.state, row.instances_matched, row.error) == (MEASURED, 2, "")
        assert row.speedup_plain is not None
    else:
        assert (row.state, row.p50_ms, row.speedup_plain) == (WRONG, None, None)
        assert complaint in row.error


def test_stock_paddlex_is_timed_even_if_its_results_differ(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    other = {"sleeps_ms": [5], "answer": {**FOUND, "scores": [0.898]}}
    sleepers({"sleeps_ms": [5], "answer": FOUND}, other)
    settings = BenchSettings(
        rest_s=0, least_rounds=3, budget_s=1e9, width=1e9, paddlex_python=sys.executable
    )
    run = workload_run(tmp_path, photos, settings, ["paddle", "paddlex"], model="demo")
    run.measure()
    row = row_of(run, "paddlex")
    assert row.state == DIFFERS
    assert "maximum score difference: 0.002" in row.error
    assert row.p50_ms is not None
    assert row.speedup_plain is not None


@pytest.mark.usefixtures("fresh_cache")
def test_plain_paddles_answers_are_remembered(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    settings = BenchSettings(rest_s=0, least_rounds=3, budget_s=1e9, width=1e9)
    plan = {"sleeps_ms": [5], "answer": FOUND}
    # Without plain Paddle among the contenders, one is started for its answers alone, before them:
    # it makes one call, the process that only loads would make none.
    sleepers({**plan, "log": str(tmp_path / "calls")}, plan, plan)
    run = workload_run(tmp_path, photos, settings, ["auto"], model="demo")
    run.measure()
    assert row_of(run, "auto").state == MEASURED
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    sleepers(plan, plan)
    again = workload_run(tmp_path, photos, settings, ["auto"], model="demo")
    again.measure()
    assert row_of(again, "auto").instances_matched == 2


@pytest.mark.usefixtures("fresh_cache")
def test_a_reference_that_fails_is_asked_once(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    settings = BenchSettings(rest_s=0, least_rounds=3, budget_s=1e9, width=1e9)
    plan = {"sleeps_ms": [5], "answer": FOUND}
    # A second attempt would find no sleeper left.
    sleepers({**plan, "die_at": "predict"}, plan, plan)
    run = workload_run(tmp_path, photos, settings, ["auto"], model="demo")
    run.measure()
    row = row_of(run, "auto")
    assert row.state == UNVERIFIED
    assert row.timed


@pytest.mark.usefixtures("fresh_cache")
def test_slow_references_are_remembered_and_marked(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    settings = BenchSettings(rest_s=0, least_rounds=6, budget_s=1e9, width=1e9, slow_s=0.03)
    sleepers({"sleeps_ms": [40], "answer": FOUND})
    first = workload_run(tmp_path, photos, settings, ["paddle"], model="demo")
    first.measure()
    assert row_of(first, "paddle").remembered is None
    fast = {"sleeps_ms": [10], "answer": FOUND}
    sleepers({"sleeps_ms": [40], "answer": FOUND}, fast, fast)
    second = workload_run(tmp_path, photos, settings, ["paddle", "auto"], model="demo")
    # Plain Paddle is not started for its time, only for its answers.
    second.measure()
    plain, row = row_of(second, "paddle"), row_of(second, "auto")
    assert plain.remembered is not None
    assert plain.p50_ms == row_of(first, "paddle").p50_ms
    assert row.speedup_plain == pytest.approx(plain.p50_ms / row.p50_ms)
    assert row.speedup_plain_low is None


def test_verifier_tells_only_the_first_complaints(tmp_path: Path, photos: Path) -> None:
    subject = find_subjects(["demo"])[0]
    pictures = load_images([str(photos)])
    memory = ReferenceCache(environment())
    verifier = Verifier(subject, pictures, memory, tmp_path)
    memory.store_predictions(verifier.key("threshold None"), [ContenderPrediction(FOUND)] * 2)
    known = memory.predictions(verifier.key("threshold None"))
    assert known is not None
    assert known[1].content == FOUND
    assert memory.predictions(verifier.key("threshold 0.7")) is None


@pytest.mark.usefixtures("timed_tuning")
def test_what_the_first_load_did_not_tune_the_second_leaves(
    tmp_path: Path, photos: Path, sleepers: Sleepers
) -> None:
    log = tmp_path / "log"
    plan = {"sleeps_ms": [1], "answer": FOUND, "tuning": str(log)}
    sleepers(plan, plan, plan)
    settings = BenchSettings(rest_s=0, least_rounds=1, width=1e9, tune_budget_s=7.5)
    workload_run(tmp_path, photos, settings, ["paddle", "auto"], model="demo").measure()
    _, first, second = map(float, log.read_text().split())
    assert first == 7.5
    assert 0 < second < 0.1
