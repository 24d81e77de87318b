# SPDX-License-Identifier: Apache-2.0
"""Takes the screenshots of the server's web page for the documentation.

    python tools/page_screenshot.py docs/images

Requires playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.serving.server import hpip_server

VIEWS = {
    "page": {"viewport": {"width": 1280, "height": 860}},
    "page-phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
}


def take(browser: Browser, url: str, folder: Path) -> None:
    """Save a screenshot of the sample image in every view, with its second instance highlighted."""
    for name, options in VIEWS.items():
        page = browser.new_page(**options)
        page.goto(url)
        page.wait_for_selector("#server[data-state=ready]")
        page.click("#sample")
        page.wait_for_selector("#found:not([hidden])")
        # Show the second response, whose latency does not include the warm-up.
        page.click("#sample")
        page.wait_for_selector("#busy", state="hidden")
        if name == "page":
            page.locator("#instances li").nth(1).hover()
        page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=88)
        page.close()


def main() -> None:
    """Start a server and a browser, and save the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as logs, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with hpip_server(["--model", "demo", "--device", "cpu"], Path(logs) / "log") as server:
            take(browser, server.url, folder)
        browser.close()


if __name__ == "__main__":
    main()
