# SPDX-License-Identifier: Apache-2.0
"""Paddle Inference with oneDNN on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hpip.backends.base import (
    Backend,
    Probe,
    Session,
    SessionOptions,
    refuse_settings,
    require_cpu,
    require_engine,
    require_precision,
)
from hpip.backends.paddle import PaddleBackend, PaddleSession
from hpip.common.serial_thread import SerialThread
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.types import AnyArray, ModelFiles

# Releases whose oneDNN support is broken (PaddlePaddle/Paddle#77340); the fix is merged. They stay
# in this list for users who have them installed.
BROKEN_RELEASES = ("3.3.0", "3.3.1")
# Number of input shapes whose oneDNN kernels are cached, as in PaddleX 3.7.
_CACHED_SHAPES = 10
_SETTINGS = ("delete_pass", "mkldnn_cache_capacity")
# Paddle has one cache of oneDNN kernels for all predictors of a process. With a limit, which keeps
# its memory bounded, it is made for one thread: the entries are counted without a lock after each
# run, while a run in another thread may add some, and a thread that ends empties it for all.
_THREAD = SerialThread("hpip-onednn")


class PaddleOneDnnBackend(Backend):
    """Paddle Inference with oneDNN, in fp32 or bf16.

    Some releases crash with some models (see `BROKEN_RELEASES` and configs/models/default.yaml), so
    hpip uses it only after a successful trial. All sessions of a process, cloned or not, run one
    after another, because they share Paddle's cache of oneDNN kernels. Settings: `delete_pass`,
    names of passes to skip; `mkldnn_cache_capacity`, number of input shapes whose kernels are
    cached.
    """

    name = "paddle_onednn"
    format = "paddle"
    parallel = False

    def probe(self) -> Probe:
        """See `Backend.probe`; imports Paddle, which takes a second or more."""
        found = PaddleBackend().probe()
        if found.version is None:
            return found
        if found.version in BROKEN_RELEASES:
            reason = (
                f"oneDNN is broken in Paddle {found.version} (PaddlePaddle/Paddle#77340): "
                "install paddlepaddle==3.2.2"
            )
            return Probe(None, reason, ())
        import paddle

        if not paddle.base.core.is_compiled_with_onednn():
            return Probe(None, f"Paddle {found.version} is built without oneDNN", ())
        return Probe(found.version, "", ("cpu",))

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`."""
        require_engine(self)
        require_cpu(self.name, options)
        require_precision(self.name, options, "fp32", "bf16")
        _require_bf16(options)
        refuse_settings(self.name, options.settings, _SETTINGS)
        dropped = _names(options.settings.get("delete_pass", ()))
        capacity = int(options.settings.get("mkldnn_cache_capacity", _CACHED_SHAPES))

        def configure(config: Any) -> None:
            config.enable_mkldnn()
            config.set_mkldnn_cache_capacity(capacity)
            if options.precision == "bf16":
                config.enable_mkldnn_bfloat16()
            for name in dropped:
                config.delete_pass(name)

        return OneDnnSession(files, options, configure, self.name)


class OneDnnSession(PaddleSession):
    """A `PaddleSession` whose predictor is made, run and freed in the one thread for oneDNN."""

    def __init__(
        self,
        files: ModelFiles,
        options: SessionOptions,
        configure: Callable[[Any], None],
        backend: str,
    ) -> None:
        _THREAD.run(partial(super().__init__, files, options, configure, backend))

    def _clone(self) -> Session:
        return _THREAD.run(super()._clone)

    def _run(self, inputs: dict[str, AnyArray]) -> list[AnyArray]:
        return _THREAD.run(partial(super()._run, inputs))

    def _close(self) -> None:
        _THREAD.run(super()._close)


def _require_bf16(options: SessionOptions) -> None:
    if options.precision != "bf16":
        return
    import paddle

    if not paddle.base.core.supports_bfloat16():
        raise BackendUnavailableError(
            PaddleOneDnnBackend.name,
            "this processor does not support bf16.",
            "Use precision='fp32'.",
        )


def _names(value: Any) -> Sequence[str]:
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError(
            f"settings of paddle_onednn: expected delete_pass to be a list of pass names; "
            f"received {value!r}"
        )
    return tuple(value)
