// The sliders: each a range with a number beside it, adding, removing and resetting them.
import { byId, figure, page, strength } from "./dom.js";
import { shareOf, stepOf, strengthAt } from "./scale.js";
import { sliders } from "./state.js";

const NEUTRAL = { add: 0, scale: 1, remove: 0 }; // the others may always change something

/** Tells the page that something changed; `ended`: the gesture is over. */
function tell(ended) {
  page.dispatchEvent(new CustomEvent("steer:change", { detail: { ended } }));
}

const swept = new Map(); // by feature, the range that its last sweep found coherent

const parts = (slider) => ({
  range: slider.querySelector("input[type=range]"),
  number: slider.querySelector("input[name=s]"),
  mode: slider.querySelector("select"),
  on: slider.querySelector("input[name=on]"),
});

/** Says what a slider does in units of the model, beside it and to those who listen. */
function describe(slider) {
  const { range, number, mode, on } = parts(slider);
  const s = Number(number.value);
  range.value = String(stepOf(s));
  if (!slider.dataset.maximum) return; // there is no such feature
  const pushed = s * Number(slider.dataset.maximum);
  const does = {
    add: Number.isNaN(pushed) ? "cannot be used" : pushed ? `adds ${figure(pushed)}` : "changes nothing",
    clamp: Number.isNaN(pushed) ? "cannot be used" : pushed ? `set to ${figure(pushed)}` : "taken away",
    scale: Number.isNaN(s) ? "cannot be used" : s === 1 ? "changes nothing" : `× ${figure(s)} where it fires`,
    cap: Number.isNaN(pushed) ? "cannot be used" : `at most ${figure(pushed)}`,
    remove: Number.isNaN(s) ? "cannot be used" : s ? `${figure(100 * s)} % taken out` : "changes nothing",
  }[mode.value];
  slider.querySelector(".does").textContent = on.checked ? `${does} ·` : "off ·";
  slider.classList.toggle("off", !on.checked);
  slider.dataset.mode = mode.value;
  range.setAttribute("aria-valuetext", `${number.value} times its maximum: ${does}`);
  // The part of the track between zero and the thumb is coloured.
  range.style.setProperty("--from", percentOf(Math.min(0, s)));
  range.style.setProperty("--to", percentOf(Math.max(0, s)));
  showCoherent(slider);
}

const percentOf = (strength) => `${100 * shareOf(strength)}%`;

/** Shades the strengths that the last sweep of a slider's feature, in its mode, found coherent. */
function showCoherent(slider) {
  const { mode, low, high } = swept.get(slider.dataset.feature) ?? {};
  const known = mode === slider.dataset.mode;
  const track = slider.querySelector(".track");
  track.classList.toggle("swept", known);
  if (known) {
    track.style.setProperty("--low", String(shareOf(low)));
    track.style.setProperty("--high", String(shareOf(high)));
  }
  const { range, number } = parts(slider);
  if (known) {
    const within = Number(number.value) >= low && Number(number.value) <= high;
    const heard = range.getAttribute("aria-valuetext").replace(/, (in|out)side .*$/, "");
    range.setAttribute("aria-valuetext", `${heard}, ${within ? "in" : "out"}side the coherent range`);
  }
  slider.querySelector(".coherent").textContent = known
    ? `· coherent from ${strength(low)} to ${strength(high)} in the last sweep`
    : "";
}

/** Keeps what a sweep found of a feature: the range in which its text stays coherent, or null. */
export function keepCoherent(name, mode, range) {
  if (range) swept.set(name, { mode, low: range[0], high: range[1] });
  else swept.delete(name);
  const slider = sliderOf(name);
  if (slider) showCoherent(slider);
}

/** What a slider's feature reads back in the steered text; null: not known. */
export function reads(slider, value) {
  slider.querySelector(".reads").textContent = value === null ? "" : `· reads ${figure(value)}`;
}

function count() {
  byId("count").textContent = `${sliders().length} of ${page.dataset.most}`;
}

/** Puts a slider to a strength. */
export function put(slider, value, ended = true) {
  parts(slider).number.value = String(value);
  describe(slider);
  tell(ended);
}

const sliderOf = (name) => sliders().find((slider) => slider.dataset.feature === name);

const coming = new Set(); // features whose sliders are under way

/** Draws the slider of a feature below the others, as the server has it. */
async function draw(name) {
  if (coming.has(name) || sliders().length + coming.size >= Number(page.dataset.most)) return;
  coming.add(name);
  const answer = await fetch(`${page.dataset.page}/slider?f=${encodeURIComponent(name)}`, {
    headers: { "HX-Request": "true" },
  }).catch(() => null);
  const list = byId("sliders");
  if (answer?.ok) {
    await window.htmx.swap({ target: list, sourceElement: list, swap: "beforeend", text: await answer.text() });
  }
  coming.delete(name);
}

/** Adds a feature named `dictionary:index`, or shows the slider that it has. */
export async function add(name) {
  const there = sliderOf(name);
  if (!there) await draw(name);
  const slider = sliderOf(name);
  if (!slider) return;
  describe(slider);
  count();
  parts(slider).range.focus();
  if (!there) tell(true);
}

function remove(slider) {
  const next = slider.nextElementSibling ?? slider.previousElementSibling;
  slider.remove();
  count();
  (next ? parts(next).range : byId("q")).focus();
  tell(true);
}

function reset(slider) {
  const { mode } = parts(slider);
  if (!(mode.value in NEUTRAL)) mode.value = "add";
  put(slider, NEUTRAL[mode.value]);
}

/** Adds any feature of the chosen dictionary that fires. */
async function addRandom() {
  const dictionary = byId("dictionary").value;
  const address = page.dataset.api.replace("/m/", "/d/");
  const answer = await fetch(`${address}/${encodeURIComponent(dictionary)}/random`).catch(() => null);
  if (answer?.ok) await add(`${dictionary}:${(await answer.json()).index}`);
}

let wanted = null; // what Enter was pressed on, until its features are found

/** Adds the first feature found, once what is found is of what was typed. */
function addFirst() {
  if (!wanted || byId("found").dataset.typed !== wanted) return;
  wanted = null;
  byId("found").querySelector("[data-add]")?.click();
}

export function start() {
  const list = byId("sliders");
  for (const slider of sliders()) describe(slider);

  list.addEventListener("input", (event) => {
    const slider = event.target.closest(".slider");
    const { range, number, mode } = parts(slider);
    if (event.target === range) number.value = String(strengthAt(Number(range.value)));
    else if (event.target === mode && Number(number.value) === NEUTRAL[slider.dataset.mode]) {
      // What changed nothing before changes nothing after.
      number.value = String(NEUTRAL[mode.value] ?? number.value);
    }
    describe(slider);
  });
  list.addEventListener("click", (event) => {
    const slider = event.target.closest(".slider");
    if (event.target.closest("button[name=drop]")) {
      event.preventDefault();
      remove(slider);
    } else if (event.target.closest(".reset")) reset(slider);
  });
  byId("reset-all").addEventListener("click", () => sliders().forEach(reset));
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-add]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (link.closest("#found")) {
      byId("q").value = "";
      byId("found").replaceChildren();
    }
    add(link.dataset.add);
  });
  byId("random").addEventListener("click", addRandom);
  byId("finder").addEventListener("submit", (event) => {
    event.preventDefault();
    wanted = byId("q").value.trim();
    addFirst();
  });
  byId("q").addEventListener("input", () => { wanted = null; });
  document.addEventListener("htmx:after:swap", addFirst);
}
