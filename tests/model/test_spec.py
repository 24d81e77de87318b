# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hpip.errors import InvalidInputError, ModelFormatError
from hpip.model.spec import BoxOutputs, ClassOutputs, ModelSpec, load_model_spec
from hpip.types import NormalizeStep, PadStrideStep, PermuteStep, ResizeStep

IMAGE = ("image", "f32", [-1, 3, -1, -1])
IM_SHAPE = ("im_shape", "f32", [-1, 2])
SCALE_FACTOR = ("scale_factor", "f32", [-1, 2])
BOXES = [("f32", [-1, 6]), ("i32", [-1]), ("i32", [-1, -1, -1])]
CLASSES = [("i64", []), ("i64", [-1]), ("f32", [-1]), ("ui8", [-1, -1, -1])]
CONFIG = {
    "Global": {"model_name": "MaskRCNN-ResNet50-FPN"},
    "draw_threshold": 0.4,
    "label_list": ["cat", "dog"],
    "Preprocess": [
        {"type": "Resize", "target_size": [800, 1333], "keep_ratio": True, "interp": 2},
        {"type": "NormalizeImage", "is_scale": True},
        {"type": "Permute"},
        {"type": "PadStride", "stride": 32},
    ],
}


def program_text(inputs=(IM_SHAPE, IMAGE, SCALE_FACTOR), outputs=BOXES) -> str:
    """A PIR document that has an interface and no operators."""

    def op(kind, value, dtype, dims, **attributes):
        entries = [{"N": key, "AT": {"#": "", "D": item}} for key, item in attributes.items()]
        tensor = {"#": "0.t_dtensor", "D": [{"#": f"0.t_{dtype}"}, dims, "NCHW", [], 0]}
        return {"#": f"1.{kind}", "A": entries, "I": [], "O": [{"%": value, "TT": tensor}]}

    ops = [op("data", i, dtype, dims, name=name) for i, (name, dtype, dims) in enumerate(inputs)]
    for column, (dtype, dims) in enumerate(outputs):
        ops.append(op("fetch", 100 + column, dtype, dims, name=f"fetch_{column}", col=column))
    program = {"regions": [{"blocks": [{"ops": ops}]}]}
    return json.dumps({"base_code": {"magic": "pir", "version": 1}, "program": program})


@pytest.fixture
def make_model(tmp_path):
    """Write a model directory: a good one, with what the test changes."""

    def make(config=CONFIG, **program) -> Path:
        (tmp_path / "inference.json").write_text(program_text(**program))
        (tmp_path / "inference.pdiparams").write_bytes(b"weights")
        (tmp_path / "inference.yml").write_text(yaml.safe_dump(config))
        return tmp_path

    return make


def with_steps(*steps: dict) -> dict:
    return {**CONFIG, "Preprocess": list(steps)}


@pytest.fixture(scope="session")
def zoo_specs(zoo_source_dir, tmp_path_factory) -> dict[str, ModelSpec]:
    """Specs of the 15 official models, from real programs and configs and no weights."""
    specs = {}
    for packed in sorted(zoo_source_dir.glob("*/inference.json.gz")):
        folder = tmp_path_factory.mktemp(packed.parent.name)
        (folder / "inference.json").write_bytes(gzip.decompress(packed.read_bytes()))
        (folder / "inference.pdiparams").write_bytes(b"weights")
        shutil.copyfile(packed.with_name("inference.yml"), folder / "inference.yml")
        specs[packed.parent.name] = load_model_spec(folder)
    return specs


def test_every_official_model_has_a_spec(zoo_specs):
    assert len(zoo_specs) == 15
    for name, spec in zoo_specs.items():
        assert spec.model_name == name
        assert spec.input_names == ("im_shape", "image", "scale_factor")
        assert (len(spec.labels), spec.labels[0], spec.labels[79]) == (80, "person", "toothbrush")
        assert spec.score_threshold == 0.5


