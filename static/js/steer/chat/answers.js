// Both answers: asked for, streamed, cut where the plain template ends them.
import { byId, page } from "../dom.js";
import { Pane } from "../panes.js";
import { stream } from "../../live/stream.js";

export const panes = {
  unsteered: new Pane(byId("unsteered")),
  steered: new Pane(byId("steered")),
};
const both = Object.values(panes);
const STOPS = JSON.parse(page.dataset.stops);
const LATE_MS = 300; // after which old answers fade
const LONGEST_WAIT = 16; // seconds between two attempts

let running = null;
let late = 0;
let timer = 0;
let attempts = 0;

const texts = (events) => events.filter((event) => !event.end).map((event) => event.text);

/** What a pane says. */
export function answer(pane) {
  let text = texts(pane.events.slice(0, pane.fresh)).join("");
  for (const stop of STOPS) text = text.split(stop)[0];
  return text.trim();
}

/** Whether both answers are there and whole. */
export const complete = () => !running && both.every((pane) => pane.fresh > 0);

/** Whether a stop stands in the pane's text by now; its tokens are taken off again. */
function stopped(pane) {
  const parts = texts(pane.events.slice(0, pane.fresh));
  const ends = STOPS.map((stop) => parts.join("").indexOf(stop)).filter((at) => at >= 0);
  if (!ends.length) return false;
  let length = 0;
  let whole = 0;
  while (whole < parts.length && length + parts[whole].length <= Math.min(...ends)) length += parts[whole++].length;
  pane.fresh = whole;
  return true;
}

function fade(ms) {
  clearTimeout(late);
  page.classList.toggle("late", ms === 0);
  if (!ms) return;
  late = setTimeout(() => {
    page.classList.add("late");
    byId("status").textContent = "waiting for the worker …";
  }, ms);
}

function take(event, mine) {
  if (event.event === "began") byId("status").textContent = `${event.tokens.length} tokens of conversation`;
  if (event.event === "token" && !mine.ended.has(event.pane)) {
    if (!mine.shown) fade(null);
    mine.shown = true;
    panes[event.pane].put(event);
    if (STOPS.length && stopped(panes[event.pane])) mine.ended.add(event.pane);
  }
  if (event.event === "traits") {
    panes[event.pane].end();
    panes[event.pane].setTraits(event);
  }
}

function finish(mine) {
  for (const pane of both) pane.end();
  fade(null);
  const seconds = (performance.now() - mine.began) / 1000;
  const n = panes.unsteered.fresh + panes.steered.fresh;
  const empty = Object.entries(panes).filter(([, pane]) => !answer(pane)).map(([name]) => name);
  const said = empty.length ? ` The ${empty.join(" and the ")} answer is empty: the model ended it at once.` : "";
  byId("status").textContent =
    `${panes.unsteered.fresh} and ${panes.steered.fresh} tokens, ${Math.round(n / seconds)} a second together.${said}`;
  page.dispatchEvent(new CustomEvent("chat:answered"));
}

/** Takes back both answers: they are of another conversation. */
export function clear() {
  running?.abort.abort();
  running = null;
  clearTimeout(timer);
  fade(null);
  for (const pane of both) {
    pane.fresh = 0;
    pane.end();
    pane.mend();
    pane.about.textContent = "";
  }
  byId("status").textContent = "";
}

/** Asks for both answers; those under way are given up. `refuse` is told of a value that is refused. */
export async function run(question, refuse) {
  clearTimeout(timer);
  running?.abort.abort();
  const mine = { abort: new AbortController(), began: performance.now(), shown: false, ended: new Set() };
  running = mine;
  for (const pane of both) {
    pane.mend();
    pane.begin();
  }
  fade(LATE_MS);
  try {
    for await (const event of stream(`${page.dataset.api}/chat`, question, mine.abort.signal)) {
      if (running !== mine) return;
      take(event, mine);
      if (mine.ended.size === both.length) break;
    }
    if (running !== mine) return;
    running = null;
    attempts = 0;
    finish(mine);
  } catch (error) {
    if (running !== mine) return;
    running = null;
    fade(null);
    const placed = refuse(error);
    const wait = error.again === null ? 0 : Math.min(LONGEST_WAIT, Math.max(error.again, 2 ** attempts++));
    const again = wait ? ` Trying again in ${wait} s.` : "";
    for (const pane of both) pane.fail(placed ? "" : error.message + again);
    byId("status").textContent = "";
    if (wait) timer = setTimeout(() => run(question, refuse), wait * 1000);
  } finally {
    mine.abort.abort(); // whatever its end was, nothing of it stays open
  }
}
