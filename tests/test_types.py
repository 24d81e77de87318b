# SPDX-License-Identifier: Apache-2.0
"""RleMask, which has a constructor of its own, is a frozen dataclass in every other way."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from hpip.types import RleMask

MASK = RleMask(b"04", (2, 2), offset_yx=(3, 5))


def test_cannot_be_changed() -> None:
    for field in dataclasses.fields(MASK):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(MASK, field.name, None)


def test_is_a_value() -> None:
    same = RleMask(counts=b"04", crop_hw=(2, 2), offset_yx=(3, 5))
    assert same == MASK
    assert hash(same) == hash(MASK)
    assert repr(MASK) == "RleMask(counts=b'04', crop_hw=(2, 2), offset_yx=(3, 5))"
    assert dataclasses.replace(MASK, counts=b"4") == RleMask(b"4", (2, 2), (3, 5)) != MASK
    assert pickle.loads(pickle.dumps(MASK)) == copy.deepcopy(MASK) == MASK
