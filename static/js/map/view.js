// Which part of the map is shown: its middle and its width, as an address has them.

import { WHOLE } from "./gestures.js";

const MOST_CORNERS = 64;

export function viewOf(text) {
  const [x, y, width] = (text ?? "").split(",").map(Number);
  return width > 0 ? { x, y, width } : { ...WHOLE };
}

export const short = (number) => String(Number(number.toPrecision(5)));

export const same = (one, other) =>
  ["x", "y", "width"].every((name) => short(one[name]) === short(other[name]));

export const written = (view) => [view.x, view.y, view.width].map(short).join(",");

/** A lasso as an address has it, with as many corners as fit there. */
export function outline(corners) {
  const each = Math.ceil(corners.length / MOST_CORNERS);
  const some = corners.filter((_, n) => n % each === 0);
  return some.flatMap(({ x, y }) => [short(x), short(y)]).join(",");
}
