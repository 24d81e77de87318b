# SPDX-License-Identifier: Apache-2.0
"""The page at `/`, in a real browser against a real server."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import hpip
from benchmarks.serving.server import RunningServer
from hpip import ops
from hpip.results.drawing import class_color_bgr
from hpip.results.result import InstanceSegResult

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

COINS = Path(hpip.__file__).parent / "demo" / "coins.png"
SCENE = COINS.with_name("scene_0017.jpg")
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses to run as root inside its own sandbox; the page comes from this machine.
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, demo_server: RunningServer) -> Iterator[Any]:
    """The page on a desk's screen; anything that it logs as an error fails the test."""
    context = browser.new_context(viewport=DESK)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.goto(demo_server.url)
    yield opened
    context.close()
    assert not errors


@pytest.fixture(scope="module")
def coins() -> InstanceSegResult:
    """The right answer at the page's lowest score."""
    with hpip.create_pipeline(model="demo", device="cpu") as pipeline:
        (result,) = pipeline.predict(str(COINS), threshold=0.1)
        return result


def upload(page: Any, picture: Path) -> None:
    page.set_input_files("#file", picture)
    page.wait_for_selector("#found:not([hidden])")


def pixels(page: Any) -> Any:
    """(H, W, 3) of the canvas, as integers that can be subtracted."""
    url = page.evaluate("document.getElementById('view').toDataURL()")
    png = np.frombuffer(base64.b64decode(url.split(",", 1)[1]), np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_COLOR).astype(int)


def layers(page: Any, *names: str) -> None:
    for name in ("masks", "boxes", "labels"):
        page.set_checked(f"input[name={name}]", name in names)


def set_threshold(page: Any, value: float) -> None:
    page.locator("#threshold").fill(str(value))


def test_masks_are_drawn_where_the_model_finds_them(page: Any, coins: InstanceSegResult) -> None:
    upload(page, COINS)
    layers(page)
    bare = pixels(page)
    layers(page, "masks")
    # Scaling blurs the rims.
    changed = (np.abs(pixels(page) - bare).max(axis=2) > 30).astype(np.uint8)
    shown = [i for i, score in enumerate(coins.scores) if score >= 0.5]
    assert page.inner_text("#count") == f"{len(shown)} instances"
    wanted = np.bitwise_or.reduce([coins.mask(i) for i in shown])
    wanted = cv2.resize(wanted, changed.shape[::-1], interpolation=cv2.INTER_NEAREST)
    iou = np.count_nonzero(changed & wanted) / np.count_nonzero(changed | wanted)
    assert iou > 0.95


@pytest.mark.parametrize("layer", ["masks", "boxes", "labels"])
def test_each_layer_draws_something_of_its_own(page: Any, layer: str) -> None:
    upload(page, COINS)
    layers(page)
    bare = pixels(page)
    layers(page, layer)
    assert (pixels(page) != bare).any()


def test_the_slider_filters_without_the_server(page: Any, coins: InstanceSegResult) -> None:
    upload(page, COINS)
    requests: list[Any] = []
    page.on("request", lambda request: requests.append(request.url))
    all_shown = pixels(page)
    for threshold in (0.95, 0.1):
        set_threshold(page, threshold)
        count = int((coins.scores >= threshold).sum())
        assert page.locator("#instances li").count() == count
        assert page.inner_text("#count").startswith(f"{count} ")
        assert page.inner_text("#threshold-value") == f"{threshold:.2f}"
    set_threshold(page, 1)
    assert page.inner_text("#count") == "0 instances"
    assert (pixels(page) != all_shown).any()
    assert not [url for url in requests if url.endswith("/instance-segmentation")]


def test_the_list_works_by_keyboard(page: Any, coins: InstanceSegResult) -> None:
    upload(page, COINS)
    items = page.locator("#instances li")
    resting = pixels(page)
    items.first.focus()
    assert items.first.get_attribute("aria-selected") == "true"
    assert (pixels(page) != resting).any(), "the focused instance does not stand out"
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.ariaLabel")
    best, second = np.argsort(-coins.scores, kind="stable")[:2]
    assert focused.startswith(f"{coins.labels[second]}, score {coins.scores[second]:.3f}")
    assert items.nth(1).get_attribute("aria-selected") == "true"
    page.keyboard.press("End")
    assert items.last.get_attribute("aria-selected") == "true"
    page.keyboard.press("Home")
    focused = page.evaluate("document.activeElement.ariaLabel")
    assert focused.startswith(f"{coins.labels[best]}, score {coins.scores[best]:.3f}")


