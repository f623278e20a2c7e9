// The steering page: whatever changes on it, the texts follow, and the last change wins.
import * as dose from "./dose.js";
import { byId, page, say } from "./dom.js";
import * as effects from "./effects.js";
import { Pane } from "./panes.js";
import * as presets from "./presets.js";
import * as sliders from "./sliders.js";
import * as share from "./share.js";
import { address, agree, changed, leaveOut, malformed, question, sliders as all } from "./state.js";
import { stream } from "../live/stream.js";
import * as token from "./token.js";

const SHOWN_MS = 50; // a text that was begun is seen this long before the next replaces it
const PATIENCE_MS = 120; // but a text that does not come is not waited for
const LATE_MS = 300; // after which the old text fades
const LONGEST_WAIT = 16; // seconds between two attempts

// HTML itself cannot hold every character that a prompt can.
if (byId("text").dataset.text) byId("text").value = JSON.parse(byId("text").dataset.text);

const panes = {
  unsteered: new Pane(byId("unsteered")),
  steered: new Pane(byId("steered")),
};
const both = Object.values(panes);
const IDS = { prompt: "text", n_tokens: "n", edits: "f" };

let running = null;
let timer = 0;
let late = 0;
let attempts = 0;

/** The place for a sentence about a value. */
function placeOf(field) {
  const [name, at] = field.split(".");
  if (name === "edits" && at !== undefined) return all()[Number(at)]?.querySelector(".problem");
  return byId(`problem-${IDS[name] ?? name}`);
}

function clear() {
  for (const place of page.querySelectorAll("#settings .problem")) say(place);
  for (const pane of both) pane.mend();
}

function fail(error) {
  fade(0);
  const place = error.field && placeOf(error.field);
  if (place) say(place, error.message.replace("n_tokens", "tokens"));
  const wait = error.again === null
    ? 0
    : Math.min(LONGEST_WAIT, Math.max(error.again, 2 ** attempts));
  attempts += 1;
  const again = wait ? ` Trying again in ${wait} s.` : "";
  for (const pane of both) pane.fail(place ? "" : error.message + again);
  byId("status").textContent = "";
  if (wait) timer = setTimeout(run, wait * 1000);
}

function finish(asked) {
  for (const pane of both) pane.end();
  page.dataset.complete = address(asked);
  agree();
  byId("status").textContent = `${panes.unsteered.fresh} and ${panes.steered.fresh} tokens`;
}

function take(event, mine) {
  switch (event.event) {
    case "began":
      for (const pane of both) pane.show(mine.asked.prompt);
      break;
    case "token":
      if (!mine.shown) {
        mine.shown = true;
        page.dataset.shown = address(mine.asked); // which text this is, for whoever watches
        attempts = 0;
        clear();
      }
      panes[event.pane].put(event);
      break;
    case "traits":
      panes[event.pane].end();
      panes[event.pane].setTraits(event);
      break;
    case "side_effects":
      effects.show(event, mine.asked);
      break;
  }
}

/** Old text fades after a while, or at once, or (null) not at all. */
function fade(ms) {
  clearTimeout(late);
  page.classList.toggle("late", ms === 0);
  if (ms) late = setTimeout(linger, ms);
}

/** The new text lets itself be waited for: a busy worker, or a model that is being loaded. */
function linger() {
  fade(0);
  byId("status").textContent = "waiting for the worker …";
}

/** What the server refused of the address stays refused, in its words, until it is changed. */
function refuse() {
  running = null;
  fade(null);
  for (const pane of both) pane.fail("");
  byId("status").textContent = "Nothing was generated: the address holds what cannot be used.";
}

/** Asks for the texts of the page as it is now; a text under way is given up. */
async function run() {
  clearTimeout(timer);
  timer = 0;
  running?.abort.abort();
  if (malformed.length) return refuse();
  const mine = { abort: new AbortController(), asked: question(), began: performance.now(), shown: false };
  running = mine;
  for (const pane of both) pane.begin();
  effects.stale();
  fade(LATE_MS);
  try {
    for await (const event of stream(`${page.dataset.api}/steer`, mine.asked, mine.abort.signal)) {
      if (running !== mine) return;
      take(event, mine);
    }
    if (running !== mine) return;
    finish(mine.asked);
    fade(null);
    token.refresh();
  } catch (error) {
    if (running === mine) fail(error);
  }
  mine.abort.abort(); // whatever its end was, nothing of it stays open
  if (running === mine) running = null;
}

/** Asks soon: at once where nothing is under way or the text under way was seen for a moment. */
function runSoon() {
  if (!running) return run();
  const wait = running.began + (running.shown ? SHOWN_MS : PATIENCE_MS) - performance.now();
  if (wait <= 0) return run();
  clearTimeout(timer);
  timer = setTimeout(runSoon, Math.min(wait, SHOWN_MS / 2));
}

function follow(ended) {
  attempts = 0;
  changed(ended);
  dose.follow();
  share.follow();
  runSoon();
}

sliders.start();
token.start((bdi) => both.find((pane) => pane.written.contains(bdi)));
dose.start();
presets.start();

page.addEventListener("steer:change", (event) => follow(event.detail.ended));
byId("settings").addEventListener("input", (event) => {
  if (event.target.closest("#settings")) {
    if (!event.target.closest("#sliders")) for (const pane of both) pane.settle();
    follow(false);
  }
});
byId("settings").addEventListener("change", () => changed(true));
byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter?.name !== "drop") run();
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
byId("leave-out")?.addEventListener("click", (event) => {
  event.preventDefault();
  leaveOut();
  byId("leave-out").remove();
  say(byId("problem-f"));
  byId("q").focus();
  follow(true);
});
share.start();
if ("refused" in page.dataset) refuse();
else run();
