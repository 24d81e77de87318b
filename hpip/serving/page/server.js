// SPDX-License-Identifier: Apache-2.0
// Addresses are relative to the page, so that it also works below a path of a proxy.

/**
 * Requests the instances of an image: {content, total, stages}, times in milliseconds.
 *
 * Throws an Error whose message is for the user; `status` is the HTTP status, if there is one. An
 * aborted request throws the browser's AbortError.
 */
export async function segment(file, { threshold, token, signal }) {
  const image = await base64Of(file);
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ image, threshold, visualize: false });
  const start = performance.now();
  const options = { method: "POST", headers, body, signal };
  const response = await fetch("instance-segmentation", options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is it still running?");
  });
  const text = await response.text();
  const total = performance.now() - start;
  const content = parse(text);
  if (content?.errorCode !== 0) throw failure(response, content);
  return { content, total, stages: stagesOf(response.headers.get("Server-Timing")) };
}

async function base64Of(file) {
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(new Error(`"${file.name}" could not be read.`));
    reader.readAsDataURL(file);
  });
  return reader.result.slice(reader.result.indexOf(",") + 1);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function failure(response, content) {
  const { status, statusText } = response;
  const wait = response.headers.get("Retry-After");
  const reason = content ? sentence(content.errorMsg) : `${statusText || "the response"} is not JSON`;
  const error = new Error(`${status}: ${reason}${wait ? ` Try again in ${wait} s.` : ""}`);
  return Object.assign(error, { status });
}

/** An error message for the user: a JSON list of invalid fields becomes one line per field. */
function sentence(message) {
  const fields = parse(message);
  if (!Array.isArray(fields)) return message;
  return fields.map(({ loc, msg }) => `${loc.join(".")}: ${msg}`).join("\n");
}

/** "decode;dur=3.1, predict;dur=90" -> [["decode", 3.1], ["predict", 90]] */
function stagesOf(header) {
  return (header ?? "").split(",").flatMap((entry) => {
    const [name, ...parameters] = entry.trim().split(";").map((part) => part.trim());
    const duration = parameters.find((part) => part.startsWith("dur="));
    return duration ? [[name, Number(duration.slice(4))]] : [];
  });
}

/** Calls `tell(state, words)` periodically: often until the server is ready, then rarely. */
export async function watchServer(tell) {
  let state = "gone", words = "The server cannot be reached";
  try {
    const response = await fetch("health/ready");
    const content = await response.json();
    state = response.ok ? "ready" : "waiting";
    words = response.ok ? "Ready" : content.errorMsg;
  } catch {
    // The initial values apply.
  }
  tell(state, words);
  setTimeout(watchServer, state === "ready" ? 15000 : 1500, tell);
}
