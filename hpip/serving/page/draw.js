// SPDX-License-Identifier: Apache-2.0
import { decodeMask, roundHalfEven } from "./rle.js";

const GOLDEN_ANGLE_TURNS = 0.6180339887498949;
const SATURATION_VALUE = [[0.85, 0.9], [0.9, 0.65], [0.65, 0.95], [0.85, 1]];
// Maximum side of a decoded mask: the limit is a phone's memory, not the screen.
const MASK_SIDE_PX = 2048;

/** The colour of a class, [red, green, blue], as in hpip's annotated images. */
export function classColor(id) {
  const [saturation, value] = SATURATION_VALUE[id % SATURATION_VALUE.length];
  const sector = ((id * GOLDEN_ANGLE_TURNS) % 1) * 6;
  const channel = (n) => {
    const k = (n + sector) % 6;
    return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Converts an instance of the response for painting and pointing: decodes its mask. */
export function prepare(instance, image) {
  const [x0, y0, x1, y1] = instance.bbox;
  const [height, width] = instance.mask.size;
  const whole = width === image.width && height === image.height;
  const step = Math.max(1, Math.ceil(Math.max(height, width) / MASK_SIDE_PX));
  return {
    name: instance.categoryName ?? `class ${instance.categoryId}`,
    score: instance.score,
    color: classColor(instance.categoryId),
    box: { x: x0, y: y0, width: x1 - x0, height: y1 - y0 },
    crop: { x: whole ? 0 : roundHalfEven(x0), y: whole ? 0 : roundHalfEven(y0), width, height },
    step,
    mask: decodeMask(instance.mask.rleResult, instance.mask.size, step),
    stamp: null,
  };
}

/** Whether a point of the image lies in the mask. */
function covers({ crop, mask, step }, x, y) {
  const column = Math.floor((x - crop.x) / step), row = Math.floor((y - crop.y) / step);
  const inside = column >= 0 && row >= 0 && column < mask.width && row < mask.height;
  return inside && mask.bits[row * mask.width + column] === 1;
}

/** The smallest instance whose mask has the point, else the smallest whose box has it, else null. */
export function instanceAt(instances, x, y) {
  const inBox = ({ box }) =>
    x >= box.x && y >= box.y && x < box.x + box.width && y < box.y + box.height;
  let hits = instances.filter((instance) => covers(instance, x, y));
  if (!hits.length) hits = instances.filter(inBox);
  const smaller = (a, b) => (a.box.width * a.box.height <= b.box.width * b.box.height ? a : b);
  return hits.length ? hits.reduce(smaller) : null;
}

/** Renders the mask: half transparent in its colour, with an opaque rim. */
function stampOf(instance) {
  if (instance.stamp || !instance.mask.width || !instance.mask.height) return instance.stamp;
  const { width, height, bits } = instance.mask;
  const pixels = new ImageData(width, height);
  const [red, green, blue] = instance.color;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!bits[i]) continue;
      const inner = x > 0 && x < width - 1 && y > 0 && y < height - 1
        && bits[i - 1] && bits[i + 1] && bits[i - width] && bits[i + width];
      pixels.data.set([red, green, blue, inner ? 120 : 255], i * 4);
    }
  }
  instance.stamp = new OffscreenCanvas(width, height);
  instance.stamp.getContext("2d").putImageData(pixels, 0, 0);
  return instance.stamp;
}

/**
 * Paints the image and its instances over the whole canvas.
 *
 * `layers` selects what to show: {masks, boxes, labels}. The active instance is emphasized, and has a
 * label even if labels are off. A label that would cover one with a higher score is left out.
 */
export function paint(canvas, image, instances, active, layers) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / image.width;
  const largeFirst = [...instances].sort((a, b) => b.mask.area - a.mask.area);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  for (const instance of largeFirst) {
    context.globalAlpha = !active || instance === active ? 1 : 0.65;
    if (layers.masks || instance === active) paintMask(context, instance, scale);
    if (layers.boxes || instance === active) {
      paintBox(context, instance, scale, instance === active);
    }
  }
  context.globalAlpha = 1;
  const labelled = layers.labels ? instances.filter((instance) => instance !== active) : [];
  paintLabels(canvas, active ? [active, ...labelled] : labelled, scale);
}

function paintMask(context, instance, scale) {
  const stamp = stampOf(instance);
  if (!stamp) return;
  const { crop, step } = instance;
  const side = step * scale;
  context.drawImage(stamp, crop.x * scale, crop.y * scale, stamp.width * side, stamp.height * side);
}

function paintBox(context, { box, color }, scale, thick) {
  const unit = window.devicePixelRatio || 1;
  context.lineWidth = (thick ? 4 : 2) * unit;
  context.strokeStyle = `rgb(${color})`;
  context.strokeRect(box.x * scale, box.y * scale, box.width * scale, box.height * scale);
}

function paintLabels(canvas, instances, scale) {
  const context = canvas.getContext("2d");
  const unit = window.devicePixelRatio || 1;
  const height = 20 * unit, pad = 5 * unit, placed = [];
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const { name, score, box, color } of instances) {
    const text = `${name} ${score.toFixed(2)}`;
    const width = context.measureText(text).width + 2 * pad;
    const x = Math.max(0, Math.min(box.x * scale - unit, canvas.width - width));
    const above = box.y * scale - height;
    const y = Math.min(above >= 0 ? above : box.y * scale, canvas.height - height);
    const covered = (other) => x < other.x + other.width && other.x < x + width
      && y < other.y + height && other.y < y + height;
    if (placed.some(covered)) continue;
    placed.push({ x, y, width });
    const [red, green, blue] = color;
    context.fillStyle = `rgb(${color})`;
    context.fillRect(x, y, width, height);
    context.fillStyle = red * 0.299 + green * 0.587 + blue * 0.114 > 140 ? "#000" : "#fff";
    context.fillText(text, x + pad, y + height / 2);
  }
}