def test_pointing_at_an_instance_selects_it(page: Any, coins: InstanceSegResult) -> None:
    upload(page, COINS)
    area = page.locator("#view").bounding_box()
    scale = area["width"] / coins.image_hw[1]
    best = int(np.argmax(coins.scores))
    x0, y0, x1, y1 = coins.boxes_xyxy[best].tolist()
    page.mouse.move(area["x"] + (x0 + x1) / 2 * scale, area["y"] + (y0 + y1) / 2 * scale)
    selected = page.locator("#instances li[aria-selected=true]")
    assert selected.count() == 1
    assert f"score {coins.scores[best]:.3f}" in selected.get_attribute("aria-label")
    page.mouse.move(area["x"] + area["width"] + 30, area["y"])
    assert selected.count() == 0


def test_it_shows_timings_and_the_answer(page: Any, coins: InstanceSegResult) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upload(page, COINS)
    stages = page.locator("#times th").all_inner_texts()
    assert {"decode", "infer", "total"} <= set(stages)
    page.click("#answer summary")
    page.click("[data-copy=json]")
    # Not wait_for_function: it evaluates its text again and again, which the page's policy forbids.
    sync_api.expect(page.locator("[data-copy=json]")).to_have_text("Copied")
    answer = json.loads(page.evaluate("navigator.clipboard.readText()"))
    scores = [instance["score"] for instance in answer["result"]["instances"]]
    np.testing.assert_allclose(scores, coins.scores, atol=1e-4)
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "coins.json"
    assert json.loads(download.value.path().read_text()) == answer


@pytest.mark.parametrize("language", ["Python", "Node.js", "curl"])
def test_the_code_to_copy_runs(page: Any, language: str, tmp_path: Path) -> None:
    command = {"Python": [sys.executable, "-"], "Node.js": ["node", "--input-type=module", "-"]}
    command["curl"] = ["bash"]
    if language != "Python" and shutil.which("node" if language == "Node.js" else "curl") is None:
        pytest.skip(f"there is no {language} here")
    page.click("#client summary")
    page.select_option("#language", language)
    code = page.inner_text("#code")
    shutil.copy(SCENE, tmp_path / "photo.jpg")
    done = subprocess.run(
        command[language], input=code, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "sunflower" in done.stdout or "coin" in done.stdout, done.stderr


def test_pictures_can_be_dropped_and_pasted(page: Any) -> None:
    script = """async ([url, event]) => {
        const data = new DataTransfer();
        const content = await (await fetch(url)).blob();
        data.items.add(new File([content], "given.jpg", { type: "image/jpeg" }));
        const given = event === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.body.dispatchEvent(given);
    }"""
    for event in ("drop", "paste"):
        page.reload()
        page.evaluate(script, ["sample.jpg", event])
        page.wait_for_selector("#found:not([hidden])")
        assert page.get_attribute("#view", "aria-label").startswith("given.jpg, ")


def test_what_the_browser_cannot_show_is_said(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    page.set_input_files("#file", text)
    page.wait_for_selector("#message:not([hidden])")
    assert "cannot show" in page.inner_text("#message")
    upload(page, COINS)
    assert page.is_hidden("#message")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, {"errorCode": 422, "errorMsg": "image: too many pixels."}, "422: image: too many"),
        (
            422,
            {"errorCode": 422, "errorMsg": '[{"loc": ["body", "image"], "msg": "required"}]'},
            "422: body.image: required",
        ),
        (503, {"errorCode": 503, "errorMsg": "The queue is full."}, "Try again in 7 s."),
        (502, "<html>Bad gateway</html>", "not JSON"),
    ],
    ids=["sentence", "fields", "later", "proxy"],
)
def test_the_server_s_words_are_shown(
    browser: Any, demo_server: RunningServer, status: int, body: Any, words: str
) -> None:
    page = browser.new_page()
    text = body if isinstance(body, str) else json.dumps(body)
    answer = {"status": status, "body": text, "headers": {"Retry-After": "7"}}
    page.route("**/instance-segmentation", lambda route: route.fulfill(**answer))
    page.goto(demo_server.url)
    page.set_input_files("#file", COINS)
    page.wait_for_selector("#message:not([hidden])")
    assert words in page.inner_text("#message")
    assert page.is_hidden("#busy")
    page.close()


def test_a_server_that_is_gone_is_said(browser: Any, demo_server: RunningServer) -> None:
    page = browser.new_page()
    page.goto(demo_server.url)
    page.wait_for_selector("#server[data-state=ready]")
    page.route("**/instance-segmentation", lambda route: route.abort())
    page.set_input_files("#file", COINS)
    page.wait_for_selector("#message:not([hidden])")
    assert "cannot be reached" in page.inner_text("#message")
    page.close()


