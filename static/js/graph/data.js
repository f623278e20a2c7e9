// A graph as the server tells it, with who feeds whom.

const FOLLOWED = 4; // edges that a path takes at each node

export const TOKEN = 0;
export const FEATURE = 1;
export const ERROR = 2;
export const LOGIT = 3;

/** The numbers of edges by one of their ends: `begin[node]` to `begin[node + 1]` of `edges`. */
function byEnd(ends, n) {
  const begin = new Uint32Array(n + 1);
  for (const end of ends) begin[end + 1] += 1;
  for (let node = 0; node < n; node += 1) begin[node + 1] += begin[node];
  const next = begin.slice();
  const edges = new Uint32Array(ends.length);
  ends.forEach((end, edge) => { edges[next[end]++] = edge; });
  return { begin, edges };
}

export class Graph {
  #inputs;
  #outputs;

  /** `told`: the answer of the JSON interface; its edges come with those first that carry most. */
  constructor(told) {
    this.told = told;
    this.nodes = told.nodes;
    this.edges = told.edges;
    this.size = told.nodes.kind.length;
    this.strongest = Math.max(1e-9, ...told.nodes.influence.filter((_, node) => told.nodes.kind[node] !== LOGIT));
    this.#inputs = byEnd(told.edges.target, this.size);
    this.#outputs = byEnd(told.edges.source, this.size);
    this.parts = new Float64Array(told.edges.weight.length);
    for (let node = 0; node < this.size; node += 1) {
      let sum = 1e-12;
      const inputs = this.inputs(node);
      for (const edge of inputs) sum += Math.abs(told.edges.weight[edge]);
      for (const edge of inputs) this.parts[edge] = Math.abs(told.edges.weight[edge]) / sum;
    }
  }

  inputs(node) {
    return this.#inputs.edges.subarray(this.#inputs.begin[node], this.#inputs.begin[node + 1]);
  }

  outputs(node) {
    return this.#outputs.edges.subarray(this.#outputs.begin[node], this.#outputs.begin[node + 1]);
  }

  /** The largest of some edges whose other end is in view; `most` of them. */
  #largest(edges, inView, end, most) {
    const there = [...edges].filter((edge) => inView(this.edges[end][edge]));
    return there.sort((one, other) => Math.abs(this.edges.weight[other]) - Math.abs(this.edges.weight[one])).slice(0, most);
  }

  /** The node at the other end of a node's strongest input or output; -1: there is none. */
  strongestEnd(node, inView, up) {
    const end = up ? "target" : "source";
    const [edge] = this.#largest(up ? this.outputs(node) : this.inputs(node), inView, end, 1);
    return edge === undefined ? -1 : this.edges[end][edge];
  }

  /** The edges of the strongest paths through a node, down to the tokens and up to the targets. */
  paths(node, inView) {
    const edges = new Set();
    for (const [side, end] of [["inputs", "source"], ["outputs", "target"]]) {
      const seen = new Set([node]);
      const todo = [node];
      while (todo.length) {
        const here = todo.pop();
        const most = here === node ? 24 : FOLLOWED;
        for (const edge of this.#largest(this[side](here), inView, end, most)) {
          edges.add(edge);
          const next = this.edges[end][edge];
          if (!seen.has(next)) {
            seen.add(next);
            todo.push(next);
          }
        }
      }
    }
    return edges;
  }
}
