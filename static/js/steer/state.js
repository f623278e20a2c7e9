// What the page asks for, read from its fields, and the address that restores it.
import { byId, page } from "./dom.js";

const FIELDS = {
  scope: "scope", n: "n_tokens", temperature: "temperature",
  top_p: "top_p", top_k: "top_k", seed: "seed",
};
const LONGEST = 30_000; // characters that servers and browsers take for an address
const FOLLOW_MS = 250; // browsers refuse to rewrite the address more often for long

/** The sliders on the page, in their order. */
export const sliders = () => [...byId("sliders").children];

/** A slider as the interface takes it. */
export function edit(slider) {
  const name = slider.dataset.feature;
  const colon = name.lastIndexOf(":");
  return {
    dictionary: name.slice(0, colon),
    feature: name.slice(colon + 1),
    mode: slider.querySelector("select").value,
    strength: slider.querySelector("input[name=s]").value,
    on: slider.querySelector("input[name=on]").checked,
  };
}

/** What the address gives for features and names none: kept until it is left out on purpose. */
export let malformed = JSON.parse(page.dataset.malformed ?? "[]");

export function leaveOut() {
  malformed = [];
}

/** How a prompt is continued, as the interface takes it. */
export function continuation() {
  const asked = { prompt: byId("text").value };
  for (const [id, name] of Object.entries(FIELDS)) asked[name] = byId(id).value;
  return asked;
}

/** All that the page asks for. */
export const question = () => ({ ...continuation(), edits: sliders().map(edit) });

/** The address of a question, without the server's part. */
export function address(asked = question()) {
  const pairs = asked.prompt ? [["text", asked.prompt]] : [];
  for (const one of asked.edits) {
    const parts = [one.dictionary, one.feature, one.mode, one.strength];
    pairs.push(["f", [...parts, ...(one.on ? [] : ["off"])].join(":")]);
  }
  for (const text of malformed) pairs.push(["f", text]);
  for (const [id, name] of Object.entries(FIELDS)) {
    if (asked[name] !== byId(id).dataset.default) pairs.push([id, asked[name]]);
  }
  const encoded = pairs.map(([name, value]) =>
    `${name}=${encodeURIComponent(value.toWellFormed()).replaceAll("%3A", ":")}`);
  return page.dataset.page + (encoded.length ? `?${encoded.join("&")}` : "");
}

/** Whether the address on top carries everything. */
export const restorable = () => address().length <= LONGEST;

const current = () => location.pathname + location.search;

let gesture = false;
let timer = 0;
let here = current();

function follow() {
  clearTimeout(timer);
  timer = 0;
  if (!restorable() || current() === address()) return;
  history.replaceState(null, "", address());
  here = current();
}

/** The page has changed: its address follows, in a new entry of the history for each gesture. */
export function changed(ended) {
  if (!gesture && current() !== address()) {
    history.pushState(null, "", location.href);
    gesture = true;
  }
  if (ended) {
    follow();
    gesture = false;
  } else if (!timer) {
    timer = setTimeout(follow, FOLLOW_MS);
  }
}

/** The texts are complete: the address says what they are of, in the form that pages write. */
export const agree = follow;

// Back and forward lead to another state of this page: it is read anew from its address.
addEventListener("popstate", () => {
  if (current() !== here) location.reload();
});
