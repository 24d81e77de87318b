# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime with faults, for bundles: run by the real child processes of the trials."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hpip.backends.base import Session, SessionOptions
from hpip.backends.onnxruntime import OnnxRuntimeBackend
from hpip.types import AnyArray, ModelFiles


class _Wrapped(Session):
    def __init__(self, session: Session) -> None:
        self._session = session
        super().__init__(session.input_names, session.output_names)

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        return self._session.run(inputs)

    def _close(self) -> None:
        self._session.close()


class ShiftedBackend(OnnxRuntimeBackend):
    """Its outputs are 2 % too large, as from a faulty kernel."""

    name = "shifted"

    class session(_Wrapped):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            return [output * output.dtype.type(1.02) for output in super()._run(inputs)]

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        return self.session(super().open(files, options))


class DyingBackend(ShiftedBackend):
    """Its process ends at the first run."""

    name = "dying"

    class session(_Wrapped):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            os._exit(3)
