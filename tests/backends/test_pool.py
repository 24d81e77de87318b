# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading
from collections.abc import Mapping

import pytest

from hpip.backends.base import Session
from hpip.backends.pool import SessionPool
from hpip.errors import BackendError
from hpip.types import AnyArray


class _Recorder(Session):
    """A session that only counts."""

    def __init__(self) -> None:
        super().__init__((), ())
        self.closings = 0

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        return []

    def _close(self) -> None:
        self.closings += 1


def test_a_session_belongs_to_one_caller_at_a_time() -> None:
    opened: list[_Recorder] = []
    pool = SessionPool(lambda: opened.append(_Recorder()) or opened[-1], size=2)
    holders: dict[Session, int] = {}
    guard, most = threading.Lock(), 0

    def work() -> None:
        nonlocal most
        for _ in range(50):
            with pool.lease() as session:
                with guard:
                    holders[session] = holders.get(session, 0) + 1
                    assert holders[session] == 1
                    most = max(most, sum(holders.values()))
                session.run({})
                with guard:
                    holders[session] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) <= 2
    assert most <= 2


def test_closing_waits_for_leases_and_is_final() -> None:
    session = _Recorder()
    pool = SessionPool(lambda: session)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.lease():
            entered.set()
            leave.wait(10)
            assert session.closings == 0

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(10)
    closer = threading.Thread(target=pool.close)
    closer.start()
    leave.set()
    holder.join()
    closer.join()
    pool.close()
    assert session.closings == 1
    with pytest.raises(BackendError, match="closed"), pool.lease():
        pass


def test_a_session_that_fails_to_open_leaves_its_place_free() -> None:
    attempts: list[int] = []

    def open_session() -> Session:
        attempts.append(1)
        if len(attempts) == 1:
            raise BackendError("engine", "open", "no")
        return _Recorder()

    pool = SessionPool(open_session)
    with pytest.raises(BackendError, match="engine failed to open: no"), pool.lease():
        pass
    with pool.lease() as session:
        assert session.run({}) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_opens_its_own_session() -> None:
    pool = SessionPool(_Recorder)
    with pool.lease() as session:
        mine = id(session)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with pool.lease() as session:
            os.write(writer, b"same" if id(session) == mine else b"own")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"own"
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_neither_runs_nor_frees_its_parents_sessions() -> None:
    pool, session = SessionPool(_Recorder), _Recorder()
    with pool.lease() as leased:
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(BackendError, match="survive a fork"):
                    session.run({})
                session.close()
                pool.close()
                os._exit(session.closings + leased.closings)
            finally:
                os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session.run({}) == []


def test_a_closed_session_and_wrong_inputs_are_errors() -> None:
    session = _Recorder()
    with pytest.raises(ValueError, match="received image"):
        session.run({"image": None})
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run({})


def test_filling_opens_one_and_clones_the_rest() -> None:
    class Cloned(_Recorder):
        def _clone(self) -> Session:
            twins.append(_Recorder())
            return twins[-1]

    twins: list[_Recorder] = []
    opened: list[_Recorder] = []
    pool = SessionPool(lambda: opened.append(Cloned()) or opened[-1], size=3)
    pool.fill()
    assert (len(opened), len(twins)) == (1, 2)
    with pool.lease() as a, pool.lease() as b, pool.lease() as c:
        assert {a, b, c} == {*opened, *twins}
    pool.close()
    assert [session.closings for session in (*opened, *twins)] == [1, 1, 1]


def test_without_clones_filling_opens_all() -> None:
    opened: list[_Recorder] = []
    pool = SessionPool(lambda: opened.append(_Recorder()) or opened[-1], size=2)
    pool.fill()
    assert len(opened) == 2


def test_a_clone_that_fails_leaves_nothing_open() -> None:
    class Failing(_Recorder):
        def _clone(self) -> Session:
            raise BackendError("engine", "clone", "no")

    session = Failing()
    pool = SessionPool(lambda: session, size=2)
    with pytest.raises(BackendError, match="failed to clone"):
        pool.fill()
    pool.close()
    assert session.closings == 1
