// Levels as colours, which the style sheet names for light and dark, and the legend that explains them.

import { element } from "../tooltip.js";

const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** Any CSS colour as red, green and blue. */
function channels(colour) {
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  return [...brush.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

const named = (name) => getComputedStyle(document.getElementById("map")).getPropertyValue(name).trim();
const several = (name) => named(name).split(",").map((colour) => colour.trim());

/** The colour of a kind; there are more kinds than colours. */
function kind(number) {
  const colours = several("--map-kinds");
  return colours[number % colours.length];
}

/** 256 colours for the levels of `colour`, an option of the page; of hits where it is null. */
export function palette(colour) {
  const made = new Uint8Array(3 * 256);
  const stops = (colour ? several("--map-ramp") : [named("--map-hit")]).map(channels);
  for (let level = 1; level < 255; level += 1) {
    let mixed = stops[0];
    if (colour?.kinds) mixed = channels(kind(level - 1));
    else if (stops.length > 1) {
      const at = ((level - 1) / 253) * (stops.length - 1);
      const low = Math.min(stops.length - 2, Math.floor(at));
      mixed = stops[low].map((value, n) => value + (at - low) * (stops[low + 1][n] - value));
    }
    made.set(mixed, 3 * level);
  }
  made.set(channels(named("--map-none")), 0);
  return made;
}

function swatch(colour, text) {
  const item = element("span", "", "swatch");
  const dot = element("i");
  dot.style.background = colour;
  item.append(dot, text);
  return item;
}

/** Say what the colours mean; `hits`: how many features fit what is searched, or null. */
export function explain(legend, colour, hits, plain) {
  legend.replaceChildren();
  if (hits !== null) {
    legend.append(swatch("var(--map-hit)", `${hits} that fit`), swatch("var(--map-none)", `other ${plain}s`));
  } else if (colour?.kinds) {
    legend.append(`${colour.title} `);
    for (let n = 0; n < Math.min(colour.kinds, 16); n += 1) legend.append(swatch(kind(n), String(n)));
    if (colour.kinds > 16) legend.append("…");
  } else if (colour) {
    legend.append(`${colour.title} `, colour.low, element("i", "", "ramp"), colour.high, swatch("var(--map-none)", colour.none));
  }
}
