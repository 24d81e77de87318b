# SPDX-License-Identifier: Apache-2.0
"""The passes on the 15 official graphs: structure only, nothing is run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from hpip.graph.batching import is_batch_safe
from hpip.graph.parts import DensePart
from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.graph.passes.base import NoMatchError, Sequential
from hpip.graph.program import Program
from hpip.graph.split import split
from hpip.graph.standard_passes import PASSES
from hpip.types import NativeStep

# Prefix of the name -> outputs of the truncated graph, and operations that must be removed.
FAMILIES: dict[str, tuple[list[str], set[str]]] = {
    "Mask-RT-DETR": (["boxes", "counts", "coefficients", "prototypes"], set()),
    "MaskRCNN": (["boxes", "counts", "masks"], {"pd_op.grid_sample"}),
    "Cascade": (["boxes", "counts", "masks"], {"pd_op.grid_sample"}),
    "PP-YOLOE_seg": (["boxes", "counts", "coefficients", "prototypes"], {"pd_op.if"}),
    "SOLOv2": (["class_ids", "scores", "masks"], set()),
}
# Prefixes of models that take the first image: Cascade models until they are split.
ONE_IMAGE = ("Cascade", "SOLOv2")
# Not allowed in segments: control flow, arrays, and operators that most engines lack.
NOT_DENSE = (
    "while",
    "if",
    "array",
    "create_array",
    "generate_proposals",
    "distribute",
    "roi_align",
)


@pytest.mark.slow
def test_every_model_is_truncated(zoo_source_dir: Path) -> None:
    packed = sorted(zoo_source_dir.glob("*/inference.json.gz"))
    assert len(packed) == 15
    for source in packed:
        name = source.parent.name
        program = Program(json.loads(gzip.decompress(source.read_bytes())))
        result = Sequential(PASSES)(program)
        assert result.masks is not None, name
        outputs, gone = next(v for k, v in FAMILIES.items() if name.startswith(k))
        assert [op.attribute("name") for op in program.outputs] == outputs, name
        assert not gone & {op.name for op in program.walk()}, name
        assert (SCORE_THRESHOLD in program.inputs) == ("Mask-RT-DETR" not in name), name
        assert is_batch_safe(program) != name.startswith(ONE_IMAGE), name
        again = Sequential(PASSES)(program)
        assert not again.modified, name


@pytest.mark.parametrize(
    "name", ["Mask-RT-DETR-S", "SOLOv2", "PP-YOLOE_seg-S", "MaskRCNN-ResNet50"]
)
def test_parameters_stay_as_they_are(zoo_source_dir: Path, name: str) -> None:
    text = gzip.decompress((zoo_source_dir / name / "inference.json.gz").read_bytes())
    before = Program(json.loads(text)).parameters
    program = Program(json.loads(text))
    Sequential(PASSES)(program)
    assert list(program.parameters) == list(before)


@pytest.mark.slow
def test_models_are_split_at_detection_operators(zoo_source_dir: Path) -> None:
    for source in sorted(zoo_source_dir.glob("*/inference.json.gz")):
        name = source.parent.name
        program = Program(json.loads(gzip.decompress(source.read_bytes())))
        Sequential(PASSES)(program)
        if name.startswith(("Mask-RT-DETR", "SOLOv2")):
            with pytest.raises(NoMatchError):
                split(program)
            continue
        parts = split(program)
        dense = [part for part in parts if isinstance(part, DensePart)]
        kinds = [part.kind for part in parts if isinstance(part, NativeStep)]
        if "RCNN" not in name:
            assert len(dense) == 1, name
            assert kinds == ["multiclass_nms", "gather_rows"], name
            continue
        stages = 3 if "Cascade" in name else 1
        assert len(dense) == stages + 2, name
        assert kinds.count("roi_align") == stages + 1, name
        assert kinds.count("generate_proposals") == kinds.count("multiclass_nms") == 1, name
        for part in dense:
            assert is_batch_safe(part.program), name
            operators = {op.name.removeprefix("pd_op.") for op in part.program.walk()}
            assert not [op for op in operators if op.startswith(NOT_DENSE)], name
            assert list(part.program.parameters) == list(program.parameters), name
        # One mask per detected box; the segment is not run without boxes.
        assert dense[-1].rows, name
        assert [spec.shape[0] for spec in dense[-1].empty_outputs] == [0], name
