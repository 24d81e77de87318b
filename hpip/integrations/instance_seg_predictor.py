# SPDX-License-Identifier: Apache-2.0
"""PaddleX's predictor class by its name and calling convention, without PaddleX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpip.common.closing import Closing
from hpip.errors import InvalidInputError
from hpip.inference.arguments import check_count
from hpip.inference.predictor import create_predictor
from hpip.results.result import InstanceSegResult


class InstanceSegPredictor(Closing):
    """Segments images with one model, called as PaddleX's class of the same name.

    For code that makes predictors itself; everybody else calls `create_predictor`. Safe to call
    from several threads, but for `batch_size`, which is the predictor's and not the call's.

    Args:
        model_dir: directory of the model.
        config: content of its inference.yml; only compared by name, hpip reads the file.
        model_name: an official model's name; with `model_dir`, what its files have to say.
        device: as in `create_predictor`.
        batch_size: images per run.
        pp_option: not supported: `hpi_config` takes its place.
        use_hpip: False runs the untouched program on plain Paddle; None means True.
        hpi_config: see `create_predictor`.
        threshold: lowest score; None takes the model's own.
        font_path: see `create_predictor`.

    Raises:
        InvalidInputError: an argument is out of contract.
        HpipError: as `create_predictor`.
    """

    def __init__(
        self,
        model_dir: str | Path | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        model_name: str | None = None,
        device: str | None = None,
        batch_size: int = 1,
        pp_option: Any = None,
        use_hpip: bool | None = None,
        hpi_config: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        font_path: str | Path | None = None,
    ) -> None:
        if pp_option is not None:
            raise InvalidInputError(
                "pp_option: expected none (hpip sets Paddle up itself); "
                "give hpi_config={'backend_config': {...}} instead"
            )
        self._predictor = create_predictor(
            model_name,
            model_dir=model_dir,
            device=device,
            use_hpip=use_hpip,
            hpi_config=hpi_config,
            batch_size=batch_size,
            threshold=threshold,
            font_path=font_path,
        )
        self._check_name(model_name)
        self._check_name(None if config is None else config.get("Global", {}).get("model_name"))

    @property
    def model_name(self) -> str:
        """Name in the model's inference.yml."""
        return self._predictor.spec.model_name

    @property
    def model_dir(self) -> Path:
        """Directory of the model."""
        return self._predictor.spec.model_dir

    def __call__(
        self, input: Any, batch_size: int | None = None, threshold: float | None = None
    ) -> Iterator[InstanceSegResult]:
        """Segment images, one result at a time, in input order: see `Predictor.predict`.

        Args:
            input: an image, or many.
            batch_size: images per run, from now on; None leaves it.
            threshold: lowest score, for this call.
        """
        self.set_predictor(batch_size)
        return self._predictor.predict(input, threshold)

    def predict(
        self, input: Any, batch_size: int | None = None, threshold: float | None = None
    ) -> Iterator[InstanceSegResult]:
        """Same as a call."""
        return self(input, batch_size, threshold)

    def set_predictor(self, batch_size: int | None = None) -> None:
        """Set the number of images per run; None leaves it."""
        if batch_size is not None:
            self._predictor.batch_size = check_count(batch_size, "batch_size")

    def explain(self) -> str:
        """Tell what runs where, and why."""
        return self._predictor.explain()

    def close(self) -> None:
        """Free the network's memory. Twice does nothing."""
        self._predictor.close()

    def _check_name(self, wanted: str | None) -> None:
        if wanted not in (None, "demo", self.model_name):
            self.close()
            raise InvalidInputError(
                f"model_name: expected {self.model_name!r}, as in {self.model_dir}; "
                f"received {wanted!r}"
            )
