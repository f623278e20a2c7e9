// The map: what is drawn, what the address says of it, and the table beside it.

import { explain, palette } from "./colours.js";
import { Drawing } from "./drawing.js";
import { Gestures, WHOLE, zoomed } from "./gestures.js";
import { Overlay } from "./overlay.js";
import { HIDDEN, Points } from "./points.js";
import { Card } from "./card.js";

const STILL = 160; // milliseconds after which the map no longer moves, and all points are drawn
const SLOWLY = 8; // points that stand for one where drawing all takes long: then more of them pass
const LISTED = 350; // milliseconds after which the table follows
const REACH = 12; // pixels between the pointer and a point that it means
const MOST_CORNERS = 64;
const NO_WEBGL = "This browser draws no WebGL, so there is no picture; the table has the same in words.";

const figure = document.getElementById("map");
const canvas = document.getElementById("map-canvas");
const form = document.getElementById("map-form");
const status = document.getElementById("map-says");
const plain = figure.dataset.noun;
const colours = JSON.parse(figure.dataset.colours);
const overlay = new Overlay(figure.querySelector(".map-over"));
const card = new Card(document.getElementById("map-card"), figure.dataset);

let view = viewOf(new URLSearchParams(location.search).get("view"));
let points = null;
let drawing = null;
let [moving, queued, still, later] = [false, false, 0, 0];
let [lasso, chosen, page] = ["", "", ""];
let asking = new AbortController();
let colouring = new AbortController();

const beside = () => document.getElementById("beside");
const say = (text) => { status.textContent = text; };

function viewOf(text) {
  const [x, y, width] = (text ?? "").split(",").map(Number);
  return width > 0 ? { x, y, width } : { ...WHOLE };
}

const short = (number) => String(Number(number.toPrecision(5)));
const same = (one, other) => ["x", "y", "width"].every((name) => short(one[name]) === short(other[name]));

/** The address of what is shown. */
function address() {
  const query = new URLSearchParams();
  const { colour, q, alive } = form.elements;
  if (colour && colour.selectedIndex > 0) query.set("colour", colour.value);
  if (q.value.trim()) query.set("q", q.value);
  if (alive?.checked) query.set("alive", "1");
  if (!same(view, WHOLE)) query.set("view", [view.x, view.y, view.width].map(short).join(","));
  if (lasso) query.set("lasso", lasso);
  else if (chosen) query.set("feature", chosen);
  if (page) query.set("page", page);
  const text = query.toString().replaceAll("%2C", ",");
  return location.pathname + (text ? `?${text}` : "");
}

/** What the table says of itself. */
function read() {
  ({ lasso, chosen } = beside().dataset);
  page = new URLSearchParams(location.search).get("page") ?? "";
  overlay.lasso = lasso ? lasso.split(",").map(Number) : null;
  overlay.chosen = chosen && points ? points.at(Number(chosen)) : null;
  overlay.draw(view);
}

/** Let the table follow what is shown. */
async function list() {
  clearTimeout(later);
  asking.abort();
  asking = new AbortController();
  beside().setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address(), { headers: { "HX-Request": "true" }, signal: asking.signal });
    const text = await answer.text();
    if (!answer.ok) throw new Error(answer.statusText);
    const target = beside();
    await window.htmx.swap({ target, sourceElement: target, swap: "outerHTML", text });
    read();
  } catch (error) {
    if (error.name === "AbortError") return;
    beside().removeAttribute("aria-busy");
    say("The table could not be read; move the map to try again.");
  }
}

/** Something else is asked for, which is worth a step back. */
function turn() {
  page = "";
  const to = address();
  if (to === location.pathname + location.search) return;
  history.pushState({}, "", to);
  list();
}

function moved(next) {
  if (same(view, next)) return;
  view = next;
  moving = true;
  card.hide();
  overlay.near = null;
  clearTimeout(still);
  clearTimeout(later);
  still = setTimeout(settle, drawing?.step > SLOWLY ? 3 * STILL : STILL);
  request();
}

function settle() {
  moving = false;
  figure.dataset.step = drawing?.step ?? 1;
  request();
  if (!(lasso || chosen)) page = "";
  history.replaceState(history.state, "", address());
  later = setTimeout(list, LISTED);
}

/** Draw the points anew; what lies above them is drawn without. */
function request() {
  if (queued || !drawing) return;
  queued = true;
  const asked = performance.now();
  requestAnimationFrame(() => {
    queued = false;
    drawing.draw(view, moving, performance.now() - asked);
    overlay.draw(view);
  });
}

const kept = new Map();

/** Bytes of the server, asked for once. */
function bytes(from) {
  if (!kept.has(from)) {
    const asked = fetch(from).then((answer) => {
      if (!answer.ok) throw new Error(answer.statusText);
      return answer.arrayBuffer();
    });
    asked.catch(() => kept.delete(from));
    kept.set(from, asked);
  }
  return kept.get(from);
}

const levels = async (colour) => new Uint8Array(await bytes(colour.address));

async function searched(typed, signal) {
  const from = `${figure.dataset.hits}?${new URLSearchParams({ q: typed })}`;
  const answer = await fetch(from, { headers: { Accept: "application/json" }, signal });
  return answer.ok ? (await answer.json()).features : [];
}

