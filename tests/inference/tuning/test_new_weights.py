# SPDX-License-Identifier: Apache-2.0
"""What hpip measured of one training of a model does not hold for the next training of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpip.backends.base import SessionOptions
from hpip.backends.engine_builds import build_key
from hpip.backends.registry import backend_named
from hpip.bench.subject import Subject
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError
from hpip.inference.execution.program_formats import int8_artifact
from hpip.inference.execution.runner import Engine
from hpip.inference.tuning import child_process
from hpip.inference.tuning.budget import Limits
from hpip.inference.tuning.records import EngineSelection, Trial, Verdict
from hpip.inference.tuning.tune import known, tune
from hpip.inference.tuning.verdict_store import VerdictStore
from hpip.integrations.static_program import StaticProgram
from hpip.model.spec import load_model_spec
from tests.fine_tuned import DEMO, fine_tuned_demo
from tests.inference.tuning.conftest import Register, request_for

CPU = Device("cpu")


@pytest.fixture
def tuned_dir(tmp_path: Path) -> Path:
    return fine_tuned_demo(tmp_path / "fine-tuned")


def checks(cache: Cache) -> int:
    return sum(entry.title.endswith(", check") for entry in cache.entries())


def test_a_fine_tuned_head_is_not_served_by_the_old_verdict(
    only: Register, tuned_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only()
    limits = Limits(300)
    first = tune(request_for(DEMO), limits=limits).verdict
    assert first.program == "cut", first.program_reason
    again = known(request_for(DEMO))
    assert again is not None
    assert again.verdict == first
    assert checks(Cache()) == 1
    assert known(request_for(tuned_dir)) is None
    second = tune(request_for(tuned_dir), limits=limits).verdict
    assert second.program == "cut", second.program_reason
    assert checks(Cache()) == 2
    # Both are known from now on, and nothing is measured.
    monkeypatch.setattr(child_process.subprocess, "Popen", None)
    assert tune(request_for(DEMO), limits=limits).verdict == first
    assert tune(request_for(tuned_dir), limits=limits).verdict == second


def test_weights_that_are_overwritten_in_place_are_another_model(
    only: Register, tuned_dir: Path
) -> None:
    """With the old date too; the first verdict is there again with the first weights."""
    only()

    def key() -> str:
        return VerdictStore(Cache(), request_for(tuned_dir), "program", quick=False).key

    params = tuned_dir / "inference.pdiparams"
    content, dates, before = params.read_bytes(), params.stat(), key()
    for offset in (0, 100_000, len(content) // 2 + 50_000, len(content) - 1):
        changed = bytearray(content)
        changed[offset] ^= 1
        params.write_bytes(changed)
        os.utime(params, ns=(dates.st_atime_ns, dates.st_mtime_ns))
        assert key() != before
    params.write_bytes(content)
    assert key() == before


def test_what_was_measured_while_weights_changed_is_not_kept(
    only: Register, tuned_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only()
    request = request_for(tuned_dir)
    store = VerdictStore(Cache(), request, "program", quick=False)
    verdict = Verdict("untouched", "", EngineSelection(request.baseline, "", ()))
    params = tuned_dir / "inference.pdiparams"
    content = bytearray(params.read_bytes())
    content[-1] ^= 1
    params.write_bytes(content)
    store.save_verdict(verdict)
    assert store.verdict() is None
    assert "changed during tuning" in caplog.text
    again = VerdictStore(Cache(), request, "program", quick=False)
    again.save_verdict(verdict)
    assert again.verdict() == verdict


def test_a_model_behind_a_link_is_the_same_model(only: Register, tmp_path: Path) -> None:
    only()
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in DEMO.glob("inference.*"):
        (linked / path.name).symlink_to(path)
    found = {
        VerdictStore(Cache(), request_for(folder), "program", quick=False).key
        for folder in (DEMO, linked)
    }
    assert len(found) == 1


def test_int8_ranges_of_other_weights_are_not_used(only: Register, tuned_dir: Path) -> None:
    only("quantizing")
    backend = backend_named("quantizing")
    old, new = (load_model_spec(folder).files for folder in (DEMO, tuned_dir))
    int8_artifact(old, backend, CPU, "images", feeds=[])
    assert int8_artifact(old, backend, CPU, "images")
    with pytest.raises(BackendError, match="no int8 version"):
        int8_artifact(new, backend, CPU, "images")

    def store(folder: Path) -> VerdictStore:
        request = request_for(folder, precision="int8")
        return VerdictStore(Cache(), request, "program", quick=False)

    engine = Engine("quantizing", CPU, 1, "int8")
    store(DEMO).save_calibrated(Trial(replace(engine, calibration="images"), "1", "verified", ""))
    assert store(DEMO).engines[0].calibration == "images"
    assert store(tuned_dir).calibrated(engine) is None
    assert store(tuned_dir).engines[0].calibration == ""


@pytest.mark.parametrize(
    "key",
    [
        lambda files, folder: build_key(files, SessionOptions(CPU, 1), {}, ""),
        lambda files, folder: StaticProgram("demo", files, CPU, 1).key(Cache()),
        lambda files, folder: Subject("demo", load_model_spec(folder)).digest,
    ],
    ids=["engine build", "static program", "benchmark"],
)
def test_other_keys_depend_on_all_weights(tuned_dir: Path, key: Callable[..., str]) -> None:
    assert key(load_model_spec(DEMO).files, DEMO) != key(
        load_model_spec(tuned_dir).files, tuned_dir
    )
    assert key(load_model_spec(DEMO).files, DEMO) == key(load_model_spec(DEMO).files, DEMO)


def test_a_start_reads_large_weights_once_and_later_ones_not_at_all(
    only: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpip.common import digest

    only()
    monkeypatch.setattr(digest, "_SETTLED_NS", 0)
    time.sleep(0.01)
    read, large = digest._digest, []

    def counted(stream, *region):
        if Path(stream.name).suffix == ".pdiparams":
            large.append(stream.name)
        return read(stream, *region)

    monkeypatch.setattr(digest, "_digest", counted)
    for _ in range(2):
        tune(request_for(DEMO), limits=Limits(300))
        known(request_for(DEMO))
        build_key(load_model_spec(DEMO).files, SessionOptions(CPU, 1), {}, "")
    assert len(large) == 1
