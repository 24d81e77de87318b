# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpip.errors import BackendUnavailableError
from hpip.inputs.sources import count_files, is_single, iter_sources
from hpip.types import UInt8Array
from tests.source_images import failure, only, picture, png, shades, tiff_pages


def minimal_pdf(page_sizes: list[tuple[int, int]]) -> bytes:
    """A PDF with a red rectangle in the lower left quarter of each page."""
    page_ids = [3 + 2 * i for i in range(len(page_sizes))]
    kids = " ".join(f"{page_id} 0 R" for page_id in page_ids)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(page_sizes)} >>",
    ]
    for page_id, (width, height) in zip(page_ids, page_sizes, strict=True):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}]"
            f" /Contents {page_id + 1} 0 R >>"
        )
        drawing = f"1 0 0 rg 0 0 {width // 2} {height // 2} re f"
        objects.append(f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream")
    body = "%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    start = len(body)
    size = len(objects) + 1
    body += f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    body += f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return body.encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good images 10, 20, 30 and 40 in sorted order, a bad one, and files of other kinds."""
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "a.png").write_bytes(png(10))
    (tmp_path / "b.JPG").write_bytes(png(20))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "sub" / "c.bmp").write_bytes(png(30))
    (tmp_path / "sub" / "deep" / "d.webp").write_bytes(png(40))
    return tmp_path


class TestMemory:
    def test_array(self) -> None:
        source = only(picture(7))
        np.testing.assert_array_equal(source.image, picture(7))
        assert (source.input_path, source.page_index) == (None, None)
        assert (source.name, source.stem) == ("array[0]", "array_0")

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_encoded_bytes(self, kind: type) -> None:
        source = only(kind(png(7)))
        np.testing.assert_array_equal(source.image, picture(7))
        assert source.name == "bytes[0]"

    def test_bad_array_and_bytes(self) -> None:
        assert "array[0]: wrong dtype" in failure(np.zeros((3, 3)))
        assert "bytes[0]: the file is empty" in failure(b"")
        assert "bytes[0]: not an image" in failure(b"what is this")

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
    def test_pil_image(self, mode: str) -> None:
        image = Image.new("RGB", (5, 4), (255, 0, 0)).convert(mode)
        source = only(image)
        assert source.image is not None
        assert source.image.shape == (4, 5, 3)
        if mode in ("RGB", "RGBA", "P", "CMYK"):
            blue, _, red = source.image[0, 0]
            assert red > 250
            assert blue < 5

    def test_pil_image_is_turned_upright_and_16_bit_scaled(self) -> None:
        image = Image.new("RGB", (5, 4))
        image.getexif()[0x0112] = 6
        turned = only(image).image
        assert turned is not None
        assert turned.shape == (5, 4, 3)
        deep = only(Image.fromarray(np.full((2, 2), 0x1234, np.uint16))).image
        assert deep is not None
        assert (deep == 0x12).all()

    @pytest.mark.parametrize("thing", [None, 3, 2.5, object(), {1, 2}, os.fsencode])
    def test_other_types(self, thing: object) -> None:
        message = failure(thing)
        assert "expected a NumPy array (BGR), a path" in message
        assert f"received {type(thing).__name__}" in message


class TestCollections:
    def test_order_is_kept_and_failures_take_their_place(self, folder: Path) -> None:
        inputs = [
            picture(1),
            str(folder / "bad.jpg"),
            (png(2), [folder / "a.png", {"img": picture(3)}]),
            np.zeros((2, 2), bool),
            iter([picture(4)]),
            None,
            {"img_path": str(folder / "b.JPG")},
            {"input": folder / "sub"},
        ]
        sources = list(iter_sources(inputs))
        assert shades(iter(sources)) == [1, None, 2, 10, 3, None, 4, None, 20, 30, 40]
        assert [source.name for source in sources if source.input_path is None] == [
            "array[0]",
            "bytes[2]",
            "array[4]",
            "array[5]",
            "array[6]",
            "input[7]",
        ]

    def test_is_lazy(self) -> None:
        taken = []

        def endless() -> Iterator[UInt8Array]:
            while True:
                taken.append(1)
                yield picture()

        sources = iter_sources(endless())
        assert taken == []
        next(sources)
        next(sources)
        assert len(taken) == 2

    @pytest.mark.parametrize("inputs", [[], (), iter(())])
    def test_nothing_in_nothing_out(self, inputs: Any) -> None:
        assert list(iter_sources(inputs)) == []

    @pytest.mark.parametrize("bad", [{}, {"image": 1}, {"img": 1, "input": 2}, {"img": 1, "x": 2}])
    def test_dict_keys(self, bad: dict[str, Any]) -> None:
        message = failure(bad)
        assert "exactly one of the keys 'img', 'img_path', 'input'" in message
        assert repr(list(bad)) in message


class TestPaths:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_file(self, folder: Path, kind: type) -> None:
        source = only(kind(folder / "a.png"))
        np.testing.assert_array_equal(source.image, picture(10))
        assert source.input_path == source.name == str(folder / "a.png")
        assert (source.page_index, source.stem) == (None, "a")

    def test_content_counts_not_the_suffix(self, tmp_path: Path) -> None:
        (tmp_path / "photo.dat").write_bytes(png(5))
        assert shades(iter_sources(tmp_path / "photo.dat")) == [5]

    def test_directory_is_searched_recursively_and_sorted(self, folder: Path) -> None:
        sources = list(iter_sources(folder))
        assert shades(iter(sources)) == [10, 20, None, 30, 40]
        names = ["a.png", "b.JPG", "bad.jpg", "sub/c.bmp", "sub/deep/d.webp"]
        assert [source.input_path for source in sources] == [str(folder / name) for name in names]
        assert str(folder / "bad.jpg") in str(sources[2].error)
        assert "truncated" in str(sources[2].error)

    def test_every_suffix_of_paddlex_is_found_in_any_case(self, tmp_path: Path) -> None:
        suffixes = ["bmp", "dib", "jpeg", "jpg", "png", "webp", "tif", "tiff"]
        suffixes += ["pbm", "pgm", "ppm", "pnm", "sr", "ras"]
        for suffix in suffixes + [suffix.upper() for suffix in suffixes]:
            (tmp_path / f"x{suffix}.{suffix}").write_bytes(png())
        assert shades(iter_sources(tmp_path)) == [90] * 28

    def test_directory_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no image")
        message = failure(tmp_path)
        assert f"{tmp_path}: no image in this directory" in message
        assert ".jpeg, .jpg, .pbm, .pdf" in message

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*.png", [10]),
            ("[ab].*", [10, 20]),
            ("?.*", [10, 20]),
            ("*", [10, 20, None]),
            ("**", [10, 20, None, 30, 40]),
            ("**/*.webp", [40]),
            ("sub/*/*.webp", [40]),
            ("*.txt", [None]),
        ],
    )
    def test_pattern(self, folder: Path, pattern: str, expected: list[int | None]) -> None:
        assert shades(iter_sources(str(folder / pattern))) == expected

    def test_a_file_whose_name_looks_like_a_pattern(self, tmp_path: Path) -> None:
        (tmp_path / "x[1].png").write_bytes(png(3))
        (tmp_path / "x1.png").write_bytes(png(4))
        assert shades(iter_sources(str(tmp_path / "x[1].png"))) == [3]

    def test_pattern_without_matches(self, folder: Path) -> None:
        assert "no file matches this pattern" in failure(f"{folder}/*.jp*g2")

    def test_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "none.jpg"
        source = only(path)
        assert source.input_path == str(path)
        assert str(source.error).startswith(f"{path}: no such file or directory")

    @pytest.mark.parametrize("path", ["", "a\0b.jpg", "x" * 5000])
    def test_impossible_paths(self, path: str) -> None:
        assert failure(path)

    def test_special_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "received a special file" in failure(tmp_path / "pipe.png")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_unreadable_file(self, tmp_path: Path) -> None:
        path = tmp_path / "secret.png"
        path.write_bytes(png())
        path.chmod(0)
        assert "Permission denied" in failure(path)

    def test_broken_link_in_a_directory(self, folder: Path) -> None:
        (folder / "aa.png").symlink_to(folder / "gone.png")
        assert shades(iter_sources(folder)) == [10, None, 20, None, 30, 40]
        assert "No such file" in str(list(iter_sources(folder))[1].error)

    def test_max_pixels(self, folder: Path) -> None:
        assert "at most 47" in failure(folder / "a.png", max_pixels=47)


class TestPages:
    @pytest.mark.parametrize("name", ["scan.tif", "scan.dat"])
    def test_tiff(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_bytes(tiff_pages(3))
        sources = list(iter_sources(path))
        assert shades(iter(sources)) == [0, 10, 20]
        assert [source.page_index for source in sources] == [0, 1, 2]
        assert [source.stem for source in sources] == ["scan_0", "scan_1", "scan_2"]
        assert sources[1].name == f"{path}[page 1]"
        assert {source.input_path for source in sources} == {str(path)}

    def test_tiff_of_one_page_is_an_ordinary_image(self, tmp_path: Path) -> None:
        (tmp_path / "one.tif").write_bytes(tiff_pages(1))
        source = only(tmp_path / "one.tif")
        assert (source.page_index, source.stem) == (None, "one")

    def test_pdf(self, tmp_path: Path) -> None:
        pytest.importorskip("pypdfium2")
        path = tmp_path / "paper.PDF"
        path.write_bytes(minimal_pdf([(40, 30), (21, 51)]))
        (tmp_path / "z.png").write_bytes(png(9))
        *pages, _ = sources = list(iter_sources(tmp_path))
        assert [source.page_index for source in sources] == [0, 1, None]
        # Twice the size in points, as PaddleX renders; BGR.
        assert [page.image.shape for page in pages if page.image is not None] == [
            (60, 80, 3),
            (102, 42, 3),
        ]
        image = pages[0].image
        assert image is not None
        assert image.flags.c_contiguous
        assert image[-5, 5].tolist() == [0, 0, 255]
        assert image[5, -5].tolist() == [255, 255, 255]
        assert [page.stem for page in pages] == ["paper_0", "paper_1"]

    def test_pdf_page_is_scaled_down_to_the_pixel_limit(self) -> None:
        pytest.importorskip("pypdfium2")
        image = only(minimal_pdf([(100, 50)]), max_pixels=5000).image
        assert image is not None
        assert image.shape == (50, 100, 3)

    @pytest.mark.parametrize(
        "data", [b"%PDF-1.4\n", b"%PDF-1.4\n" + b"junk " * 99, minimal_pdf([])]
    )
    def test_damaged_pdf(self, data: bytes) -> None:
        pytest.importorskip("pypdfium2")
        assert "bytes[0]: the PDF can't be opened" in failure(data)

    def test_abandoned_pdf_is_closed(self) -> None:
        pytest.importorskip("pypdfium2")
        sources = iter_sources(minimal_pdf([(10, 10), (10, 10)]))
        next(sources)
        sources.close()  # type: ignore[attr-defined]

    def test_missing_library_fails_the_pdf_only(self, tmp_path: Path) -> None:
        (tmp_path / "pypdfium2.py").write_text("raise ImportError('not here')\n")
        (tmp_path / "a.pdf").write_bytes(minimal_pdf([(10, 10)]))
        (tmp_path / "b.png").write_bytes(png())
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from hpip.inputs.sources import iter_sources\n"
            "first, second = iter_sources(sys.argv[1])\n"
            "print(second.error, type(first.error).__name__, first.error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"None {BackendUnavailableError.__name__} pypdfium2: ")
        assert "pip install 'hpip[pdf]'" in done.stdout


def test_missing_opencv_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "b.png").write_bytes(png())
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from hpip.errors import BackendUnavailableError\n"
        "from hpip.inputs.sources import iter_sources\n"
        "try:\n"
        "    next(iter_sources(sys.argv[1]))\n"
        "except BackendUnavailableError as error:\n"
        "    print(error.backend)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "opencv\n"


class TestIsSingle:
    def test_single(self, folder: Path) -> None:
        for one in (
            picture(),
            png(),
            Image.new("L", (2, 2)),
            str(folder / "a.png"),
            folder / "a.png",
            "missing.jpg",
            "",
            "http://localhost/x?y=[1]",
            {"img": picture()},
            {"wrong": 1},
            None,
        ):
            assert is_single(one), one

    def test_collection(self, folder: Path) -> None:
        for many in (
            [],
            [picture()],
            (png(),),
            iter([png()]),
            folder,
            str(folder),
            f"{folder}/*.png",
            {"img": [picture()]},
            {"input": folder},
        ):
            assert not is_single(many), many


def test_files_are_counted_without_opening_them(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    texts = [str(tmp_path), str(tmp_path / "*.png"), "http://127.0.0.1:9/x.png", "missing.png"]
    assert count_files(texts) == 2 + 1 + 1 + 1
