# SPDX-License-Identifier: Apache-2.0
"""Records of both sides to figures, and figures to Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from record import Call, Instances, Record

from hpip.sameness import FLOAT32, Comparison, compare
from hpip.types import RleMask


@dataclass(frozen=True)
class Pair:
    """What PaddleX and hpip recorded about one model and one photo, one record for each round."""

    paddlex: list[Record]
    hpip: list[Record]


@dataclass(frozen=True)
class _Found:
    """A record's instances as `hpip.sameness` wants them."""

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    rle: list[RleMask | None]


def _found(instances: Instances) -> _Found:
    return _Found(
        np.array(instances.boxes_xyxy, np.float64).reshape(-1, 4),
        np.array(instances.scores, np.float64),
        np.array(instances.class_ids, np.int64),
        [
            mask
            and RleMask(mask.counts.encode("ascii"), tuple(mask.crop_hw), tuple(mask.offset_yx))
            for mask in instances.masks
        ],
    )


def comparisons(pair: Pair) -> Iterator[tuple[Call, Comparison]]:
    """hpip's calls of all rounds, each held against PaddleX's call with the same threshold."""
    reference = pair.paddlex[0]
    for record in pair.hpip:
        if record.pixels_sha256 != reference.pixels_sha256:
            raise ValueError(f"{record.photo} decodes to other pixels in PaddleX's environment")
        for expected, call in zip(reference.calls, record.calls, strict=True):
            tolerance = FLOAT32
            if expected.instances.boxes_from_masks:
                tolerance = replace(FLOAT32, box_px=1.0)
            result = compare(
                _found(expected.instances), _found(call.instances), call.threshold, tolerance
            )
            yield call, result


def parity_table(pairs: Sequence[Pair]) -> str:
    rows = [
        "| model | photo | threshold | same | matched | missing / extra | score | box px "
        "| masks compared | IoU least | IoU mean |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        for call, c in comparisons(pair):
            rows.append(
                f"| {pair.hpip[0].model} | {pair.hpip[0].photo} | {call.threshold:g} "
                f"| {'yes' if c.same else 'NO: ' + '; '.join(c.violations())} | {c.matched} "
                f"| {len(c.missing)} / {len(c.extra)} | {c.max_score_diff:.1e} "
                f"| {c.max_box_diff_px:.1e} | {c.masks_compared} | {c.min_mask_iou:.5f} "
                f"| {c.mean_mask_iou:.5f} |"
            )
    return "\n".join(rows)


def cost_table(pairs: Sequence[Pair]) -> str:
    """First and later calls: the fastest of all rounds, since noise only adds; memory: the peak."""
    rows = [
        "| model | photo | first call (s): PaddleX, hpip, ratio "
        "| later call (s): PaddleX, hpip, ratio | peak RSS (MB): PaddleX, hpip, ratio |",
        "|---|---|---|---|---|",
    ]
    for pair in pairs:
        cells = [
            _ratio(*(min(r.calls[0].seconds for r in side) for side in (pair.paddlex, pair.hpip))),
            _ratio(
                *(
                    min(call.seconds for r in side for call in r.calls[1:])
                    for side in (pair.paddlex, pair.hpip)
                )
            ),
            _ratio(
                *(max(r.peak_rss_bytes for r in side) / 1e6 for side in (pair.paddlex, pair.hpip))
            ),
        ]
        rows.append(f"| {pair.hpip[0].model} | {pair.hpip[0].photo} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _ratio(paddlex: float, hpip: float) -> str:
    digits = 0 if paddlex >= 100 else 2
    return f"{paddlex:.{digits}f}, {hpip:.{digits}f}, {hpip / paddlex:.2f}"
