# SPDX-License-Identifier: Apache-2.0
"""Labels of any script are drawn in a font that has them, or else by their class id."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

import hpip
from hpip import ops
from hpip.errors import InvalidInputError
from hpip.integrations.instance_seg_predictor import InstanceSegPredictor
from hpip.results import label_fonts, label_text
from hpip.results.drawing import draw_instances
from hpip.types import RleMask, UInt8Array
from tests.pictures import rectangles

CHINESE = "硬币"
SCRIPTS = {
    "Simplified Chinese": CHINESE,
    "Traditional Chinese": "蘋果",
    "Japanese": "りんご",
    "Korean": "사과",
    "Thai": "กล้วย",
    "Arabic": "تفاحة",
    "Hebrew": "תפוח",
    "Hindi": "सेब",
    "Russian": "яблоко",
    "German": "Fußgänger",
    "mixed": "硬币 coin é",
}


def draw(label: str, **options: Any) -> UInt8Array:
    mask = RleMask(ops.encode_rle(np.ones((100, 300), np.uint8)), (100, 300), (150, 50))
    return draw_instances(
        np.full((400, 400, 3), 200, np.uint8),
        masks=[mask],
        boxes_xyxy=np.array([[50, 150, 350, 250]], np.float32),
        class_ids=np.array([17]),
        labels=[label],
        scores=np.array([0.9], np.float32),
        **options,
    )


def forget() -> None:
    label_fonts.find_font.cache_clear()
    label_fonts._font_files.cache_clear()
    label_text._warned.clear()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.fixture
def own_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of fonts on this machine, empty so far."""
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(label_fonts, "_PACKS", "tests.no.packs")
    folder = tmp_path / "share" / "fonts"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def latin_font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The font that Pillow carries within itself, as a file: it has no Chinese."""
    path = tmp_path_factory.mktemp("font") / "sans.ttf"
    path.write_bytes(PIL.ImageFont.load_default(12).font_bytes)
    return path


@pytest.fixture
def chinese_font() -> Path:
    path = label_fonts.find_font(PIL, CHINESE)
    if path is None:
        pytest.skip("no font here has Chinese: pip install 'hpip[fonts]'")
    return path


@pytest.mark.parametrize("script", SCRIPTS)
def test_labels_of_any_script(script: str, caplog: pytest.LogCaptureFixture) -> None:
    if label_fonts.find_font(PIL, "".join(sorted(set(SCRIPTS[script])))) is None:
        pytest.skip(f"no font here has {script}: pip install 'hpip[fonts]'")
    picture = draw(SCRIPTS[script])
    for other in ("??", "17", SCRIPTS[script][::-1]):
        assert (picture != draw(other)).any()
    assert not caplog.records


def test_two_chinese_labels_differ(chinese_font: Path) -> None:
    assert (draw("硬币") != draw("苹果")).any()
    np.testing.assert_array_equal(draw("硬币", font_path=chinese_font), draw("硬币"))


def test_without_a_font_the_class_id_is_drawn_and_one_warning_names_the_remedy(
    own_fonts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = draw(CHINESE)
    np.testing.assert_array_equal(picture, draw("17"))
    draw("苹果")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    message = caplog.records[0].getMessage()
    for part in (CHINESE, "class id", "pip install 'hpip[fonts]'", "--font FILE"):
        assert part in message


def test_without_pillow_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
        monkeypatch.setitem(sys.modules, name, None)
    np.testing.assert_array_equal(draw(CHINESE), draw("17"))


def test_a_font_of_the_system_is_found(
    own_fonts: Path, latin_font: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (own_fonts / "broken.ttf").write_bytes(b"no font")
    (own_fonts / "deep").mkdir()
    (own_fonts / "deep" / "Sans-Regular.ttf").write_bytes(latin_font.read_bytes())
    np.testing.assert_array_equal(draw("±5°"), draw("±5°", font_path=latin_font))
    assert (draw("±5°") != draw("5")).any()
    np.testing.assert_array_equal(draw(CHINESE), draw("17"))
    assert len(caplog.records) == 1


def test_plain_cuts_come_first() -> None:
    names = [
        *("NotoSansSC-Regular.otf", "NotoSansCJKsc-Regular.otf", "DejaVuSans.ttf"),
        *("NotoSansJP-Regular.otf", "NotoSansCJKsc-Bold.otf", "DejaVuSansMono-BoldOblique.ttf"),
    ]
    ranked = sorted(map(Path, names), key=label_fonts._rank)
    assert [path.name for path in ranked[:2]] == sorted(names[:2])
    assert ranked[-1].name == "DejaVuSansMono-BoldOblique.ttf"


def test_a_named_font_that_lacks_a_label_is_helped_out(
    latin_font: Path, chinese_font: Path
) -> None:
    np.testing.assert_array_equal(
        draw(CHINESE, font_path=latin_font), draw(CHINESE, font_path=chinese_font)
    )
    assert (draw("plain", font_path=latin_font) != draw("plain")).any()


def test_variable_fonts_are_drawn_in_their_regular_weight(chinese_font: Path) -> None:
    """Noto's variable fonts open as their thinnest."""
    thin = PIL.ImageFont.truetype(str(chinese_font), 40)
    font = label_fonts.open_font(PIL, chinese_font, 40)
    if "[wght]" not in chinese_font.name:
        pytest.skip(f"{chinese_font} has one weight")
    assert sum(bytes(font.getmask(CHINESE))) > 1.3 * sum(bytes(thin.getmask(CHINESE)))