FAMILIES = {
    "Mask-RT-DETR": ("boxes", "int32", (640, 640), 1),
    "PP-YOLOE_seg": ("boxes", "float32", (640, 640), 1),
    "MaskRCNN": ("boxes", "int32", None, 1),
    "Cascade": ("boxes", "int32", None, 1),
    "SOLOv2": ("classes", "uint8", None, 1),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_size_and_batch_of_each_family(zoo_specs, family):
    specs = [spec for name, spec in zoo_specs.items() if name.startswith(family)]

    assert specs
    for spec in specs:
        found = (spec.outputs.layout, spec.outputs.masks.dtype)
        assert (*found, spec.network_hw, spec.max_batch_size) == FAMILIES[family]
        roles = [role for role in dataclasses.fields(spec.outputs) if role.name != "layout"]
        tensors = [getattr(spec.outputs, role.name) for role in roles]
        assert [tensor.index for tensor in tensors] == list(range(len(roles)))


def test_preprocessing_of_the_official_models(zoo_specs):
    square = ResizeStep((640, 640), keep_ratio=False, interpolation="cubic")
    assert zoo_specs["Mask-RT-DETR-S"].preprocess.steps == (
        square,
        NormalizeStep(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        PermuteStep(),
    )
    imagenet = NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert zoo_specs["SOLOv2"].preprocess.steps == (
        imagenet,
        ResizeStep((800, 1333), keep_ratio=True, interpolation="linear"),
        PermuteStep(),
        PadStrideStep(32),
    )
    assert zoo_specs["MaskRCNN-ResNet50"].preprocess.steps[-1] == PadStrideStep(-1)
    assert zoo_specs["MaskRCNN-ResNet50-FPN"].preprocess.network_hw((480, 640)) == (800, 1088)


def test_a_directory_becomes_a_spec(make_model):
    folder = make_model()
    spec = load_model_spec(str(folder))

    assert spec.model_dir == folder
    assert spec.files.program == folder / "inference.json"
    assert spec.files.params == folder / "inference.pdiparams"
    assert spec.labels == ("cat", "dog")
    assert spec.score_threshold == 0.4
    assert isinstance(spec.outputs, BoxOutputs)
    assert spec.outputs.masks.name == "fetch_2"
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.labels = ()


def test_loading_a_spec_imports_no_engine(make_model):
    script = (
        "import sys; from hpip.model.spec import load_model_spec; load_model_spec(sys.argv[1])\n"
        "assert not {'paddle', 'cv2', 'onnxruntime', 'openvino'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(make_model())], check=True)


def test_roles_do_not_depend_on_the_order_of_outputs(make_model):
    outputs = load_model_spec(make_model(outputs=BOXES[::-1])).outputs
    assert isinstance(outputs, BoxOutputs)
    assert (outputs.boxes.index, outputs.counts.index, outputs.masks.index) == (2, 1, 0)

    outputs = load_model_spec(make_model(outputs=CLASSES[::-1])).outputs
    assert isinstance(outputs, ClassOutputs)
    assert (outputs.count.index, outputs.class_ids.index) == (3, 2)
    assert (outputs.scores.index, outputs.masks.index) == (1, 0)


def test_a_count_may_be_a_vector_of_one(make_model):
    outputs = load_model_spec(make_model(outputs=[("i64", [1]), *CLASSES[1:]])).outputs
    assert isinstance(outputs, ClassOutputs)
    assert outputs.count.dims == (1,)


@pytest.mark.parametrize(
    "outputs",
    [
        BOXES[:2],
        [*BOXES, ("f32", [-1])],
        [("f32", [-1, 7]), *BOXES[1:]],
        [*BOXES[:2], ("i32", [-1, -1])],
        [*BOXES[:2], ("f16", [-1, -1, -1])],
        [BOXES[0], BOXES[0], BOXES[2]],
        CLASSES[1:],
        [("f32", [-1, 1000])],
    ],
    ids=["no masks", "one more", "rotated", "rank", "dtype", "twice", "no count", "classifier"],
)
def test_outputs_of_no_known_family(make_model, outputs):
    with pytest.raises(ModelFormatError, match="expected the outputs of an instance-segm") as info:
        load_model_spec(make_model(outputs=outputs))
    assert "fetch_0: " in str(info.value)


@pytest.mark.parametrize(
    "inputs",
    [
        [("x", "f32", [-1, 3, -1, -1])],
        [IM_SHAPE, SCALE_FACTOR],
        [IMAGE, ("mask", "f32", [-1, 2])],
        [("image", "ui8", [-1, 3, -1, -1])],
        [("image", "f32", [-1, 1, -1, -1])],
        [IMAGE, ("im_shape", "f32", [-1])],
    ],
    ids=["name", "no image", "unknown", "dtype", "channels", "rank"],
)
def test_inputs_that_cannot_be_fed(make_model, inputs):
    with pytest.raises(ModelFormatError, match="expected the inputs image: float32"):
        load_model_spec(make_model(inputs=inputs))


@pytest.mark.parametrize("inputs", [[IMAGE], [IMAGE, SCALE_FACTOR], [IM_SHAPE, IMAGE]])
def test_im_shape_and_scale_factor_are_optional(make_model, inputs):
    spec = load_model_spec(make_model(inputs=inputs))
    assert spec.input_names == tuple(name for name, *_ in inputs)
    assert spec.max_batch_size is None


def test_a_batch_axis_that_the_export_fixed_is_the_limit(make_model):
    spec = load_model_spec(make_model(inputs=[("image", "f32", [4, 3, -1, -1])]))
    assert spec.max_batch_size == 4


def test_preprocessing_must_make_the_size_that_the_network_takes(make_model):
    inputs = [("image", "f32", [-1, 3, 640, 640])]
    steps = [{"type": "Resize", "target_size": [640, 640]}, {"type": "Permute"}]
    assert load_model_spec(make_model(with_steps(*steps), inputs=inputs)).network_hw == (640, 640)

    steps[0]["target_size"] = [640, 608]
    with pytest.raises(ModelFormatError, match=r"640 x 640 .* resizes to 640 x 608"):
        load_model_spec(make_model(with_steps(*steps), inputs=inputs))


def test_labels_and_class_ids_beyond_them(make_model):
    spec = load_model_spec(make_model())
    assert [spec.label(class_id) for class_id in range(4)] == ["cat", "dog", "2", "3"]
    with pytest.raises(InvalidInputError, match="received -1"):
        spec.label(-1)


@pytest.mark.parametrize(
    "name", ["inference.json", "inference.pdiparams", "inference.yml"], ids=lambda name: name
)
def test_a_missing_file_is_named_with_what_is_there(make_model, name):
    folder = make_model()
    (folder / name).unlink()

    with pytest.raises(ModelFormatError, match="lacks") as failure:
        load_model_spec(folder)
    assert name in str(failure.value).split("expected")[0]
    assert "received inference." in str(failure.value)


@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_an_empty_file_is_named(make_model, name):
    folder = make_model()
    (folder / name).write_bytes(b"")

    with pytest.raises(ModelFormatError, match="empty") as failure:
        load_model_spec(folder)
    assert name in str(failure.value)


def test_a_missing_directory_and_a_file_in_its_place(tmp_path):
    with pytest.raises(ModelFormatError, match="does not exist: expected a directory with"):
        load_model_spec(tmp_path / "absent")
    file = tmp_path / "model.tar"
    file.touch()
    with pytest.raises(ModelFormatError, match="expected a bundle"):
        load_model_spec(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Preprocess: [", "not valid YAML"),
        ("- a\n- b\n", "expected a mapping .* received list"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
    ids=["broken", "list", "unsafe tag"],
)
def test_yaml_that_is_not_a_config(make_model, text, message):
    folder = make_model()
    (folder / "inference.yml").write_text(text)
    with pytest.raises(ModelFormatError, match=message):
        load_model_spec(folder)


def test_yaml_that_is_not_text(make_model):
    folder = make_model()
    (folder / "inference.yml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ModelFormatError, match="cannot read"):
        load_model_spec(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Global": None}, "Global.model_name: expected the model's name, received None"),
        ({"Global": {"model_name": 3}}, "Global.model_name.* received 3"),
        ({"label_list": None}, "label_list: expected a list of class names, received None"),
        ({"label_list": []}, r"label_list.* received \[\]"),
        ({"label_list": ["yes", False]}, r"label_list\[1\].* received False .*quote"),
        ({"draw_threshold": "high"}, "draw_threshold.* received 'high'"),
        ({"draw_threshold": 2}, "draw_threshold: expected a number from 0 to 1, received 2"),
        ({"Preprocess": {}}, r"Preprocess: expected a list of operators, received \{\}"),
    ],
)
def test_wrong_values_are_named(make_model, change, message):
    with pytest.raises(ModelFormatError, match=message) as failure:
        load_model_spec(make_model({**CONFIG, **change}))
    assert "inference.yml" in str(failure.value)


def test_the_threshold_has_a_default_and_labels_may_be_numbers(make_model):
    config = {key: value for key, value in CONFIG.items() if key != "draw_threshold"}
    spec = load_model_spec(make_model({**config, "label_list": [7, "eight"]}))
    assert spec.score_threshold == 0.5
    assert spec.labels == ("7", "eight")


@pytest.mark.parametrize(
    ("interp", "expected"),
    [
        (0, "nearest"),
        (1, "linear"),
        (2, "cubic"),
        (3, "area"),
        ("nearest", "nearest"),
        ("LINEAR", "linear"),
        ("Bicubic", "cubic"),
        ("AREA", "area"),
    ],
)
def test_interpolation_by_number_and_name(make_model, interp, expected):
    resize = {"type": "Resize", "target_size": [32, 48], "interp": interp}
    step = load_model_spec(make_model(with_steps(resize, {"type": "Permute"}))).preprocess.steps[0]
    assert step == ResizeStep((32, 48), keep_ratio=False, interpolation=expected)


def test_defaults_are_those_of_paddlex(make_model):
    steps = [
        {"type": "Resize", "target_size": [32, 48]},
        {"type": "NormalizeImage"},
        {"type": "Permute"},
        {"type": "PadStride"},
    ]
    assert load_model_spec(make_model(with_steps(*steps))).preprocess.steps == (
        ResizeStep((32, 48), keep_ratio=False, interpolation="cubic"),
        NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        PermuteStep(),
        PadStrideStep(32),
    )


def test_normalization_without_scale_and_with_one_number_for_all_channels(make_model):
    normalize = {"type": "NormalizeImage", "is_scale": False, "mean": 127.5, "std": [64, 64, 64]}
    steps = load_model_spec(make_model(with_steps(normalize, {"type": "Permute"}))).preprocess.steps
    assert steps[0] == NormalizeStep(1.0, (127.5, 127.5, 127.5), (64.0, 64.0, 64.0))


PERMUTE = {"type": "Permute"}
RESIZE = {"type": "Resize", "target_size": [8, 8]}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [{"type": "WarpAffine"}],
            "operator of type Resize, NormalizeImage, Permute, PadStride, received .WarpAffine",
        ),
        ([{"interp": 1}], "expected an operator of type Resize"),
        (["Permute"], r"Preprocess\[0\]: .* received 'Permute'"),
        ([{"type": "Resize"}], r"Preprocess\[0\] \(Resize\): target_size: .* received None"),
        ([{"type": "Resize", "target_size": 640}], "target_size.* received 640"),
        ([{"type": "Resize", "target_size": [640, 0]}], "target_size"),
        ([{"type": "Resize", "target_size": [8, 8], "interp": 4}], "interp.* received 4"),
        ([{"type": "Resize", "target_size": [8, 8], "interp": "LANCZOS4"}], "received 'LANCZOS4'"),
        ([{"type": "Resize", "target_size": [8, 8], "interp": True}], "received True"),
        ([{"type": "Resize", "target_size": [8, 8], "keep_ratio": 1}], "keep_ratio.* received 1"),
        ([{"type": "NormalizeImage", "norm_type": "min_max"}], "norm_type.* received 'min_max'"),
        ([{"type": "NormalizeImage", "mean": [0.5, 0.5]}], "mean: expected three numbers"),
        ([{"type": "NormalizeImage", "std": [1, 0, 1]}], "std: expected numbers other than 0"),
        ([{"type": "NormalizeImage", "is_scale": "no"}], "is_scale"),
        ([PERMUTE, {"type": "PadStride", "stride": 0.5}], "stride.* received 0.5"),
        ([{"type": "Permute", "to_bgr": False}], r"\(Permute\): unknown keys \['to_bgr'\]"),
        ([{"type": "NormalizeImage"}], "expected Permute once, received it 0 times"),
        ([PERMUTE, PERMUTE], "expected Permute once, received it 2 times"),
        ([RESIZE, RESIZE, PERMUTE], "expected Resize at most once"),
        ([{"type": "PadStride"}, PERMUTE], "received PadStride, Permute"),
        ([PERMUTE, {"type": "NormalizeImage"}], "received Permute, Normalize"),
    ],
)
def test_preprocessing_that_hpip_cannot_do(make_model, steps, message):
    with pytest.raises(ModelFormatError, match=message) as failure:
        load_model_spec(make_model(with_steps(*steps)))
    assert "inference.yml" in str(failure.value)
