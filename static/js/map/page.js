// The map: what is drawn, what the address says of it, and the table beside it.

import { Card } from "./card.js";
import { Colouring, bytes } from "./colouring.js";
import { palette } from "./colours.js";
import { Drawing } from "./drawing.js";
import { Gestures, WHOLE, zoomed } from "./gestures.js";
import { Overlay } from "./overlay.js";
import { Points } from "./points.js";
import { Table } from "./table.js";
import { outline, same, viewOf, written } from "./view.js";

const STILL = 160; // milliseconds after which the map no longer moves, and all points are drawn
const SLOWLY = 8; // points that stand for one where drawing all takes long: then more of them pass
const REACH = 12; // pixels between the pointer and a point that it means

const figure = document.getElementById("map");
const canvas = document.getElementById("map-canvas");
const form = document.getElementById("map-form");
const status = document.getElementById("map-says");
const plain = figure.dataset.noun;
const overlay = new Overlay(figure.querySelector(".map-over"));
const colouring = new Colouring(form, figure.dataset);
const card = new Card(document.getElementById("map-card"), figure.dataset);

let view = viewOf(new URLSearchParams(location.search).get("view"));
let points = null;
let drawing = null;
let [moving, still] = [false, 0];
let [lasso, chosen, page] = ["", "", ""];

const say = (text) => { status.textContent = text; };
const table = new Table(address, read, say);

/** The address of what is shown. */
function address() {
  const query = new URLSearchParams();
  const { colour, q, alive } = form.elements;
  if (colour && colour.selectedIndex > 0) query.set("colour", colour.value);
  if (q.value.trim()) query.set("q", q.value);
  if (alive?.checked) query.set("alive", "1");
  if (!same(view, WHOLE)) query.set("view", written(view));
  if (lasso) query.set("lasso", lasso);
  else if (chosen) query.set("feature", chosen);
  if (page) query.set("page", page);
  const text = query.toString().replaceAll("%2C", ",");
  return location.pathname + (text ? `?${text}` : "");
}

/** What the table says of itself. */
function read() {
  ({ lasso, chosen } = table.element.dataset);
  page = new URLSearchParams(location.search).get("page") ?? "";
  overlay.lasso = lasso ? lasso.split(",").map(Number) : null;
  overlay.chosen = chosen && points ? points.at(Number(chosen)) : null;
  overlay.draw(view);
}

/** Something else is asked for, which is worth a step back. */
function turn() {
  page = "";
  const to = address();
  if (to === location.pathname + location.search) return;
  history.pushState({}, "", to);
  table.ask();
}

function moved(next) {
  if (same(view, next)) return;
  view = next;
  moving = true;
  card.hide();
  overlay.near = null;
  clearTimeout(still);
  table.wait();
  still = setTimeout(settle, drawing?.step > SLOWLY ? 3 * STILL : STILL);
  request();
}

function settle() {
  moving = false;
  figure.dataset.step = drawing?.step ?? 1;
  request();
  if (!(lasso || chosen)) page = "";
  history.replaceState(history.state, "", address());
  table.askSoon();
}

/** Draw the points anew; what lies above them is drawn without. */
const request = () => drawing?.soon(() => ({ view, moving }), () => overlay.draw(view));

async function recolour() {
  if (await colouring.apply(points, drawing)) request();
}

const pixels = (count) => (count / canvas.clientWidth) * view.width;

const under = (place) => (place && points ? points.nearest(place.x, place.y, pixels(REACH)) : -1);

function hover(place, event) {
  const index = under(place);
  overlay.near = index < 0 ? null : points.at(index);
  canvas.classList.toggle("over", index >= 0);
  if (index < 0) card.hide();
  else card.show(index, event);
  overlay.draw(view);
}

function pick(place, event) {
  const index = under(place);
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
    draw([]);
    say(`No ${plain} lies inside the lasso: draw it around some points.`);
    return;
  }
  [lasso, chosen] = [outline(corners), ""];
  turn();
}

function setLasso(on) {
  gestures.lasso = on;
  figure.querySelector("[data-do=lasso]").setAttribute("aria-pressed", String(on));
  canvas.classList.toggle("drawing", on);
}

function draw(corners) {
  overlay.lasso = corners.flatMap(({ x, y }) => [x, y]);
  overlay.draw(view);
}

const gestures = new Gestures(canvas, { view: () => view, moved, hover, pick, choose, draw, drawn });

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

table.onRow((place) => {
  overlay.near = place;
  overlay.draw(view);
});

document.addEventListener("htmx:after:swap", () => table.element && read());
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
    say("This browser draws no WebGL, so there is no picture; the table has the same in words.");
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
