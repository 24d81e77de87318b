# SPDX-License-Identifier: Apache-2.0
"""A predictor class with the name and the calling convention of PaddleX's, without PaddleX."""

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
    """Segments images with one model; has the interface of PaddleX's class of the same name.

    For code that creates PaddleX's predictor classes itself; other code calls `create_predictor`.
    Safe to call from several threads, except that a `batch_size` applies to all of them.

    Args:
        model_dir: directory of the model.
        config: content of its inference.yml; only its model name is compared, because hpip reads
            the file itself.
        model_name: name of an official model; with `model_dir`, the name that its inference.yml
            must contain.
        device: see `create_predictor`.
        batch_size: images per run.
        pp_option: not supported; use `hpi_config` instead.
        use_hpip: False runs the original graph on plain Paddle; None means True.
        hpi_config: see `create_predictor`.
        threshold: score threshold; None for the model's `draw_threshold`.
        font_path: see `create_predictor`.

    Raises:
        InvalidInputError: an argument is not valid.
        HpipError: see `create_predictor`.
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
                "pp_option: expected None, because hpip configures Paddle itself; received "
                f"{type(pp_option).__name__}. Use hpi_config={{'backend_config': {{...}}}} instead."
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
        """Segment images; yields one result per image, in input order: see `Predictor.predict`.

        Args:
            input: one or more images.
            batch_size: images per run, for this call and later ones; None for no change.
            threshold: score threshold of this call; None for the predictor's.
        """
        self.set_predictor(batch_size)
        return self._predictor.predict(input, threshold)

    def predict(
        self, input: Any, batch_size: int | None = None, threshold: float | None = None
    ) -> Iterator[InstanceSegResult]:
        """Same as `__call__`."""
        return self(input, batch_size, threshold)

    def set_predictor(self, batch_size: int | None = None) -> None:
        """Set the number of images per run; None for no change."""
        if batch_size is not None:
            self._predictor.batch_size = check_count(batch_size, "batch_size")

    def explain(self) -> str:
        """Report the graph, the engine and their settings: see `Predictor.explain`."""
        return self._predictor.explain()

    def close(self) -> None:
        """Free the engine's memory. May be called again."""
        self._predictor.close()

    def _check_name(self, wanted: str | None) -> None:
        if wanted not in (None, "demo", self.model_name):
            self.close()
            raise InvalidInputError(
                f"model_name: expected {self.model_name!r}, as in the inference.yml of "
                f"{self.model_dir}; received {wanted!r}. Correct the name or the directory."
            )
