// The picture of a graph, on whatever pen it is given.

import { LOGIT, TOKEN } from "./data.js";
import { Layout } from "./layout.js";

const [LEFT, TOP, BOTTOM, RIGHT] = [46, 52, 76, 14]; // margins, pixels
const RESTING = 500; // edges that are drawn where no node is pointed at
const MOVING = 160; // the same while the picture moves
const [SMALLEST, LARGEST] = [1.8, 7]; // marks, pixels
const STACKED = 3; // logits that are named
const LONGEST = 34; // characters of a label in the picture

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export class Picture {
  layout = null;
  lit = null; // edges of the paths that are lit
  chosen = -1;
  near = -1;
  pinned = new Set();
  groups = [];
  lasso = [];
  moving = false;
  #kept = () => true;

  constructor(graph) {
    this.graph = graph;
  }

  /** The nodes that carry a share of all influence: at once, until the server says which it keeps. */
  show(share) {
    const { nodes } = this.graph;
    this.#arrange((node) => nodes.share[node] <= share + 1e-9);
  }

  /** The nodes that the server keeps. */
  keep(nodes) {
    const kept = new Set(nodes);
    this.#arrange((node) => kept.has(node));
  }

  choose(node) {
    this.chosen = node;
    if (this.layout && !this.layout.inView[node]) this.#arrange(this.#kept);
  }

  /** What is pinned, grouped or chosen is in view, whatever else is. */
  #arrange(kept) {
    this.#kept = kept;
    const own = new Set([...this.pinned, ...this.groups.flatMap(({ nodes }) => nodes), this.chosen]);
    this.layout = new Layout(this.graph, (node) => kept(node) || own.has(node));
  }

  inView = (node) => Boolean(this.layout.inView[node]);

  /** Where a place of the layout lies on a field of that size. */
  at(x, y, view, { width, height }) {
    const [across, up] = [width - LEFT - RIGHT, height - TOP - BOTTOM];
    return [LEFT + ((x - view.x) / view.width + 0.5) * across, TOP + ((y - view.y) / view.width + 0.5) * up];
  }

  /** The node nearest to a place on the field; -1: none is within `reach` pixels. */
  nearest(left, top, view, size, reach) {
    let [best, distance] = [-1, reach];
    for (let node = 0; node < this.graph.size; node += 1) {
      if (!this.layout.inView[node]) continue;
      const [x, y] = this.at(this.layout.x[node], this.layout.y[node], view, size);
      const here = Math.hypot(x - left, y - top);
      if (here < distance) [best, distance] = [node, here];
    }
    return best;
  }

  /** `looks`: colours by name; `view`: the part that is shown. */
  draw(pen, view, size, looks) {
    const nodeSize = this.#nodeSize(view, size);
    const place = (node) => this.at(this.layout.x[node], this.layout.y[node], view, size);
    this.#frame(pen, view, size, looks);
    this.#edges(pen, place, looks);
    this.#nodes(pen, place, nodeSize, size, looks);
    this.#labels(pen, place, nodeSize, size, looks);
    if (this.lasso.length > 1) {
      const corners = this.lasso.map(({ x, y }) => this.at(x, y, view, size));
      corners.forEach(([x, y], n) => {
        const [toX, toY] = corners[(n + 1) % corners.length];
        pen.line(x, y, toX, toY, { color: looks.orange, width: 2 });
      });
    }
  }

  #nodeSize(view, { width, height }) {
    const unit = (this.layout.unit * (width - LEFT - RIGHT)) / view.width;
    const row = (height - TOP - BOTTOM) / this.layout.rows / view.width;
    return Math.max(SMALLEST, Math.min(LARGEST, 0.42 * unit, 0.13 * row));
  }

  /** Rows with their names, columns with their tokens. */
  #frame(pen, view, size, looks) {
    const { layout } = this;
    const bottom = size.height - BOTTOM;
    const step = Math.max(1, Math.ceil((14 * layout.rows * view.width) / (bottom - TOP)));
    for (let row = 0; row < layout.rows; row += 1) {
      const [, y] = this.at(0, layout.rowAt(row), view, size);
      if (y < TOP || y > bottom) continue;
      pen.line(LEFT, y, size.width - RIGHT, y, { color: looks.line, alpha: 0.6 });
      const named = row % step === 0 || row === layout.rows - 1;
      if (named) pen.text(layout.rowName(row), LEFT - 8, y, { color: looks.quiet, align: "right" });
    }
    const { tokens } = this.graph.told;
    let clear = LEFT;
    layout.columns.forEach((column, position) => {
      const [left] = this.at(column.left, 0, view, size);
      const [x] = this.at(column.middle, 0, view, size);
      if (x < LEFT || x > size.width - RIGHT) return;
      const wide = (column.width * (size.width - LEFT - RIGHT)) / view.width;
      if (wide > 10 && left > LEFT) pen.line(left, TOP, left, bottom, { color: looks.line, alpha: 0.45 });
      const text = cut(tokens[position], 14);
      const flat = pen.measure(text) < wide - 4;
      if (!flat && x < clear) return;
      clear = x + 13;
      pen.text(text, x, bottom + (flat ? 12 : 8), { color: looks.ink, align: flat ? "center" : "right", turned: !flat });
    });
  }

  #edges(pen, place, looks) {
    const { edges, parts } = this.graph;
    const line = (edge, alpha, width) => {
      const [source, target] = [edges.source[edge], edges.target[edge]];
      const takes = edges.weight[edge] < 0;
      pen.line(...place(source), ...place(target), { color: takes ? looks.hurts : looks.helps, alpha, width, dashed: takes });
    };
    const most = this.moving ? MOVING : RESTING;
    for (let edge = 0, drawn = 0; edge < edges.source.length && drawn < most; edge += 1) {
      if (!this.inView(edges.source[edge]) || !this.inView(edges.target[edge])) continue;
      drawn += 1;
      line(edge, this.lit ? 0.06 : 0.1 + 0.3 * (1 - drawn / most), 1);
    }
    for (const edge of this.lit ?? []) line(edge, 0.85, 0.8 + 4 * Math.sqrt(parts[edge]));
  }

  #nodes(pen, place, nodeSize, size, looks) {
    const { nodes } = this.graph;
    const { edges } = this.graph;
    const bright = new Set();
    for (const edge of this.lit ?? []) bright.add(edges.source[edge]).add(edges.target[edge]);
    for (let node = 0; node < this.graph.size; node += 1) {
      if (!this.layout.inView[node]) continue;
      const [x, y] = place(node);
      if (x < LEFT - 8 || x > size.width || y < 0 || y > size.height - BOTTOM + 8) continue;
      const weight = Math.sqrt(Math.min(1, nodes.influence[node] / this.graph.strongest));
      const form = Layout.form(nodes.kind[node]);
      pen.mark(form, x, y, nodeSize * (form === "box" ? 0.8 : 0.55 + 0.45 * weight), {
        color: form === "dot" ? looks.ink : looks.quiet, paper: looks.paper, alpha: this.lit && !bright.has(node) && node !== this.near ? 0.28 : 1,
      });
    }
    this.groups.forEach((group) => group.nodes.forEach((node) => {
      if (this.layout.inView[node]) pen.halo(...place(node), nodeSize + 3, { color: looks.orange, width: 1.6 });
    }));
    for (const node of this.pinned) if (this.layout.inView[node]) pen.halo(...place(node), nodeSize + 3, { color: looks.ink });
    if (this.chosen >= 0 && this.layout.inView[this.chosen]) pen.halo(...place(this.chosen), nodeSize + 5, { color: looks.orange, width: 3 });
  }

  #labels(pen, place, nodeSize, size, looks) {
    const { nodes } = this.graph;
    const logits = this.graph.told.targets.filter((node) => nodes.kind[node] === LOGIT && this.layout.inView[node]);
    logits.slice(0, STACKED).forEach((node, n) => {
      const [x, y] = place(node);
      const first = place(logits[0])[0];
      pen.line(x, y - nodeSize, x, y - 14 - 13 * n, { color: looks.line });
      pen.text(cut(nodes.name[node], LONGEST), Math.min(x, first) - 4, y - 14 - 13 * n, { color: looks.ink, align: "right", paper: looks.paper, bold: node === this.near || node === this.chosen });
    });
    const written = new Map();
    for (const node of this.pinned) written.set(node, nodes.name[node]);
    for (const { title, nodes: members } of this.groups) {
      const top = members.filter(this.inView).sort((one, other) => this.layout.y[one] - this.layout.y[other])[0];
      if (top !== undefined) written.set(top, title);
    }
    for (const node of [this.chosen, this.near]) if (node >= 0 && nodes.kind[node] !== TOKEN && !logits.slice(0, STACKED).includes(node)) written.set(node, nodes.name[node]);
    const taken = [];
    for (const [node, name] of [...written].reverse()) {
      if (!this.layout.inView[node]) continue;
      const text = cut(name, LONGEST);
      const [x, y] = place(node);
      const wide = pen.measure(text);
      const right = x + nodeSize + 8 + wide < size.width;
      const box = { left: right ? x : x - wide - 16, right: right ? x + wide + 16 : x, y };
      const crossed = taken.some((other) => Math.abs(other.y - y) < 12 && other.left < box.right && box.left < other.right);
      if (crossed && node !== this.near && node !== this.chosen) continue;
      taken.push(box);
      pen.text(text, right ? x + nodeSize + 6 : x - nodeSize - 6, y, {
        color: looks.ink, align: right ? "left" : "right", paper: looks.paper, bold: node === this.near || node === this.chosen,
      });
    }
  }
}

/** Where the layout lies on a field, in shares of it: what gestures count in. */
export const FIELD = { LEFT, TOP, BOTTOM, RIGHT };
