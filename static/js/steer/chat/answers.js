// Both answers: asked for, streamed, cut where the plain template ends them.
import { byId, page, percent } from "../dom.js";
import { Pane } from "../panes.js";
import { stream } from "../../live/stream.js";
import { alarm, quiet } from "./alarms.js";

/** A pane whose text is an answer: the worker says where it ends, and what was active on it. */
class AnswerPane extends Pane {
  begin() {
    super.begin();
    this.answer = null;
  }

  /** The answer is complete. */
  take(event) {
    this.answer = event;
    this.names = new Map(event.names.map((name) => [name.index, name]));
    this.traits = { ...event, unsteered: [], steered: [] };
    // What a stop text began is not part of the answer.
    let length = 0;
    const whole = event.why === "stop"
      ? this.events.findIndex(({ text }) => (length += text.length) > event.text.length)
      : -1;
    if (whole >= 0) this.fresh = whole;
    this.end();
    this.about.textContent = { length: "cut off at its length", stopped: "stopped", refused: "stopped by a monitor" }[event.why] ?? "";
  }

  /** Nobody waits for the rest: what it says so far is the answer, of which nothing was watched. */
  cut() {
    if (this.answer) return;
    const text = this.events.slice(0, this.fresh).map((event) => event.text).join("");
    this.take({ why: "stopped", text, names: [], features: [], activations: [], followed: [], traits: [], levels: [] });
  }

  facts(token) {
    const facts = super.facts(token);
    const drawn = facts && { [this.section.id]: percent(facts.event.probability) };
    return facts && { ...facts, features: this.traits ? facts.features : [], probabilities: drawn, change: null };
  }
}

export const panes = {
  unsteered: new AnswerPane(byId("unsteered")),
  steered: new AnswerPane(byId("steered")),
};
const both = Object.values(panes);
const LATE_MS = 300; // after which old answers fade
const LONGEST_WAIT = 16; // seconds between two attempts

const stopping = byId("stop");

let running = null;
let known = ""; // what the unsteered answer that is shown is to
let late = 0;
let timer = 0;
let attempts = 0;

/** All that an unsteered answer depends on. */
const plain = ({ turns, n_tokens, temperature, top_p, top_k, seed, traits, dictionary, monitors, gate }) =>
  JSON.stringify([turns, n_tokens, temperature, top_p, top_k, seed, traits, dictionary, monitors, gate]);

/** Whether the unsteered answer to a question is there: only the steered one is asked for, then.
 * Without an edit both are asked for: in one batch they are equal to the last bit. */
const answered = (question) =>
  known === plain(question) && panes.unsteered.answer && question.edits.some((edit) => edit.on);

/** What a pane says. */
export const answer = (pane) => (pane.answer?.text ?? "").trim();

/** Whether both answers are there and whole. */
export const complete = () => !running && both.every((pane) => pane.answer);

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
  if (event.event === "began") mine.heard = `${event.tokens.length} tokens of conversation`;
  if (event.event === "token") {
    if (!mine.shown) {
      fade(null);
      byId("status").textContent = mine.heard;
    }
    mine.shown = true;
    panes[event.pane].put(event);
  }
  if (event.event === "alarm") alarm(event);
  if (event.event !== "answer") return;
  panes[event.pane].take(event);
  if (event.pane === "unsteered") known = mine.plain;
}

/** Nothing is under way any more; the keyboard stays on the page where it was on the button. */
function rest() {
  running = null;
  fade(null);
  if (document.activeElement === stopping) byId("said").focus();
  stopping.hidden = true;
}

function finish(mine) {
  for (const pane of both) pane.end();
  const empty = Object.entries(panes).filter(([, pane]) => !answer(pane)).map(([name]) => name);
  const said = empty.length ? ` The ${empty.join(" and the ")} answer is empty: the model ended it at once.` : "";
  const rate = `${Math.round(panes.steered.answer.tokens_per_second)} a second`;
  byId("status").textContent = mine.alone
    ? `${panes.steered.fresh} tokens, ${rate}; the unsteered answer is the one from before.${said}`
    : `${panes.unsteered.fresh} and ${panes.steered.fresh} tokens, ${rate} together.${said}`;
  page.dispatchEvent(new CustomEvent("chat:answered"));
}

/** Takes back both answers: they are of another conversation. */
export function clear() {
  running?.abort.abort();
  clearTimeout(timer);
  rest();
  known = "";
  quiet("");
  for (const pane of both) {
    pane.answer = null;
    pane.fresh = 0;
    pane.end();
    pane.mend();
    pane.about.textContent = "";
  }
  byId("status").textContent = "";
}

/** Ends both answers where they are. */
export function stop() {
  clearTimeout(timer);
  const mine = running;
  if (!mine) return;
  rest();
  mine.abort.abort();
  for (const pane of both) pane.cut();
  byId("status").textContent = `Stopped after ${panes.unsteered.fresh} and ${panes.steered.fresh} tokens.`;
  page.dispatchEvent(new CustomEvent("chat:answered"));
}

/** Asks for both answers; those under way are given up. `refuse` is told of a value that is refused. */
export async function run(question, refuse) {
  clearTimeout(timer);
  running?.abort.abort();
  const alone = Boolean(answered(question));
  const mine = { abort: new AbortController(), shown: false, heard: "", alone, plain: plain(question) };
  running = mine;
  stopping.hidden = false;
  const asked = alone ? [panes.steered] : both;
  for (const pane of asked) {
    pane.mend();
    pane.begin();
  }
  if (!alone) known = "";
  quiet(alone ? "unsteered" : "");
  fade(LATE_MS);
  try {
    for await (const event of stream(`${page.dataset.api}/chat`, { ...question, alone }, mine.abort.signal)) {
      if (running !== mine) return;
      take(event, mine);
    }
    if (running !== mine) return;
    rest();
    attempts = 0;
    finish(mine);
  } catch (error) {
    if (running !== mine) return;
    rest();
    const placed = refuse(error);
    const wait = error.again === null ? 0 : Math.min(LONGEST_WAIT, Math.max(error.again, 2 ** attempts++));
    const again = wait ? ` Trying again in ${wait} s.` : "";
    for (const pane of asked) pane.fail(placed ? "" : error.message + again);
    byId("status").textContent = "";
    if (wait) timer = setTimeout(() => run(question, refuse), wait * 1000);
  } finally {
    mine.abort.abort(); // whatever its end was, nothing of it stays open
  }
}

stopping.addEventListener("click", stop);
