// SPDX-License-Identifier: Apache-2.0
// Addresses are relative to the page, so that it also works below a path of a proxy.

/**
 * Asks for the instances of a picture: {answer, total, stages}, times in milliseconds.
 *
 * Throws an Error whose message is for the user; `status` is the HTTP status, where there is one. An
 * aborted request throws the browser's own AbortError.
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
  const answer = parse(text);
  if (answer?.errorCode !== 0) throw failure(response, answer);
  return { answer, total, stages: stagesOf(response.headers.get("Server-Timing")) };
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

function failure(response, answer) {
  const { status, statusText } = response;
  const wait = response.headers.get("Retry-After");
  const reason = answer ? sentence(answer.errorMsg) : `${statusText || "the answer"} is not JSON`;
  const error = new Error(`${status}: ${reason}${wait ? ` Try again in ${wait} s.` : ""}`);
  return Object.assign(error, { status });
}

/** An error in words: the list of wrong fields, which comes as JSON, becomes one line a field. */
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

/** Calls `tell(state, words)` now and again: soon while the server is not ready, rarely when it is. */
export async function watchServer(tell) {
  let state = "gone", words = "The server cannot be reached";
  try {
    const response = await fetch("health/ready");
    const answer = await response.json();
    state = response.ok ? "ready" : "waiting";
    words = response.ok ? "Ready" : answer.errorMsg;
  } catch {
    // The words above say it.
  }
  tell(state, words);
  setTimeout(watchServer, state === "ready" ? 15000 : 1500, tell);
}