/** Give every point its colour, by what the form says. */
async function recolour() {
  colouring.abort();
  colouring = new AbortController();
  const { signal } = colouring;
  const { colour: select, q, alive } = form.elements;
  const colour = colours.find(({ name }) => name === select?.value) ?? colours[0] ?? null;
  const typed = q.value.trim() ? q.value : "";
  const density = colours.find(({ name }) => name === "density");
  const [hits, own, firing] = await Promise.all([
    typed ? searched(typed, signal) : null,
    colour && !typed ? levels(colour) : null,
    alive?.checked && density ? levels(density) : null,
  ]);
  if (signal.aborted) return;
  const look = points.levels;
  if (own) look.set(own);
  else look.fill(hits || !colour ? 0 : 1);
  if (firing) firing.forEach((level, index) => { if (!level) look[index] = HIDDEN; });
  drawing.paint(palette(hits ? null : colour));
  drawing.show(points.places, look);
  const shown = (hits ?? []).filter((index) => look[index] !== HIDDEN);
  drawing.mark(Uint16Array.from(shown.flatMap((index) => [...points.places.subarray(2 * index, 2 * index + 2)])));
  explain(document.getElementById("map-legend"), colour, hits ? shown.length : null, plain);
  request();
}

const pixels = (count) => (count / canvas.clientWidth) * view.width;

function hover(place, event) {
  const index = place && points ? points.nearest(place.x, place.y, pixels(REACH)) : -1;
  overlay.near = index < 0 ? null : points.at(index);
  canvas.classList.toggle("over", index >= 0);
  if (index < 0) card.hide();
  else card.show(index, event);
  overlay.draw(view);
}

function pick(place, event) {
  const index = points ? points.nearest(place.x, place.y, pixels(REACH)) : -1;
  if (index < 0) return;
  const to = `${figure.dataset.feature}/${index}`;
  if (event.pointerType === "touch") hover(place, event);
  else if (event.ctrlKey || event.metaKey) window.open(to, "_blank", "noopener");
  else location.assign(to);
}

function choose() {
  const index = points?.nearest(view.x, view.y, view.width) ?? -1;
  if (index < 0) return;
  [chosen, lasso] = [String(index), ""];
  turn();
}

function drawn(corners) {
  setLasso(false);
  if (corners.length < 3) {
    overlay.lasso = null;
    overlay.draw(view);
    say(`No ${plain} lies inside the lasso: draw it around some points.`);
    return;
  }
  const each = Math.ceil(corners.length / MOST_CORNERS);
  const some = corners.filter((_, n) => n % each === 0);
  lasso = some.flatMap(({ x, y }) => [short(x), short(y)]).join(",");
  chosen = "";
  turn();
}

function setLasso(on) {
  gestures.lasso = on;
  figure.querySelector("[data-do=lasso]").setAttribute("aria-pressed", String(on));
  canvas.classList.toggle("drawing", on);
}

const gestures = new Gestures(canvas, {
  view: () => view,
  moved,
  hover,
  pick,
  choose,
  draw: (corners) => {
    overlay.lasso = corners.flatMap(({ x, y }) => [x, y]);
    overlay.draw(view);
  },
  drawn,
});

const DEEDS = {
  in: () => moved(zoomed(view, 0.6)),
  out: () => moved(zoomed(view, 1 / 0.6)),
  whole: () => moved({ ...WHOLE }),
  lasso: () => setLasso(!gestures.lasso),
};
figure.addEventListener("click", (event) => DEEDS[event.target.closest?.("[data-do]")?.dataset.do]?.());

form.addEventListener("submit", (event) => {
  event.preventDefault();
  turn();
  if (drawing) recolour().catch(failed);
});
form.addEventListener("change", () => form.requestSubmit());

// A row of the table shows its place.
function pointAt(event) {
  const row = event.target.closest?.("#beside [data-x]");
  overlay.near = row ? { x: Number(row.dataset.x), y: Number(row.dataset.y) } : null;
  overlay.draw(view);
}
for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, pointAt);

document.addEventListener("htmx:after:swap", () => {
  if (!beside()) return;
  read();
});
canvas.addEventListener("snapshot", () => drawing?.draw(view, false, 0)); // a saved page has it
addEventListener("popstate", () => location.reload());
addEventListener("resize", request);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawing && recolour());

function failed(error) {
  if (error.name !== "AbortError") say("The map could not be read from the server; load the page again. The table has the same in words.");
}

async function start() {
  drawing = Drawing.on(canvas);
  read();
  if (!drawing) {
    figure.classList.add("without");
    say(NO_WEBGL);
    return;
  }
  canvas.addEventListener("webglcontextlost", () => say("The graphics processor gave the picture up; load the page again."));
  points = new Points(new Uint16Array(await bytes(figure.dataset.points)));
  drawing.paint(palette(null));
  drawing.show(points.places, points.levels); // in one colour, until all of theirs are there
  request();
  figure.dataset.drawn = "true";
  await recolour();
  read();
  say(`${points.count.toLocaleString("en")} ${plain}s. Point at one to read what it is; click opens it.`);
  figure.dataset.ready = "true";
}

start().catch(failed);
