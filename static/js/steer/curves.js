// Curves over strengths as small SVG charts: drawn point by point, with a guide at one strength.
import { element, figure, MINUS } from "./dom.js";
import { shareOf, STEPS, strengthAt } from "./scale.js";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 400;
const HEIGHT = 150;
const LEFT = 46;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 22;
const MARKED = [-10, -1, 0, 1, 10]; // strengths named below the curves
const INNER = WIDTH - LEFT - RIGHT;
const TALL = HEIGHT - TOP - BOTTOM;

function draw(parent, tag, attributes, text = "") {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  parent.append(made);
  return made;
}

/** Round figures between two, about three of them. */
function ticks(low, high, log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    const every = Math.ceil(found.length / 4);
    return found.filter((_, place) => place % every === 0);
  }
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((one) => one >= rough);
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step + 1e-9) + 1 }, (_, n) => first + n * step);
}

/** A figure at an axis: as short as it can be. */
function tick(value) {
  const size = [[1e6, "M"], [1e3, "k"]].find(([one]) => Math.abs(value) >= one);
  const text = size ? `${Number((value / size[0]).toPrecision(3))}${size[1]}` : String(Number(value.toPrecision(3)));
  return text.replace("-", MINUS);
}

export class Curve {
  /** `series`: names of the lines; `log`: whether the axis is logarithmic. */
  constructor(title, unit, { log = false } = {}) {
    this.title = title;
    this.unit = unit;
    this.log = log;
    this.figure = element("figure");
    const caption = element("figcaption", title);
    caption.append(" ", element("small", unit));
    this.svg = draw(this.figure, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img" });
    this.figure.prepend(caption);
  }

  x(strength) {
    return LEFT + INNER * shareOf(strength);
  }

  y(value) {
    const scale = this.log ? Math.log : (one) => one;
    const [low, high] = [scale(this.low), scale(this.high)];
    return TOP + TALL * (1 - (scale(value) - low) / (high - low || 1));
  }

  /** Draws everything anew. `lines`: {name, points: [[strength, value]]}; null values are gaps. */
  update(lines, { limit = null, coherent = null, base = null } = {}) {
    const values = lines.flatMap((line) => line.points.map((point) => point[1]));
    const finite = [...values, limit, base].filter((value) => Number.isFinite(value) && value !== null);
    this.low = this.log ? Math.min(...finite) / 1.2 : Math.min(0, ...finite);
    this.high = this.log ? Math.max(...finite) * 1.2 : Math.max(...finite);
    this.svg.replaceChildren();
    if (!finite.length) return;
    if (this.high <= this.low) this.high = this.low + 1;
    if (coherent) {
      const [from, to] = coherent.map((strength) => this.x(strength));
      draw(this.svg, "rect", { x: from, y: TOP, width: Math.max(2, to - from), height: TALL, class: "coherent" });
    }
    this.axes();
    if (limit !== null && limit <= this.high) {
      draw(this.svg, "path", { d: `M${LEFT} ${this.y(limit)}h${INNER}`, class: "limit" });
      draw(this.svg, "text", { x: WIDTH - RIGHT - 2, y: this.y(limit) - 4, "text-anchor": "end" }, "twice the unsteered");
    }
    lines.forEach((line, place) => this.line(line, place));
    if (lines.length > 1) this.names(lines);
    this.guide = draw(this.svg, "path", { class: "guide" });
    const ends = `from ${figure(Math.min(...finite))} to ${figure(Math.max(...finite))}`;
    this.svg.setAttribute("aria-label", `${this.title} against strength, ${ends} ${this.unit}`);
  }

  axes() {
    for (const value of ticks(this.low, this.high, this.log)) {
      draw(this.svg, "path", { d: `M${LEFT} ${this.y(value)}h${INNER}`, class: "grid" });
      draw(this.svg, "text", { x: LEFT - 5, y: this.y(value) + 3, "text-anchor": "end" }, tick(value));
    }
    for (const strength of MARKED) {
      draw(this.svg, "text", { x: this.x(strength), y: HEIGHT - 6, "text-anchor": "middle" }, tick(strength));
    }
    draw(this.svg, "path", { d: `M${LEFT} ${TOP + TALL}h${INNER}`, class: "base" });
  }

  line({ points }, place) {
    let path = "";
    let gap = true;
    for (const [strength, value] of points) {
      if (value === null) { gap = true; continue; }
      const at = [this.x(strength).toFixed(1), this.y(value).toFixed(1)];
      path += `${gap ? "M" : "L"}${at.join(" ")}`;
      gap = false;
      draw(this.svg, "circle", { cx: at[0], cy: at[1], r: 2.2, class: `line${place}` });
    }
    draw(this.svg, "path", { d: path, class: `curve-line line${place}` });
  }

  /** A key to the lines, in the corner where they begin. */
  names(lines) {
    lines.forEach(({ name }, place) => {
      const y = TOP + 7 + 13 * place;
      draw(this.svg, "path", { d: `M${LEFT + 8} ${y - 4}h18`, class: `curve-line line${place}` });
      draw(this.svg, "text", { x: LEFT + 31, y, class: "name" }, name);
    });
  }

  /** Puts the guide at a strength. */
  mark(strength) {
    this.guide?.setAttribute("d", `M${this.x(strength)} ${TOP}v${TALL}`);
  }

  /** The strength under a pointer. */
  under(event) {
    const box = this.svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width) * WIDTH;
    return strengthAt(STEPS * ((2 * (share - LEFT)) / INNER - 1));
  }
}
