# SPDX-License-Identifier: Apache-2.0
"""The passes on the 15 official graphs: structure only, nothing is run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.graph.passes.base import Sequential
from hpip.graph.program import Program
from hpip.graph.standard_passes import PASSES

# Family by what the name begins with: outputs of the cut program, and operations that must be gone.
FAMILIES: dict[str, tuple[list[str], set[str]]] = {
    "Mask-RT-DETR": (["boxes", "counts", "coefficients", "prototypes"], set()),
    "MaskRCNN": (["boxes", "counts", "masks"], {"pd_op.grid_sample"}),
    "Cascade": (["boxes", "counts", "masks"], {"pd_op.grid_sample"}),
    "PP-YOLOE_seg": (["boxes", "counts", "coefficients", "prototypes"], {"pd_op.if"}),
    "SOLOv2": (["class_ids", "scores", "masks"], set()),
}
CUT_ONCE = ["Mask-RT-DETR-S", "SOLOv2", "PP-YOLOE_seg-S", "MaskRCNN-ResNet50"]


def test_every_model_is_cut(zoo_source_dir: Path) -> None:
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
