# SPDX-License-Identifier: Apache-2.0
"""The reference results of a bundle, which take the place of plain Paddle during tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpip.errors import BackendError, BackendUnavailableError, HpipError, InvalidInputError
from hpip.inference.execution.postprocess import Instances
from hpip.inference.tuning.gates import Prediction
from hpip.inference.tuning.images import digest, shipped_images
from hpip.inference.tuning.records import Trial, label
from hpip.inference.tuning.trial import StoredReference
from hpip.model.bundle_file import Bundle
from hpip.model.bundle_references import ReferenceResult
from hpip.model.spec import ModelSpec
from hpip.types import PreprocessPlan, UInt8Array


@dataclass(frozen=True)
class BundleReference:
    """Images, and what plain Paddle finds in them.

    Attributes:
        images: at least one image.
        predictions: the reference results, one per image.
        preprocess: the steps from image to network input for which they hold.
    """

    images: tuple[UInt8Array, ...]
    predictions: tuple[Prediction, ...]
    preprocess: PreprocessPlan

    def results_for(self, count: int) -> StoredReference:
        """The results for the first images."""
        return StoredReference(self.predictions[:count])


def bundle_reference(
    spec: ModelSpec, bundle: Bundle, images: Sequence[UInt8Array] | None
) -> BundleReference:
    """The reference results for some images.

    Args:
        spec: the bundle's metadata.
        bundle: the bundle.
        images: images of the user; None for those that come with hpip.

    Raises:
        InvalidInputError: the bundle has no results for one of the user's images.
        ModelFormatError: the results are damaged, or not for the images that come with hpip.
    """
    references = bundle.references()
    known = {result.image: result for result in references.results}
    keyed = [(digest([image]), image) for image in (shipped_images() if images is None else images)]
    # Another decoder may read a JPEG differently by a level, so that a shipped one may be unknown.
    found = [(known[key], image) for key, image in keyed if key in known]
    if images is not None and (unknown := len(keyed) - len(found)):
        raise InvalidInputError(
            f"expected images that were given to `hpip export --input`, because the bundle "
            f"{spec.model_dir} contains plain Paddle's results for those only; received {unknown} "
            "others. Tune without --input, or export the model again with these images."
        )
    if not found:
        raise InvalidInputError(
            f"the bundle {spec.model_dir} has no results for the images that come with this "
            "version of hpip. Export the model again."
        )
    predictions = tuple(_prediction(result) for result, _ in found)
    preprocess = spec.resized(references.resize_hw).preprocess
    return BundleReference(tuple(image for _, image in found), predictions, preprocess)


def no_valid_engine(spec: ModelSpec, trials: Sequence[Trial]) -> HpipError:
    """The error for a bundle that no engine can run with valid results."""
    outcomes = "; ".join(f"{label(trial.engine)}: {trial.outcome}" for trial in trials)
    if all(trial.state == "absent" for trial in trials):
        return BackendUnavailableError(
            "onnxruntime or openvino",
            f"the bundle {spec.model_dir} needs one of them ({outcomes or 'none is registered'}).",
            "Install one with: pip install 'hpip[onnxruntime]' or pip install 'hpip[openvino]'",
        )
    return BackendError(
        ", ".join(trial.engine.backend for trial in trials if trial.state != "absent"),
        "verify",
        f"no engine runs the bundle {spec.model_dir} with valid results ({outcomes}). Install "
        "another engine (pip install 'hpip[onnxruntime,openvino]'), or use the model directory "
        "with Paddle.",
    )


def _prediction(result: ReferenceResult) -> Prediction:
    instances = Instances(
        result.class_ids,
        result.scores,
        result.boxes_xyxy,
        list(result.masks),
        result.boxes_from_masks,
    )
    return Prediction(result.score_threshold, instances)
