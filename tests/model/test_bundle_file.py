# SPDX-License-Identifier: Apache-2.0
"""Damaged, edited, later and hostile bundles end in ModelFormatError; whole ones are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from hpip.common.cache import Cache
from hpip.errors import InvalidInputError, ModelFormatError
from hpip.model.bundle_archive import MANIFEST_NAME
from hpip.model.bundle_file import read_bundle
from hpip.model.spec import load_model_spec
from hpip.types import MaskSource
from tests.bundles import DEMO, PARTS, demo_parts, with_manifest, with_part, write_demo_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_demo_bundle(tmp_path / "demo.hpip")


def test_a_bundle_has_the_metadata_of_its_model_directory(bundle: Path) -> None:
    made, source = load_model_spec(bundle), load_model_spec(DEMO)
    assert source.bundle is None  # Paddle is installed
    for name in ("model_name", "inputs", "preprocess", "labels", "score_threshold", "outputs"):
        assert getattr(made, name) == getattr(source, name), name
    assert made.network_hw == source.network_hw
    assert made.model_dir == bundle
    made.check_parameters()
    with pytest.raises(InvalidInputError, match="exported from: demo"):
        made.require_original_graph("a test")


def test_graphs_refer_to_the_weights_in_the_bundle(bundle: Path) -> None:
    found = read_bundle(bundle)
    (segment,) = found.compiled.segments
    assert segment.files.params == bundle
    model = onnx.load(segment.files.program, load_external_data=False)
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    assert {place["location"] for place in places} == {"demo.hpip"}
    start = found.weights.start
    original = (DEMO / "inference.pdiparams").read_bytes()
    data = bundle.read_bytes()
    for place in places:
        offset, length = int(place["offset"]), int(place["length"])
        assert data[offset : offset + length] == original[offset - start : offset - start + length]


def test_a_folder_is_read_like_a_zip_file(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (*PARTS, "inference.pdiparams"):
        shutil.copy(DEMO / name, folder)
    in_folder, in_zip = read_bundle(folder), read_bundle(bundle)
    assert in_folder.manifest == in_zip.manifest
    assert in_folder.weights.start == 0
    assert load_model_spec(folder).labels == load_model_spec(bundle).labels


def test_references_hold_instances_of_two_images(bundle: Path) -> None:
    references = read_bundle(bundle).references()
    assert len(references.results) == 2
    assert all(len(result.scores) >= 3 for result in references.results)


@pytest.mark.parametrize("name", [*PARTS[1:], "inference.pdiparams"])
def test_an_edited_part_is_found(tmp_path: Path, name: str) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip")
    data = bytearray(path.read_bytes())
    content = (DEMO / name).read_bytes()
    data[data.index(content) + len(content) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match="differs from the digest") as caught:
        load_model_spec(path).bundle.references()  # type: ignore[union-attr]
    assert name in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", PARTS[1:])
def test_a_missing_part_is_named(tmp_path: Path, name: str) -> None:
    parts = demo_parts()
    del parts[name]
    path = write_demo_bundle(tmp_path / "demo.hpip", parts)
    with pytest.raises(ModelFormatError, match=f"{name}: it is missing"):
        read_bundle(path)


def test_a_bundle_of_a_later_version_says_what_to_do(tmp_path: Path) -> None:
    parts = with_manifest(lambda record: record.update(format=99, news=[]))
    path = write_demo_bundle(tmp_path / "demo.hpip", parts)
    with pytest.raises(ModelFormatError, match="Install a newer hpip"):
        read_bundle(path)


def _set(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        part: Any = record
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("format", value=0),
        _set("format", value="1"),
        _set("unknown", value=1),
        lambda record: record.pop("masks"),
        _set("verified", value="yes"),
        _set("digests", value=[]),
        _set("digests", value={}),
        _set("plan", value=[]),
        _set("plan", value={"a": 1}),
        _set("plan", 0, value="step"),
        _set("plan", 0, "program", value="../../model.onnx"),
        _set("plan", 0, "program", value="bundle.json"),
        _set("plan", 0, "inputs", value=[1]),
        _set("plan", 0, "max_rows", value=-1),
        _set("plan", 0, "max_rows", value="many"),
        _set("plan", 1, "kind", value="os.system"),
        _set("masks", "convention", value="everywhere"),
        _set("masks", "threshold", value="high"),
        _set("masks", "upsample_hw", value=[1]),
        _set("masks", "crops_to_box", value=1),
        _set("network_hw", value=[0, 320]),
        _set("max_batch_size", value=0),
        _set("inputs", value=[]),
        _set("inputs", 0, "dims", value=["many"]),
        _set("outputs", value=[]),
        _set("graph_outputs", value="boxes"),
    ],
)
def test_an_edited_manifest_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip", with_manifest(change))
    with pytest.raises(ModelFormatError) as caught:
        load_model_spec(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip", {**demo_parts(), MANIFEST_NAME: data})
    with pytest.raises(ModelFormatError, match=MANIFEST_NAME):
        read_bundle(path)


@pytest.mark.parametrize(
    "data",
    [b"{}", b'{"resize_hw": null, "results": [{}]}', b'{"resize_hw": [1], "results": []}'],
)
def test_damaged_references_are_refused(tmp_path: Path, data: bytes) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip", with_part("references.json", data))
    with pytest.raises(ModelFormatError, match=r"references\.json"):
        read_bundle(path).references()


def _graph(change: Callable[[Any], None]) -> bytes:
    model = onnx.load(DEMO / "trunk.onnx", load_external_data=False)
    change(model)
    return bytes(model.SerializeToString())


def _place(key: str, value: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = next(one for one in model.graph.initializer if one.external_data)
        for entry in tensor.external_data:
            if entry.key == key:
                entry.value = value

    return change


def _constant_outside(model: Any) -> None:
    tensor = onnx.TensorProto(
        name="secret", dims=[4], data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["secret"], value=tensor))


def _foreign_operator(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Run", [], ["x"], domain="evil.example"))


def _function(model: Any) -> None:
    model.functions.append(onnx.FunctionProto(name="f", domain="evil.example"))


@pytest.mark.parametrize(
    "change",
    [
        _place("location", "/etc/passwd"),
        _place("location", "../other.bin"),
        _place("offset", "-4"),
        _place("offset", str(1 << 40)),
        _place("length", "much"),
        _constant_outside,
        _foreign_operator,
        _function,
    ],
)
def test_a_graph_that_reads_elsewhere_is_refused(
    tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip", with_part("trunk.onnx", _graph(change)))
    with pytest.raises(ModelFormatError, match=r"trunk\.onnx"):
        read_bundle(path, cache=Cache(tmp_path / "cache"))
    assert not list((tmp_path / "cache").rglob("*.onnx"))


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x3a\x02\x0a"])
def test_a_graph_that_is_no_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    path = write_demo_bundle(tmp_path / "demo.hpip", with_part("trunk.onnx", data))
    with pytest.raises(ModelFormatError, match=r"trunk\.onnx"):
        read_bundle(path)


def test_a_renamed_bundle_is_read_again(bundle: Path, tmp_path: Path) -> None:
    read_bundle(bundle)
    renamed = bundle.rename(tmp_path / "模型 1.hpip")
    (segment,) = read_bundle(renamed).compiled.segments
    assert renamed.name.encode() in segment.files.program.read_bytes()


def test_the_manifest_keeps_every_field_of_the_mask_post_processing(bundle: Path) -> None:
    record = json.loads((DEMO / MANIFEST_NAME).read_bytes())
    assert set(record["masks"]) == set(MaskSource.__dataclass_fields__)
