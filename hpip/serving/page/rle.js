// SPDX-License-Identifier: Apache-2.0
// Run-length codes as COCO writes them: five bits a character from "0" on, bit 5 says "more follow",
// and from the third run on each is the difference to the run two before it.

/** Lengths of the runs, alternately of zeros and ones, zeros first. */
export function runLengths(counts) {
  const runs = [];
  for (let i = 0; i < counts.length;) {
    let value = 0, shift = 0, bits;
    do {
      bits = counts.charCodeAt(i++) - 48;
      if (!(bits >= 0 && bits < 64)) throw new Error(`not a run-length code: character ${i - 1}`);
      value += (bits & 31) * 2 ** shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16) value -= 2 ** shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/**
 * Every step-th pixel of every step-th row of a mask: {width, height, area, bits}.
 *
 * `bits` is row by row, one byte a pixel; `area` counts the pixels of the mask itself. Runs go down
 * the columns, so a column that is left out costs nothing.
 */
export function decodeMask(counts, [height, width], step = 1) {
  const small = { width: Math.ceil(width / step), height: Math.ceil(height / step), area: 0 };
  small.bits = new Uint8Array(small.width * small.height);
  let start = 0;
  runLengths(counts).forEach((length, i) => {
    const end = start + length;
    if (length < 0 || end > height * width) throw new Error("the runs do not fill the mask");
    if (i % 2) {
      small.area += length;
      fill(small, start, end, height, step);
    }
    start = end;
  });
  if (start !== height * width) throw new Error("the runs do not fill the mask");
  return small;
}

function fill(small, start, end, height, step) {
  for (let x = Math.floor(start / height); x * height < end; x++) {
    if (x % step) continue;
    const first = Math.ceil(Math.max(start - x * height, 0) / step);
    const last = Math.ceil(Math.min(end - x * height, height) / step);
    for (let y = first; y < last; y++) small.bits[y * small.width + x / step] = 1;
  }
}

/** The nearest whole number, halves to the even one, as the server rounds the corners of a crop. */
export function roundHalfEven(value) {
  const floor = Math.floor(value), part = value - floor;
  if (part === 0.5) return floor % 2 ? floor + 1 : floor;
  return Math.round(value);
}
