# SPDX-License-Identifier: Apache-2.0
"""Compare hpip's reference path (`use_hpip=False`) with PaddleX on plain Paddle.

Each model runs on each photo in a fresh process of either side, one after the other. Exit code 1:
some answer is not the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from make_env import DEFAULT_FOLDER, ensure_env
from record import Record
from report import Pair, comparisons, cost_table, parity_table

HERE = Path(__file__).resolve().parent


def run_side(
    python: Path, script: str, model_dir: Path, photo: Path, out: Path, threads: int
) -> Record:
    """Run one side in a process of its own; its chatter comes out only when it fails."""
    command = [python, HERE / script, "--model_dir", model_dir, "--photo", photo, "--out", out]
    done = subprocess.run(
        [*map(str, command), "--threads", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} failed on {model_dir.name}, {photo.name}:\n{done.stdout}")
    return Record.load(out)


def run_pair(args: argparse.Namespace, env_python: Path, model_dir: Path, photo: Path) -> Pair:
    pair = Pair([], [])
    for number in range(args.rounds):
        name = Path(model_dir.name) / f"{photo.stem}.{number}.json"
        reference = args.work / "paddlex" / name
        if args.keep and reference.is_file():
            pair.paddlex.append(Record.load(reference))
        else:
            pair.paddlex.append(
                run_side(env_python, "run_paddlex.py", model_dir, photo, reference, args.threads)
            )
        candidate = args.work / "hpip" / name
        pair.hpip.append(
            run_side(Path(sys.executable), "run_hpip.py", model_dir, photo, candidate, args.threads)
        )
    return pair


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True)
    parser.add_argument("--photo", type=Path, nargs="+", required=True)
    parser.add_argument("--env", type=Path, default=DEFAULT_FOLDER, help="PaddleX's environment")
    parser.add_argument("--work", type=Path, default=DEFAULT_FOLDER.with_name("parity"))
    parser.add_argument("--rounds", type=int, default=1, help="processes of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--keep", action="store_true", help="take PaddleX's records of an earlier run where present"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    env_python = ensure_env(args.env)
    pairs = [
        run_pair(args, env_python, model_dir, photo)
        for model_dir in args.model_dir
        for photo in args.photo
    ]
    print(parity_table(pairs), cost_table(pairs), sep="\n\n")
    return 0 if all(c.same for pair in pairs for _, c in comparisons(pair)) else 1


if __name__ == "__main__":
    sys.exit(main())
