// SPDX-License-Identifier: Apache-2.0
// Client code that sends an image to this server, as text to copy.

const curl = (url, token) => `printf '{"image": "%s", "visualize": false}' "$(base64 < photo.jpg | tr -d '\\n')" |
  curl --fail-with-body -H 'Content-Type: application/json' \\${token ? `
    -H "Authorization: Bearer $TOKEN" \\` : ""}
    --data-binary @- ${url}`;

const python = (url, token) => `import base64, json, urllib.request
from pathlib import Path

image = base64.b64encode(Path("photo.jpg").read_bytes()).decode()
request = urllib.request.Request(
    "${url}",
    data=json.dumps({"image": image, "visualize": False}).encode(),
    headers={"Content-Type": "application/json"${token ? `, "Authorization": "Bearer ..."` : ""}},
)
with urllib.request.urlopen(request, timeout=60) as response:
    content = json.load(response)
for instance in content["result"]["instances"]:
    print(instance["categoryName"], round(instance["score"], 3), instance["bbox"])`;

const node = (url, token) => `import { readFile } from "node:fs/promises";

const image = (await readFile("photo.jpg")).toString("base64");
const response = await fetch("${url}", {
  method: "POST",
  headers: { "Content-Type": "application/json"${token ? `, Authorization: "Bearer ..."` : ""} },
  body: JSON.stringify({ image, visualize: false }),
});
const { errorCode, errorMsg, result } = await response.json();
if (errorCode) throw new Error(errorMsg);
for (const { categoryName, score, bbox } of result.instances) {
  console.log(categoryName, score.toFixed(3), bbox);
}`;

/** Language -> function that returns client code for an address, with or without a token. */
export const CLIENTS = { Python: python, "Node.js": node, curl };
