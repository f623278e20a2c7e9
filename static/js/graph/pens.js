// Two ways to draw the same: on a canvas, and into an SVG file.

const NS = "http://www.w3.org/2000/svg";
const FONT = "system-ui, sans-serif";

export class CanvasPen {
  #on;

  /** `ratio`: pixels of the canvas for each of the page. */
  constructor(canvas, width, height, ratio, paper) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.#on = canvas.getContext("2d");
    this.#on.scale(ratio, ratio);
    this.#on.fillStyle = paper;
    this.#on.fillRect(0, 0, width, height);
  }

  line(x, y, toX, toY, { color, width = 1, alpha = 1, dashed = false }) {
    const on = this.#on;
    on.globalAlpha = alpha;
    on.strokeStyle = color;
    on.lineWidth = width;
    on.setLineDash(dashed ? [5, 4] : []);
    on.beginPath();
    on.moveTo(x, y);
    on.lineTo(toX, toY);
    on.stroke();
    on.globalAlpha = 1;
  }

  /** `form`: dot, ring or box. */
  mark(form, x, y, size, { color, paper, alpha = 1, width = 1.4 }) {
    const on = this.#on;
    on.globalAlpha = alpha;
    on.setLineDash([]);
    on.beginPath();
    if (form === "box") on.rect(x - size, y - size, 2 * size, 2 * size);
    else on.arc(x, y, size, 0, 2 * Math.PI);
    on.fillStyle = form === "ring" ? paper : color;
    on.fill();
    if (form === "ring") {
      on.strokeStyle = color;
      on.lineWidth = width;
      on.stroke();
    }
    on.globalAlpha = 1;
  }

  /** A circle around a mark. */
  halo(x, y, size, { color, width = 2 }) {
    const on = this.#on;
    on.setLineDash([]);
    on.strokeStyle = color;
    on.lineWidth = width;
    on.beginPath();
    on.arc(x, y, size, 0, 2 * Math.PI);
    on.stroke();
  }

  text(text, x, y, { color, size = 11, align = "left", turned = false, bold = false, paper = "" }) {
    const on = this.#on;
    on.save();
    on.translate(x, y);
    if (turned) on.rotate(-Math.PI / 3);
    on.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
    on.textAlign = align;
    on.textBaseline = "middle";
    if (paper) {
      on.strokeStyle = paper;
      on.lineWidth = 4;
      on.lineJoin = "round";
      on.strokeText(text, 0, 0);
    }
    on.fillStyle = color;
    on.fillText(text, 0, 0);
    on.restore();
  }

  measure(text, size = 11) {
    this.#on.font = `${size}px ${FONT}`;
    return this.#on.measureText(text).width;
  }
}

const ANCHORS = { left: "start", center: "middle", right: "end" };
const short = (number) => Number(number.toFixed(2));

export class SvgPen {
  #root;
  #brush;

  constructor(width, height, paper, title) {
    this.#brush = document.createElement("canvas").getContext("2d");
    this.#root = document.createElementNS(NS, "svg");
    const box = { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" };
    for (const [name, value] of Object.entries(box)) this.#root.setAttribute(name, value);
    this.#add("title", {}).textContent = title;
    this.#add("rect", { width, height, fill: paper });
  }

  #add(name, attributes) {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, typeof value === "number" ? short(value) : value);
    }
    this.#root.append(made);
    return made;
  }

  line(x, y, toX, toY, { color, width = 1, alpha = 1, dashed = false }) {
    const more = dashed ? { "stroke-dasharray": "5 4" } : {};
    this.#add("line", { x1: x, y1: y, x2: toX, y2: toY, stroke: color, "stroke-width": width, opacity: alpha, ...more });
  }

  mark(form, x, y, size, { color, paper, alpha = 1, width = 1.4 }) {
    const look = form === "ring" ? { fill: paper, stroke: color, "stroke-width": width } : { fill: color };
    if (form === "box") this.#add("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, opacity: alpha, ...look });
    else this.#add("circle", { cx: x, cy: y, r: size, opacity: alpha, ...look });
  }

  halo(x, y, size, { color, width = 2 }) {
    this.#add("circle", { cx: x, cy: y, r: size, fill: "none", stroke: color, "stroke-width": width });
  }

  text(text, x, y, { color, size = 11, align = "left", turned = false, bold = false, paper = "" }) {
    const look = { "font-family": FONT, "font-size": size, "text-anchor": ANCHORS[align], "dominant-baseline": "central", fill: color };
    if (bold) look["font-weight"] = "600";
    if (paper) Object.assign(look, { stroke: paper, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" });
    if (turned) look.transform = `rotate(-60 ${short(x)} ${short(y)})`;
    this.#add("text", { x, y, ...look }).textContent = text;
  }

  measure(text, size = 11) {
    this.#brush.font = `${size}px ${FONT}`;
    return this.#brush.measureText(text).width;
  }

  toString() {
    return new XMLSerializer().serializeToString(this.#root);
  }
}
