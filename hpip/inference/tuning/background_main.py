# SPDX-License-Identifier: Apache-2.0
"""The child process that tunes a model in the background.

Started as `python -m hpip.inference.tuning.background_main FD`, where FD is its end of a pipe. It
receives a `BackgroundJob` and sends the result of `tune`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection

from hpip.backends.registry import register_backend
from hpip.common.cache import Cache
from hpip.inference.tuning.background import BackgroundJob, lower_priority
from hpip.inference.tuning.child_main import be_expendable
from hpip.inference.tuning.tune import tune


def main(arguments: Sequence[str]) -> None:
    """Tune the model that the parent sends, and send the result."""
    be_expendable()
    lower_priority()
    connection = Connection(int(arguments[0]))
    job: BackgroundJob = connection.recv()
    for name, path in job.backends.items():
        register_backend(name, path)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    connection.send(tune(job.request, cache=Cache(job.cache_folder), limits=job.limits))


def _end_with_parent(connection: Connection) -> None:
    """Wait for the end of the pipe. Linux kills this process by itself; other systems do not."""
    connection.poll(None)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
