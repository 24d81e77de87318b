# SPDX-License-Identifier: Apache-2.0
"""A contender whose calls take known times: python sleeper.py '{"sleeps_ms": [20, 40]}'.

Other keys: "die_at": it is killed at that request; "hang_at": it never answers that one; "after":
both only after so many calls; "answer": what it finds; "log": a file for what its sleeps took by
another clock; "tuning": a file for the seconds that tuning may take when it loads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from hpip.bench.contenders.channel import RunTimer, memory, serve
from hpip.inference.tuning.budget import BUDGET_VARIABLE


class Sleeper:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.calls = 0

    def enter(self, do: str) -> None:
        if self.calls < self.plan.get("after", 0):
            return
        if self.plan.get("die_at") == do:
            print("the last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        if self.plan.get("hang_at") == do:
            time.sleep(3600)

    def load(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.enter("load")
        if "tuning" in self.plan:
            with Path(self.plan["tuning"]).open("a") as log:
                print(os.environ[BUDGET_VARIABLE], file=log)
        return {
            "load_ms": 1.0,
            "explanation": "model:   x\nruns:    sleep; because",
        }

    def run(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.enter("run")
        sleeps = self.plan["sleeps_ms"]
        clock, start = RunTimer(), time.monotonic()
        time.sleep(sleeps[self.calls % len(sleeps)] / 1e3)
        slept_ms, wall_ms = (time.monotonic() - start) * 1e3, clock.wall_ms()
        self.calls += 1
        if "log" in self.plan:
            with Path(self.plan["log"]).open("a") as log:
                print(slept_ms, file=log)
        stages = dict.fromkeys(("read_ms", "preprocess_ms", "wait_ms", "postprocess_ms"), 0.0)
        return {
            "wall_ms": wall_ms,
            "cpu_ms": clock.cpu_ms(),
            "stages_ms": {**stages, "infer_ms": 0.75 * wall_ms, "read_ms": 0.25 * wall_ms},
        }

    def predict(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.enter("predict")
        answer: dict[str, Any] = self.plan["answer"]
        return answer

    def output(self, _request: dict[str, Any]) -> dict[str, Any]:
        print("chatter on stdout disturbs nobody")
        return {"draw_ms": 2.0, "encode_ms": None}


def main() -> None:
    sleeper = Sleeper(json.loads(sys.argv[1]))
    handlers = {"load": sleeper.load, "run": sleeper.run, "predict": sleeper.predict}
    serve({**handlers, "output": sleeper.output, "memory": memory})


if __name__ == "__main__":
    main()
