// A graph's page: the picture, what the address says of it, and what stands beside it.

import { Gestures, WHOLE, zoomed } from "../map/gestures.js";
import { Graph } from "./data.js";
import { png, svg } from "./files.js";
import { inside, onLayout } from "./lasso.js";
import { Panel } from "./panel.js";
import { CanvasPen } from "./pens.js";
import { Picture } from "./picture.js";

const REACH = 14; // pixels between the pointer and a node that it means
const STILL = 140; // milliseconds after which the picture no longer moves
const LOOKS = ["ink", "quiet", "line", "paper", "helps", "hurts", "orange"];

const figure = document.getElementById("graph");
const canvas = document.getElementById("graph-canvas");
const slider = document.getElementById("in-view");
const status = document.getElementById("graph-says");

let view = { ...WHOLE };
let picture = null;
let [queued, still] = [false, 0];

const say = (text) => { status.textContent = text; };
const panel = new Panel(figure.dataset.page, say, keep);
const size = () => ({ width: canvas.clientWidth, height: canvas.clientHeight });
const looks = () => {
  const style = getComputedStyle(figure);
  return Object.fromEntries(LOOKS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
};

function paint() {
  queued = false;
  const colours = looks();
  picture.draw(new CanvasPen(canvas, canvas.clientWidth, canvas.clientHeight, Math.min(devicePixelRatio, 2), colours.paper), view, size(), colours);
}

function request() {
  if (queued || !picture) return;
  queued = true;
  requestAnimationFrame(paint);
}

/** These nodes are in view, as the server prunes. */
function keep(nodes) {
  if (!picture) return;
  picture.keep(nodes);
  light(picture.near);
  request();
}

/** The address of what is shown. */
function remember() {
  const query = new URLSearchParams(location.search);
  query.delete("page");
  if (Number(slider.value) === 0.8) query.delete("share");
  else query.set("share", slider.value);
  if (picture.chosen < 0) query.delete("node");
  else query.set("node", picture.chosen);
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

function moved(next) {
  view = next;
  picture.moving = true;
  clearTimeout(still);
  still = setTimeout(() => { picture.moving = false; request(); }, STILL);
  request();
}

/** A place that gestures tell, in shares of the canvas, as pixels. */
const pixels = ({ left, top }) => [left * canvas.clientWidth, top * canvas.clientHeight];
const under = (place) => (place && picture ? picture.nearest(...pixels(place), view, size(), REACH) : -1);

function light(node) {
  picture.near = node;
  const of = node >= 0 ? node : picture.chosen;
  picture.lit = of >= 0 ? picture.graph.paths(of, picture.inView) : null;
}

function hover(place) {
  if (!picture) return;
  const node = under(place);
  if (node === picture.near) return;
  light(node);
  canvas.classList.toggle("over", node >= 0);
  request();
}

function choose(node) {
  if (node < 0) return;
  picture.choose(node);
  light(-1);
  remember();
  panel.node(node);
  say(`Chosen: ${picture.graph.nodes.name[node]}.`);
  request();
}

async function drawn(corners) {
  setLasso(false);
  const nodes = inside(picture, corners.map((corner) => onLayout(corner, view, size())));
  picture.lasso = [];
  request();
  if (!nodes.length) return say("No node lies inside the lasso.");
  if (await marked({ do: "pin", nodes: nodes.join(",") })) say(`${nodes.length} nodes are pinned.`);
}

async function marked(fields) {
  const marks = await panel.send({ at: picture.chosen < 0 ? "" : picture.chosen, ...fields });
  if (marks) Object.assign(picture, marks);
  keep(Panel.kept());
  return marks;
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
  pick: (place) => choose(under(place)),
  choose: () => choose(picture.nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, view, size(), Infinity)),
  draw: (corners) => {
    picture.lasso = corners.map((corner) => onLayout(corner, view, size()));
    request();
  },
  drawn,
});

/** The picture as it is now, as a file. */
const file = (how) => how(picture, view, size(), looks(), figure.dataset.page.split("/").at(-1));

const DEEDS = {
  in: () => moved(zoomed(view, 0.6)),
  out: () => moved(zoomed(view, 1 / 0.6)),
  whole: () => moved({ ...WHOLE }),
  lasso: () => setLasso(!gestures.lasso),
  png: () => file(png),
  svg: () => file(svg),
};
figure.addEventListener("click", (event) => picture && DEEDS[event.target.closest?.("[data-do]")?.dataset.do]?.());
canvas.addEventListener("keydown", (event) => {
  if (!"io".includes(event.key) || event.ctrlKey || event.metaKey || event.altKey || picture.chosen < 0) return;
  event.preventDefault();
  event.stopPropagation();
  const next = picture.graph.strongestEnd(picture.chosen, picture.inView, event.key === "o");
  if (next < 0) say(event.key === "o" ? "It adds to nothing in view." : "Nothing in view feeds it.");
  else choose(next);
});

slider.addEventListener("input", () => {
  const percent = `${Math.round(100 * slider.value)} %`;
  slider.nextElementSibling.textContent = percent;
  slider.setAttribute("aria-valuetext", `${percent} of influence`);
  picture?.show(Number(slider.value));
  if (picture) remember();
  panel.table(slider.value);
  request();
});

panel.listen({
  choose,
  point: (node) => {
    if (node < 0 && picture.near < 0) return;
    light(node);
    request();
  },
  mark: async (fields) => (await marked(fields)) && picture.chosen >= 0 && panel.node(picture.chosen),
});
canvas.addEventListener("snapshot", () => picture && paint());
for (const source of [window, matchMedia("(prefers-color-scheme: dark)")]) {
  for (const kind of ["resize", "change"]) source.addEventListener(kind, request);
}

async function start() {
  const answer = await fetch(figure.dataset.from);
  if (!answer.ok) throw new Error(answer.statusText);
  const told = await answer.json();
  figure.style.setProperty("--rows", told.n_layers + 2);
  picture = new Picture(new Graph(told));
  Object.assign(picture, Panel.marks());
  if (figure.dataset.node) picture.choose(Number(figure.dataset.node));
  keep(Panel.kept());
  const left = told.edges_left ? ` The ${told.edges_left.toLocaleString("en")} edges that carry least are not drawn.` : "";
  say(`Point at a node to light its paths; click it for what it is.${left}`);
  figure.dataset.ready = "true";
}

start().catch(() => say("The graph could not be read from the server; load the page again. The table has the same in words."));