def test_a_token_is_asked_for_and_sent(browser: Any, demo_server: RunningServer) -> None:
    """The server has none; what matters is what the page does with a 401."""
    page = browser.new_page()
    sent: list[str | None] = []

    def guard(route: Any) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == "Bearer open sesame":
            route.continue_()
        else:
            answer = {"errorCode": 401, "errorMsg": "Expected a token."}
            route.fulfill(status=401, body=json.dumps(answer))

    page.route("**/instance-segmentation", guard)
    page.goto(demo_server.url)
    page.set_input_files("#file", COINS)
    page.wait_for_selector("#access:not([hidden])")
    page.get_by_label("Access token").fill("open sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("#found:not([hidden])")
    assert sent == [None, "Bearer open sesame"]
    assert page.is_hidden("#access")
    assert "Authorization" in page.text_content("#code")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_it_is_readable(
    browser: Any, demo_server: RunningServer, viewport: dict[str, int], scheme: str
) -> None:
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.goto(demo_server.url)
    upload(page, COINS)
    page.click("#answer summary")
    page.click("#client summary")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for text, size_px, contrast in page.evaluate(READABILITY):
        assert size_px >= 16, text
        assert contrast >= 4.5, text
    page.close()


# Every visible element that has a text of its own -> [text, font size, contrast with its ground].
READABILITY = """() => {
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = (color) => channels(color).slice(0, 3)
        .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        for (; element; element = element.parentElement) {
            const color = getComputedStyle(element).backgroundColor;
            if ((channels(color)[3] ?? 1) > 0) return color;
        }
        return "rgb(255, 255, 255)";
    };
    return [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
        && !element.closest(".visually-hidden, .skip, noscript, option")
        && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .map((element) => {
            const style = getComputedStyle(element);
            const [light, dark] = [luminance(style.color), luminance(ground(element))]
                .sort((a, b) => b - a);
            return [element.textContent.trim().slice(0, 40), parseFloat(style.fontSize),
                (light + 0.05) / (dark + 0.05)];
        });
}"""


def test_every_control_has_a_name(page: Any) -> None:
    upload(page, COINS)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, a")]
        .filter((control) => !(control.textContent.trim() || control.labels?.length
            || control.ariaLabel))
        .map((control) => control.outerHTML)""")
    assert nameless == []


def test_nothing_is_loaded_from_elsewhere(browser: Any, demo_server: RunningServer) -> None:
    page = browser.new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(demo_server.url)
    page.click("#sample")
    page.wait_for_selector("#found:not([hidden])")
    assert urls
    assert all(url.startswith((demo_server.url, "blob:", "data:")) for url in urls)
    page.close()


def test_the_view_of_the_api_works_offline(browser: Any, demo_server: RunningServer) -> None:
    page = browser.new_page()
    urls: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(f"{demo_server.url}/docs")
    page.wait_for_selector("text=Segment the instances in one or more images")
    assert all(url.startswith((demo_server.url, "blob:", "data:")) for url in urls)
    assert errors == []
    page.close()


@pytest.mark.parametrize("step", [1, 2, 3])
def test_run_length_codes_decode_to_the_same_masks(page: Any, step: int) -> None:
    random = np.random.default_rng(step)
    for hw in [(1, 1), (7, 1), (1, 9), (13, 8), (120, 331)]:
        smooth = cv2.blur(random.random(hw).astype(np.float32), (5, 5))
        for mask in (smooth > 0.5, random.random(hw) > 0.5, np.zeros(hw), np.ones(hw)):
            mask = mask.astype(np.uint8)
            counts = ops.encode_rle(mask).decode("ascii")
            script = """async ([counts, size, step]) => {
                const { decodeMask } = await import("./rle.js");
                const { width, height, area, bits } = decodeMask(counts, size, step);
                return [width, height, area, Array.from(bits)];
            }"""
            width, height, area, bits = page.evaluate(script, [counts, list(hw), step])
            assert area == mask.sum()
            np.testing.assert_array_equal(np.reshape(bits, (height, width)), mask[::step, ::step])


@pytest.mark.parametrize("counts", ["~", "5", "0o", "99999"])
def test_codes_that_do_not_fit_are_refused(page: Any, counts: str) -> None:
    script = """async (counts) => {
        const { decodeMask } = await import("./rle.js");
        try { decodeMask(counts, [3, 4]); } catch (error) { return error.message; }
    }"""
    assert page.evaluate(script, counts)


def test_crops_are_rounded_as_python_rounds(page: Any) -> None:
    values = [0.5, 1.5, 2.5, 2.4999, 0.49, 7.0, 1079.5, 1078.5]
    script = """async (values) => {
        const { roundHalfEven } = await import("./rle.js");
        return values.map(roundHalfEven);
    }"""
    assert page.evaluate(script, values) == [round(value) for value in values]


def test_classes_have_the_colours_of_drawn_pictures(page: Any) -> None:
    script = """async () => {
        const { classColor } = await import("./draw.js");
        return Array.from({ length: 80 }, (_, id) => classColor(id));
    }"""
    expected = [list(class_color_bgr(class_id)[::-1]) for class_id in range(80)]
    # Python rounds halves to the even number.
    np.testing.assert_allclose(page.evaluate(script), expected, atol=1)
