# SPDX-License-Identifier: Apache-2.0
"""Writes the training shards, the held-out COCO data set and the sample images of hpip.

Existing shards are kept, so that an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from scenes import Scene, SceneMaker
from sprites import LABELS
from tqdm import tqdm

INPUT_SIDE = 320
SHARD_SCENES = 250
TRAIN_SEED = 20261
HELD_OUT_SEED = 90001
PICTURES_SEED = 70001
PICTURES = (13, 15, 17)  # the sample images of hpip, selected by eye
PICTURES_HW = (420, 560)

_maker: SceneMaker | None = None


def to_input(scene: Scene, side: int = INPUT_SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Resize a scene the way `inference.yml` does: cubic, aspect ratio not kept."""
    image = cv2.resize(scene.image, (side, side), interpolation=cv2.INTER_CUBIC)
    ids = cv2.resize(scene.ids, (side, side), interpolation=cv2.INTER_NEAREST)
    return image, ids


def write_shard(path: Path, maker: SceneMaker, first: int, count: int) -> None:
    """Create `count` scenes from index `first` on, and store them as one uncompressed archive."""
    scenes = [maker.make(index) for index in range(first, first + count)]
    images, ids = zip(*(to_input(scene) for scene in scenes), strict=True)
    classes = np.full((count, 64), -1, np.int8)
    for row, scene in zip(classes, scenes, strict=True):
        row[: len(scene.classes)] = scene.classes
    part = path.with_suffix(".part.npz")
    np.savez(part, images=np.stack(images), ids=np.stack(ids), classes=classes)
    part.rename(path)


def write_coco(
    folder: Path,
    indices: Sequence[int],
    *,
    seed: int = HELD_OUT_SEED,
    image_hw: tuple[int, int] | None = None,
    suffix: str = ".png",
) -> Path:
    """Write held-out images and their COCO annotations; return the path of the JSON file."""
    maker = SceneMaker(seed, held_out=True, coins=100)
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in tqdm(indices, desc="held-out images"):
        scene = maker.make(index, image_hw)
        height, width = scene.ids.shape
        name = f"scene_{index:04d}{suffix}"
        cv2.imwrite(str(folder / name), scene.image[..., ::-1])
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for record in _annotations(scene):
            record.update(id=len(annotations) + 1, image_id=image_id)
            annotations.append(record)
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(LABELS)]
    target = folder / "annotations.json"
    document = {"images": images, "annotations": annotations, "categories": categories}
    target.write_text(json.dumps(document))
    return target


def _annotations(scene: Scene) -> Iterator[dict]:
    from pycocotools import mask as coco_mask

    for label, mask in zip(scene.classes, scene.masks(), strict=True):
        pixels = mask.astype(np.uint8)
        rle = coco_mask.encode(np.asfortranarray(pixels))
        yield {
            "category_id": label + 1,
            "iscrowd": 0,
            "area": int(pixels.sum()),
            "bbox": list(cv2.boundingRect(pixels)),
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
        }


def _start_worker(seed: int) -> None:
    global _maker
    cv2.setNumThreads(1)
    _maker = SceneMaker(seed)


def _shard_job(job: tuple[Path, int]) -> None:
    assert _maker is not None
    write_shard(job[0], _maker, job[1], SHARD_SCENES)


def write_train(folder: Path, scenes: int, seed: int, workers: int) -> None:
    """Write the shards that do not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(scenes // SHARD_SCENES)
    jobs = [(folder / f"shard_{n:03d}.npz", n * SHARD_SCENES) for n in numbers]
    missing = [job for job in jobs if not job[0].exists()]
    with multiprocessing.Pool(workers, _start_worker, (seed,)) as pool:
        done = pool.imap_unordered(_shard_job, missing)
        for _ in tqdm(done, total=len(missing), desc=f"shards of {SHARD_SCENES}"):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["train", "held-out", "pictures"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, help="6000 for train, 200 for held-out")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--workers", type=int, default=2, help="processes, for train only")
    args = parser.parse_args()
    if args.what == "train":
        seed = TRAIN_SEED if args.seed is None else args.seed
        write_train(args.folder, args.scenes or 6000, seed, args.workers)
    elif args.what == "held-out":
        seed = HELD_OUT_SEED if args.seed is None else args.seed
        write_coco(args.folder, range(args.scenes or 200), seed=seed)
    else:
        seed = PICTURES_SEED if args.seed is None else args.seed
        indices = PICTURES if args.scenes is None else range(args.scenes)
        write_coco(args.folder, indices, seed=seed, image_hw=PICTURES_HW, suffix=".jpg")


if __name__ == "__main__":
    main()
