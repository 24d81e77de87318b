// SPDX-License-Identifier: Apache-2.0
import { CLIENTS } from "./clients.js";
import { instanceAt, paint, prepare } from "./draw.js";
import { segment, watchServer } from "./server.js";

// The page requests all instances above this score once; the slider then filters them locally.
const LOWEST_SCORE = 0.1;

const $ = (id) => document.getElementById(id);
const state = { file: null, image: null, instances: [], active: null, layers: {}, request: null };

const shown = () => state.instances.filter(({ score }) => score >= Number($("threshold").value));

async function take(file) {
  if (!file) return;
  state.request?.abort();
  clearResults();
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    const kind = file.type || "unknown type";
    complain(`This browser cannot show "${file.name}" (${kind}). Try a JPEG, PNG or WebP.`);
    return;
  }
  state.file = file;
  state.image = image;
  $("stage").classList.add("filled");
  document.querySelector("main").classList.remove("empty");
  $("view").hidden = false;
  $("view").setAttribute("aria-label", `${file.name}, ${image.width} by ${image.height} pixels`);
  fit();
  await ask();
}

async function ask() {
  const request = new AbortController();
  state.request = request;
  $("busy").hidden = false;
  complain("");
  say("Waiting for the server");
  const options = { threshold: LOWEST_SCORE, token: $("token").value, signal: request.signal };
  try {
    const found = await segment(state.file, options);
    $("access").hidden = true;
    if (request === state.request) show(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("access").hidden = error.status !== 401;
    complain(error.message);
  } finally {
    if (request === state.request) $("busy").hidden = true;
  }
}

function clearResults() {
  Object.assign(state, { instances: [], active: null });
  for (const id of ["controls", "found", "times", "answer"]) $(id).hidden = true;
}

function show({ content, total, stages }) {
  state.instances = content.result.instances
    .map((instance) => prepare(instance, state.image))
    .sort((a, b) => b.score - a.score);
  for (const id of ["controls", "found", "times", "answer"]) $(id).hidden = false;
  $("json").textContent = JSON.stringify(content, null, 2);
  showTimes(stages, total);
  showInstances();
}

/** Sets the canvas size to the number of device pixels that it covers. */
function fit() {
  if (!state.image) return;
  const { width, height } = state.image;
  const room = $("stage").clientWidth;
  const shownWidth = Math.max(1, Math.min(room, window.innerHeight * 0.78 * (width / height)));
  const canvas = $("view");
  canvas.style.width = `${shownWidth}px`;
  canvas.width = Math.round(shownWidth * (window.devicePixelRatio || 1));
  canvas.height = Math.max(1, Math.round((canvas.width * height) / width));
  repaint();
}

function repaint() {
  if (state.image) paint($("view"), state.image, shown(), state.active, state.layers);
}

function showInstances() {
  $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
  const instances = shown();
  if (!instances.includes(state.active)) state.active = null;
  $("count").textContent = `${instances.length} ${instances.length === 1 ? "instance" : "instances"}`;
  $("instances").replaceChildren(...instances.map(itemOf));
  const first = $("instances").firstElementChild;
  if (first) first.tabIndex = 0;
  repaint();
}

function itemOf(instance, index) {
  const [item, swatch, name, size, score] = ["li", "span", "span", "span", "span"]
    .map((tag) => document.createElement(tag));
  swatch.className = "swatch";
  swatch.style.background = `rgb(${instance.color})`;
  size.className = "size";
  size.textContent = `${Math.round(instance.box.width)} × ${Math.round(instance.box.height)} px`;
  name.append(instance.name, " ", size);
  score.className = "score";
  score.textContent = instance.score.toFixed(3);
  item.append(swatch, name, score);
  item.role = "option";
  item.tabIndex = -1;
  item.ariaSelected = String(instance === state.active);
  item.ariaLabel = `${instance.name}, score ${score.textContent}, ${size.textContent}`;
  item.dataset.index = index;
  return item;
}

function activate(instance, { scroll = true } = {}) {
  if (instance === state.active) return;
  state.active = instance;
  const position = shown().indexOf(instance);
  const list = $("instances");
  [...list.children].forEach((item, i) => { item.ariaSelected = String(i === position); });
  if (scroll && position >= 0) scrollTo(list, list.children[position]);
  repaint();
}

/** Scrolls only the list: scrollIntoView would also scroll the page away from the image. */
function scrollTo(list, item) {
  const top = item.offsetTop;
  const least = top + item.offsetHeight - list.clientHeight;
  list.scrollTop = Math.max(least, Math.min(top, list.scrollTop));
}

function showTimes(stages, total) {
  const known = stages.reduce((sum, [, ms]) => sum + ms, 0);
  const rows = [...stages, ["network and browser", Math.max(0, total - known)], ["total", total]];
  $("times").querySelector("tbody").replaceChildren(...rows.map(([name, ms]) => {
    const [row, head, bar, value] = ["tr", "th", "td", "td"].map((tag) => document.createElement(tag));
    head.scope = "row";
    head.textContent = name;
    bar.className = "bar";
    if (name !== "total") {
      bar.append(document.createElement("i"));
      bar.firstElementChild.style.width = `${(100 * ms) / total}%`;
    }
    value.textContent = `${ms.toFixed(1)} ms`;
    row.append(head, bar, value);
    return row;
  }));
}

function say(text) {
  $("said").textContent = text;
}

function complain(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

async function copy(button) {
  const label = button.textContent;
  const source = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // The clipboard needs https or localhost: otherwise select the text for the user's own Ctrl+C.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
  say(button.textContent);
  setTimeout(() => { button.textContent = label; }, 2000);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([$("json").textContent], { type: "application/json" }));
  link.download = `${state.file.name.replace(/\.[^.]+$/, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function showClient() {
  const url = new URL("instance-segmentation", document.baseURI).href;
  $("code").textContent = CLIENTS[$("language").value](url, $("token").value !== "");
}

function wireInputs() {
  $("file").addEventListener("change", ({ target }) => {
    take(target.files[0]);
    target.value = "";
  });
  $("sample").addEventListener("click", async () => {
    const response = await fetch("sample.jpg");
    take(new File([await response.blob()], "sample.jpg", { type: "image/jpeg" }));
  });
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files[0]));
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("stage").classList.toggle("over", name === "dragenter" || name === "dragover");
      if (name === "drop") take(event.dataTransfer.files[0]);
    });
  }
  $("access").addEventListener("submit", (event) => {
    event.preventDefault();
    showClient();
    ask();
  });
}

function wireView() {
  const canvas = $("view");
  const point = ({ clientX, clientY }) => {
    const area = canvas.getBoundingClientRect();
    const scale = state.image.width / area.width;
    activate(instanceAt(shown(), (clientX - area.left) * scale, (clientY - area.top) * scale));
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType === "mouse") activate(null);
  });
  new ResizeObserver(fit).observe($("stage"));
  $("threshold").addEventListener("input", showInstances);
  for (const box of document.querySelectorAll("fieldset input")) {
    state.layers[box.name] = box.checked;
    box.addEventListener("change", () => {
      state.layers[box.name] = box.checked;
      repaint();
    });
  }
}

function wireList() {
  const list = $("instances");
  const choose = (target, options) => {
    const item = target.closest("li");
    if (item) activate(shown()[Number(item.dataset.index)], options);
  };
  list.addEventListener("pointerover", ({ target }) => choose(target, { scroll: false }));
  list.addEventListener("pointerleave", () => activate(null));
  list.addEventListener("click", ({ target }) => target.closest("li")?.focus());
  list.addEventListener("focusin", ({ target }) => {
    for (const item of list.children) item.tabIndex = item === target ? 0 : -1;
    choose(target);
  });
  list.addEventListener("focusout", () => activate(null));
  list.addEventListener("keydown", (event) => {
    const here = event.target.closest("li");
    const to = {
      ArrowDown: here?.nextElementSibling, ArrowUp: here?.previousElementSibling,
      Home: list.firstElementChild, End: list.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to.focus();
  });
}

function wireDetails() {
  $("language").append(...Object.keys(CLIENTS).map((name) => new Option(name)));
  $("language").addEventListener("change", showClient);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  $("save").addEventListener("click", save);
}

document.querySelector("main").classList.add("empty");
$("threshold").min = LOWEST_SCORE;
wireInputs();
wireView();
wireList();
wireDetails();
showClient();
watchServer((mode, words) => {
  $("server").dataset.state = mode;
  // Write changes only: the element is a live region, which screen readers read aloud.
  const text = $("server").lastElementChild;
  if (text.textContent !== words) text.textContent = words;
});
