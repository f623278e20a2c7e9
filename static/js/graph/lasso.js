// What lies inside a lasso.

import { FIELD } from "./picture.js";

/** A corner as gestures tell it, which know of no margins, in the layout's own coordinates. */
export function onLayout({ x, y }, view, { width, height }) {
  const left = ((x - view.x) / view.width + 0.5) * width - FIELD.LEFT;
  const top = ((y - view.y) / view.width + 0.5) * height - FIELD.TOP;
  return {
    x: view.x + (left / (width - FIELD.LEFT - FIELD.RIGHT) - 0.5) * view.width,
    y: view.y + (top / (height - FIELD.TOP - FIELD.BOTTOM) - 0.5) * view.width,
  };
}

/** The nodes in view that lie inside some corners. */
export function inside({ layout, graph }, corners) {
  const nodes = [];
  for (let node = 0; node < graph.size; node += 1) {
    if (!layout.inView[node]) continue;
    const [x, y] = [layout.x[node], layout.y[node]];
    let odd = false;
    corners.forEach((one, n) => {
      const other = corners[(n + 1) % corners.length];
      if (one.y > y !== other.y > y && x < ((other.x - one.x) * (y - one.y)) / (other.y - one.y) + one.x) odd = !odd;
    });
    if (odd) nodes.push(node);
  }
  return nodes;
}
