# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

from hpip.serving.batcher import Batcher


def test_batches_hold_one_kind_in_order_and_no_more_than_allowed() -> None:
    batcher: Batcher[int] = Batcher(max_size=3, timeout_s=0)
    for kind, item in [("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5)]:
        batcher.put(kind, item)
    assert [batcher.take() for _ in range(3)] == [[1, 3, 4], [2], [5]]


def test_a_batch_waits_for_company_until_it_is_full() -> None:
    batcher: Batcher[int] = Batcher(max_size=2, timeout_s=30)
    taken: list[list[int]] = []
    reader = threading.Thread(target=lambda: taken.append(batcher.take()))
    batcher.put("a", 1)
    reader.start()
    batcher.put("b", 2)
    batcher.put("a", 3)
    reader.join(20)
    assert taken == [[1, 3]]


def test_a_lonely_picture_goes_when_its_time_is_up() -> None:
    batcher: Batcher[int] = Batcher(max_size=2, timeout_s=0.01)
    batcher.put("a", 1)
    assert batcher.take() == [1]


def test_every_item_is_taken_once_by_many_readers() -> None:
    batcher: Batcher[int] = Batcher(max_size=4, timeout_s=0.001)
    taken: list[int] = []
    readers = [
        threading.Thread(target=lambda: [taken.extend(batcher.take()) for _ in range(500)])
        for _ in range(3)
    ]
    for reader in readers:
        reader.daemon = True
        reader.start()
    for item in range(1200):
        batcher.put(item % 3, item)
    for reader in readers:
        reader.join(0.5)
    assert sorted(taken) == list(range(1200))