def test_every_way_to_a_picture_takes_a_font(
    tiny_model_dir: Path, latin_font: Path, tmp_path: Path
) -> None:
    picture = rectangles(128, 128, red=(16, 40, 64, 64))
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), picture)
    with hpip.create_pipeline(model_dir=tiny_model_dir, font_path=str(latin_font)) as pipeline:
        (result,) = pipeline.predict(picture)
        expected = result.draw(font_path=latin_font)
        np.testing.assert_array_equal(result.draw(), expected)
        np.testing.assert_array_equal(np.asarray(result.img["res"])[:, :, ::-1], expected)
        np.testing.assert_array_equal(cv2.imread(str(result.save_to_img(tmp_path))), expected)
    with InstanceSegPredictor(tiny_model_dir, device="cpu", font_path=latin_font) as predictor:
        np.testing.assert_array_equal(next(predictor(picture)).draw(), expected)
    with hpip.create_pipeline(model_dir=tiny_model_dir) as plain:
        assert (next(plain.predict(picture)).draw() != expected).any()
    config = tmp_path / "my.yaml"
    config.write_text(f"Pipeline: {{model: {tiny_model_dir}/, device: cpu}}\n")
    for i, style in enumerate((["predict", "--model_dir", tiny_model_dir], ["--pipeline", config])):
        out = tmp_path / f"out{i}"
        command = [*style, "--input", source, "--save_path", out, "--font", latin_font]
        subprocess.run([sys.executable, "-m", "hpip", *map(str, command)], check=True)
        np.testing.assert_array_equal(cv2.imread(str(out / "a_res.png")), expected)


def test_a_font_that_is_none_is_refused_at_once(tiny_model_dir: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none.ttf", Path(__file__)):
        with pytest.raises(InvalidInputError, match="font_path: expected a TrueType"):
            hpip.create_pipeline(model_dir=tiny_model_dir, font_path=path)


def test_the_command_warns_of_labels_without_a_font(
    own_fonts: Path, tiny_model_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from hpip.cli.predict import PredictRequest, run_predict

    model = tmp_path / "model"
    model.mkdir()
    for file in tiny_model_dir.iterdir():
        text = file.read_bytes()
        if file.name == "inference.yml":
            text = text.replace(b"- red", "- 红色".encode())
        (model / file.name).write_bytes(text)
    source = tmp_path / "a.png"
    cv2.imwrite(str(source), rectangles(128, 128, red=(16, 40, 64, 64)))
    failed = run_predict(
        PredictRequest(
            pipeline=None, model=None, model_dir=str(model), input=[str(source)] * 2,
            save_path=tmp_path / "out", device="cpu", threshold=None, use_hpip=None,
            hpi_config=None,
        )
    )  # fmt: skip
    assert failed == 0
    assert capfd.readouterr().err.count("warning: no installed font has all characters") == 1
