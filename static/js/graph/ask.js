// The form of a graph: how far it is, said while it is computed, and then its page.

import { stream } from "../live/stream.js";

const form = document.getElementById("graph-ask");
const stop = document.getElementById("stop");
const problem = document.getElementById("problem");
const status = document.getElementById("graph-says");
const progress = document.getElementById("graph-progress");
const bar = progress.querySelector("progress");

// What fields are called in the JSON interface, and here.
const FIELDS = { prompt: "text", targets: "target", max_nodes: "nodes", memory: "memory" };

let running = null;

const say = (text) => { status.textContent = text; };

/** What the form asks, as the JSON interface takes it; what is no number is refused there. */
function question() {
  const fields = new FormData(form);
  const chosen = fields.getAll("d");
  const { neurons } = form.dataset;
  const number = (name) => Number(String(fields.get(name)).replaceAll(",", "").trim() || NaN);
  return {
    prompt: String(fields.get("text")).replaceAll("\r\n", "\n"),
    targets: fields.getAll("target").filter(Boolean),
    features: fields.getAll("feature").map((text) => {
      const [, dictionary, feature, position] = /^(.*):(\d+)@(\d+)$/.exec(text) ?? [];
      return { dictionary, feature: Number(feature), position: Number(position) };
    }),
    dictionaries: chosen.filter((name) => name !== neurons),
    neurons: chosen.includes(neurons),
    max_nodes: number("nodes"),
    memory: number("memory"),
  };
}

function busy(control) {
  running = control;
  stop.hidden = progress.hidden = !control;
  form.querySelector("button.strong").disabled = Boolean(control);
}

async function trace() {
  const control = new AbortController();
  busy(control);
  problem.textContent = "";
  bar.removeAttribute("value");
  say("Asking the worker …");
  try {
    for await (const event of stream(form.dataset.to, question(), control.signal)) {
      if (event.event === "began") say(event.sentence);
      if (event.event === "step" && event.total) bar.value = event.done / event.total;
      if (event.event === "ready") {
        location.assign(event.address);
        return;
      }
    }
    say(control.signal.aborted ? "Stopped; nothing was kept." : "");
  } catch (error) {
    say("");
    busy(null);
    problem.textContent = error.message;
    document.getElementById(FIELDS[error.field.split(".")[0]])?.focus();
  }
  busy(null);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) trace();
});
form.elements.text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
stop.addEventListener("click", () => running?.abort());
addEventListener("pageshow", (event) => event.persisted && busy(null));
