# SPDX-License-Identifier: Apache-2.0
"""Sends an image to hpip's server, prints the instances, and saves the annotated image."""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main() -> None:
    """Segment the image on the command line."""
    if len(sys.argv) != 4:
        sys.exit("usage: client.py SERVER IMAGE OUTPUT.jpg")
    server, image_path, output_path = sys.argv[1:]
    image = base64.b64encode(Path(image_path).read_bytes()).decode()
    request = urllib.request.Request(
        f"{server}/instance-segmentation",
        data=json.dumps({"image": image, "visualize": True}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            result = json.load(response)["result"]
    except urllib.error.HTTPError as error:
        content = json.load(error)
        sys.exit(f"{content['errorCode']}: {content['errorMsg']}")
    except OSError as error:
        sys.exit(f"{server}: {error}")

    for instance in result["instances"]:
        x0, y0, x1, y1 = instance["bbox"]
        box = f"[{x0:.1f}, {y0:.1f}, {x1:.1f}, {y1:.1f}]"
        print(f"{instance['categoryName']} {instance['score']:.3f} {box}")
    Path(output_path).write_bytes(base64.b64decode(result["image"]))


if __name__ == "__main__":
    main()
