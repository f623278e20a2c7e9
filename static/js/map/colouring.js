// The colour of every point, by what the form says: a figure of each feature, or what a search finds.

import { explain, palette } from "./colours.js";
import { HIDDEN } from "./points.js";

const kept = new Map();

/** Bytes of the server, asked for once. */
export function bytes(from) {
  if (!kept.has(from)) {
    const asked = fetch(from).then((answer) => {
      if (!answer.ok) throw new Error(answer.statusText);
      return answer.arrayBuffer();
    });
    asked.catch(() => kept.delete(from));
    kept.set(from, asked);
  }
  return kept.get(from);
}

const levels = async (colour) => new Uint8Array(await bytes(colour.address));

export class Colouring {
  #form;
  #colours;
  #hits;
  #noun;
  #asking = new AbortController();

  /** `form`: what is chosen; the rest is what the map's data say. */
  constructor(form, { colours, hits, noun }) {
    this.#form = form;
    this.#colours = JSON.parse(colours);
    this.#hits = hits;
    this.#noun = noun;
  }

  /** Colour the points and mark what is searched for; false where something else was asked since. */
  async apply(points, drawing) {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const { colour: select, q, alive } = this.#form.elements;
    const colour = this.#colours.find(({ name }) => name === select?.value) ?? this.#colours[0] ?? null;
    const typed = q.value.trim() ? q.value : "";
    const density = this.#colours.find(({ name }) => name === "density");
    const [hits, own, firing] = await Promise.all([
      typed ? this.#searched(typed, signal) : null,
      colour && !typed ? levels(colour) : null,
      alive?.checked && density ? levels(density) : null,
    ]);
    if (signal.aborted) return false;
    const look = points.levels;
    if (own) look.set(own);
    else look.fill(hits || !colour ? 0 : 1);
    if (firing) firing.forEach((level, index) => { if (!level) look[index] = HIDDEN; });
    drawing.paint(palette(hits ? null : colour));
    drawing.show(points.places, look);
    const shown = (hits ?? []).filter((index) => look[index] !== HIDDEN);
    const places = shown.flatMap((index) => [...points.places.subarray(2 * index, 2 * index + 2)]);
    drawing.mark(Uint16Array.from(places));
    explain(document.getElementById("map-legend"), colour, hits ? shown.length : null, this.#noun);
    return true;
  }

  async #searched(typed, signal) {
    const from = `${this.#hits}?${new URLSearchParams({ q: typed })}`;
    const answer = await fetch(from, { headers: { Accept: "application/json" }, signal });
    return answer.ok ? (await answer.json()).features : [];
  }
}
