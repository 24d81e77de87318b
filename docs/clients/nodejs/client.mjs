// SPDX-License-Identifier: Apache-2.0
// Sends an image to hpip's server, prints the instances, and saves the annotated image.
import { readFile, writeFile } from "node:fs/promises";

async function main([server, imagePath, outputPath]) {
  if (!outputPath) throw new Error("usage: node client.mjs SERVER IMAGE OUTPUT.jpg");
  const image = (await readFile(imagePath)).toString("base64");
  const response = await fetch(`${server}/instance-segmentation`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ image, visualize: true }),
    signal: AbortSignal.timeout(120_000),
  });
  const { errorCode, errorMsg, result } = await response.json();
  if (errorCode !== 0) throw new Error(`${errorCode}: ${errorMsg}`);

  for (const { categoryName, score, bbox } of result.instances) {
    const box = bbox.map((side) => side.toFixed(1)).join(", ");
    console.log(`${categoryName} ${score.toFixed(3)} [${box}]`);
  }
  await writeFile(outputPath, Buffer.from(result.image, "base64"));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
