// Where the nodes in view lie: tokens across, layers up; x and y from 0 to 1, y downwards.

import { LOGIT, TOKEN } from "./data.js";

const IN_A_LINE = 6; // nodes of a cell, before another line begins
const MOST_LINES = 3;
const GAP = 0.9; // between columns, in widths of a node
const MANY = 40; // tokens
const ALONE = 0.5; // the width of a column that has only its token

export class Layout {
  /** `kept`: whether a node is in view, as a function. */
  constructor(graph, kept) {
    const { nodes, told } = graph;
    this.rows = told.n_layers + 2;
    this.x = new Float64Array(graph.size);
    this.y = new Float64Array(graph.size);
    this.inView = new Uint8Array(graph.size);
    const cells = new Map();
    for (let node = 0; node < graph.size; node += 1) {
      if (!kept(node)) continue;
      this.inView[node] = 1;
      const key = nodes.position[node] * (this.rows + 1) + nodes.layer[node] + 1;
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(node);
    }
    this.#place(graph, cells);
  }

  #place(graph, cells) {
    const { told, nodes } = graph;
    const lines = (cell) => (nodes.kind[cell[0]] === LOGIT ? 1 : Math.min(MOST_LINES, Math.ceil(cell.length / IN_A_LINE)));
    // Of a long text, tokens above which nothing stands give their room to the others.
    const alone = told.tokens.length > MANY ? ALONE - GAP : 1;
    const widths = new Array(told.tokens.length).fill(alone);
    for (const [key, cell] of cells) {
      const position = Math.floor(key / (this.rows + 1));
      if (key % (this.rows + 1) > 0) widths[position] = Math.max(widths[position], Math.ceil(cell.length / lines(cell)));
    }
    const total = widths.reduce((sum, width) => sum + width + GAP, 0);
    this.unit = 1 / total; // the width of a node's place
    this.columns = [];
    let at = 0;
    for (const width of widths) {
      this.columns.push({ left: at / total, middle: (at + (width + GAP) / 2) / total, width: (width + GAP) / total });
      at += width + GAP;
    }
    for (const [key, cell] of cells) {
      const column = this.columns[Math.floor(key / (this.rows + 1))];
      const row = key % (this.rows + 1);
      cell.sort((one, other) => nodes.influence[other] - nodes.influence[one] || one - other);
      const count = lines(cell);
      const across = Math.ceil(cell.length / count);
      cell.forEach((node, n) => {
        const line = Math.floor(n / across);
        const here = Math.min(across, cell.length - line * across);
        this.x[node] = column.middle + ((n % across) - (here - 1) / 2) * this.unit;
        this.y[node] = this.rowAt(row) + (line - (count - 1) / 2) * (0.26 / this.rows);
      });
    }
  }

  /** The middle of a row; 0: tokens. */
  rowAt(row) {
    return 1 - (row + 0.5) / this.rows;
  }

  /** What a row holds. */
  rowName(row) {
    if (row === 0) return "tokens";
    return row === this.rows - 1 ? "logits" : `L${row - 1}`;
  }

  /** The form of a node's mark. */
  static form(kind) {
    if (kind === TOKEN || kind === LOGIT) return "box";
    return kind === 2 ? "ring" : "dot";
  }
}
