# SPDX-License-Identifier: Apache-2.0
"""Records of both sides to figures, and figures to Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from record import Call, Instances, Record

from hpip.results.comparison import FLOAT32, Comparison, compare
from hpip.types import RleMask


@dataclass(frozen=True)
class Pair:
    """What PaddleX and hpip recorded about one model and one photo, one record for each round."""

    paddlex: list[Record]
    hpip: list[Record]


@dataclass(frozen=True)
class _Found:
    """A record's instances as `hpip.results.comparison` wants them."""

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
                tolerance = FLOAT32.for_whole_pixels()
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
    """Times: the least of all rounds, since noise only adds; memory: the peak of all rounds."""
    rows = [
        "| model | photo | first call (s) | later call (s) | CPU time of it (s) | peak RSS (MB) |",
        "|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        cells = [
            _paddlex_hpip_ratio(*(figure(side) for side in (pair.paddlex, pair.hpip)))
            for figure in (_first_seconds, _later_seconds, _later_cpu_seconds, _peak_megabytes)
        ]
        rows.append(f"| {pair.hpip[0].model} | {pair.hpip[0].photo} | {' | '.join(cells)} |")
    rows.append("\nEach cell: PaddleX, hpip, hpip / PaddleX.")
    return "\n".join(rows)


def _first_seconds(records: Sequence[Record]) -> float:
    return min(record.calls[0].seconds for record in records)


def _later_seconds(records: Sequence[Record]) -> float:
    return min(call.seconds for record in records for call in record.calls[1:])


def _later_cpu_seconds(records: Sequence[Record]) -> float:
    return min(call.cpu_seconds for record in records for call in record.calls[1:])


def _peak_megabytes(records: Sequence[Record]) -> float:
    return max(record.peak_rss_bytes for record in records) / 1e6


def _paddlex_hpip_ratio(paddlex: float, hpip: float) -> str:
    digits = 0 if paddlex >= 100 else 2
    return f"{paddlex:.{digits}f}, {hpip:.{digits}f}, {hpip / paddlex:.2f}"
