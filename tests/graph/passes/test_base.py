# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hpip.errors import GraphRewriteError
from hpip.graph.passes.base import NoMatchError, Pass, PassResult, Sequential
from hpip.graph.program import Program
from tests.graph.programs import two_branch_net


class NothingPass(Pass):
    def _apply(self, program: Program) -> PassResult:
        raise NoMatchError("there is nothing to see")


class BreakingPass(Pass):
    def _apply(self, program: Program) -> PassResult:
        program.outputs[0].set_input(0, 987654)
        program.touch()
        return PassResult(program, modified=True, reason="broken")


class StumblingPass(Pass):
    def _apply(self, program: Program) -> PassResult:
        return {}["missing"]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program.read(two_branch_net(tmp_path) / "inference.json")


def test_no_match_is_a_reason_not_an_error(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "hpip"):
        result = NothingPass()(program)
    assert (result.modified, result.reason) == (False, "there is nothing to see")
    assert "NothingPass does not match: there is nothing to see" in caplog.text


def test_a_broken_program_is_noticed(program: Program) -> None:
    with pytest.raises(GraphRewriteError, match="987654"):
        BreakingPass()(program)


def test_a_sequence_names_what_ran_before_a_failure(program: Program) -> None:
    with pytest.raises(GraphRewriteError, match=r"StumblingPass.*before: NothingPass") as caught:
        Sequential([NothingPass(), StumblingPass()])(program)
    assert caught.value.pass_name == "StumblingPass"


def test_a_sequence_reports_each_step(program: Program) -> None:
    result = Sequential([NothingPass(), NothingPass()])(program)
    assert not result.modified
    assert result.masks is None
    assert [name for name, _ in result.steps] == ["NothingPass", "NothingPass"]
