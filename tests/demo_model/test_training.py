# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")
TOOLS = Path(__file__).resolve().parents[2] / "tools" / "demo_model"
pytestmark = pytest.mark.usefixtures("generator_parts")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from data import write_shard
    from scenes import SceneMaker

    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "shard_000.npz", SceneMaker(3, coins=6), 0, 6)
    return folder


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    shards: Path, tmp_path: Path
) -> None:
    from train import Recipe, train

    recipe = Recipe(steps=4, tail=1, batch=2, warmup=2, small_side=96)
    train(shards, tmp_path / "whole", recipe)
    train(shards, tmp_path / "parts", recipe, stop_at=2)
    train(shards, tmp_path / "parts", recipe)
    whole = np.load(tmp_path / "whole" / "weights.npz")
    parts = np.load(tmp_path / "parts" / "weights.npz")
    with whole, parts:
        assert set(whole.files) == set(parts.files)
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    lines = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [2, 4]
    assert {"seconds", "class", "iou", "bins", "mask"} <= set(records[-1])


@pytest.mark.slow
def test_the_command_trains_in_two_processes(shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(TOOLS / "train.py"), str(shards), str(tmp_path), "--steps", "2"]
    subprocess.run([*command, "--processes", "2"], check=True, capture_output=True)
    for log in ("log.jsonl", "log1.jsonl"):
        assert json.loads((tmp_path / log).read_text().splitlines()[-1])["step"] == 2
    with np.load(tmp_path / "weights.npz") as weights:
        assert all(np.isfinite(weights[name]).all() for name in weights.files if name != "labels")


def test_resuming_with_another_recipe_is_refused(shards: Path, tmp_path: Path) -> None:
    from train import Recipe, train

    train(shards, tmp_path, Recipe(steps=2, tail=1, batch=2, small_side=96), stop_at=1)
    with pytest.raises(ValueError, match="Pass the same options, or use a new folder"):
        train(shards, tmp_path, Recipe(steps=2, tail=1, batch=2, small_side=96, rate=1.0))


def test_a_few_steps_on_one_batch_lower_the_loss(shards: Path, tmp_path: Path) -> None:
    from train import Recipe, SceneBatches, Trainer

    recipe = Recipe(steps=1000, batch=2, warmup=1, small_side=64)
    batch = SceneBatches(shards, recipe).at(0, 0, 1)
    trainer = Trainer(recipe, tmp_path)
    losses = [sum(trainer.update(*batch).values()) for _ in range(9)]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_assignment_gives_each_object_its_best_aligned_anchors() -> None:
    from losses import CANDIDATES, Dense, Targets, assign

    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    centres = (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * 8
    anchors = len(centres)
    dense = Dense(
        logits=torch.randn(1, anchors, 3, generator=generator),
        bins=torch.zeros(1, anchors, 4, 9),
        coefficients=torch.zeros(1, anchors, 2),
        prototypes=torch.zeros(1, 2, 16, 16),
        centres=centres,
        strides=torch.full((anchors, 1), 8.0),
    )
    truth = torch.tensor([[[4.0, 4, 36, 36], [40, 40, 60, 62], [0, 0, 0, 0]]])
    classes = torch.tensor([[1, 2, -1]])
    targets = Targets(truth, classes, torch.zeros(1, 3, 16, 16))
    shift = torch.rand(1, anchors, 4, generator=generator) * 6 - 3
    boxes = torch.where(centres[:, :1] < 38, truth[:, :1], truth[:, 1:2]) + shift
    owner, soft = assign(dense, boxes, targets)
    for number, (box, label) in enumerate(zip(truth[0, :2], classes[0, :2], strict=True)):
        alignment = []
        for anchor in range(anchors):
            inside = bool((centres[anchor] > box[:2]).all() and (centres[anchor] < box[2:]).all())
            score = dense.logits[0, anchor, label].sigmoid().sqrt()
            alignment.append(float(score) * _iou(boxes[0, anchor], box) ** 4 * inside)
        ranked = np.argsort(alignment)[::-1][:CANDIDATES]
        expected = {int(a) for a in ranked if alignment[a] > 1e-9}
        assert set(torch.nonzero(owner[0] == number).flatten().tolist()) == expected
    assert float(soft[owner < 0].abs().max()) == 0.0
    assert float(soft.max()) <= 1.0


def _iou(a: torch.Tensor, b: torch.Tensor) -> float:
    width = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    height = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    overlap = width * height
    areas = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]))
    return overlap / (areas - overlap)
