// Where the features lie, and which of them is nearest to a place.

export const GRID = 65534; // the last step of either axis; one more means that a feature lies nowhere
export const HIDDEN = 255; // in the colours: not drawn, and not found

const SHIFT = 8; // 256 by 256 cells
const CELLS = 1 << (16 - SHIFT);

export class Points {
  #cells = null;

  /** `places`: x and y of each feature, one after the other. */
  constructor(places) {
    this.places = places;
    this.count = places.length / 2;
    this.levels = new Uint8Array(this.count);
  }

  /** The place of a feature in shares of the map's width; null: it has none. */
  at(index) {
    const [x, y] = [this.places[2 * index], this.places[2 * index + 1]];
    return x === undefined || x > GRID ? null : { x: x / GRID, y: y / GRID };
  }

  /** The feature nearest to a place, no farther than `reach` away; -1: there is none. */
  nearest(x, y, reach) {
    const { starts, order } = this.#index();
    const cell = (share) => Math.min(CELLS - 1, Math.max(0, Math.floor(share * CELLS)));
    let [best, least] = [-1, (reach * GRID) ** 2];
    for (let row = cell(y - reach); row <= cell(y + reach); row += 1) {
      const first = starts[row * CELLS + cell(x - reach)];
      const end = starts[row * CELLS + cell(x + reach) + 1];
      for (let n = first; n < end; n += 1) {
        const index = order[n];
        const away = (this.places[2 * index] - x * GRID) ** 2 + (this.places[2 * index + 1] - y * GRID) ** 2;
        if (away <= least && this.levels[index] !== HIDDEN) [best, least] = [index, away];
      }
    }
    return best;
  }

  /** The features by cell, sorted by counting, once: `order` from `starts[cell]` on. */
  #index() {
    if (this.#cells) return this.#cells;
    const { places, count } = this;
    const starts = new Uint32Array(CELLS * CELLS + 1);
    const cells = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) {
      const [x, y] = [places[2 * index], places[2 * index + 1]];
      cells[index] = x > GRID ? CELLS * CELLS : (y >> SHIFT) * CELLS + (x >> SHIFT);
      if (x <= GRID) starts[cells[index] + 1] += 1;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell += 1) starts[cell + 1] += starts[cell];
    const order = new Uint32Array(starts[CELLS * CELLS]);
    const next = starts.slice();
    for (let index = 0; index < count; index += 1) {
      if (cells[index] < CELLS * CELLS) order[next[cells[index]]++] = index;
    }
    this.#cells = { starts, order };
    return this.#cells;
  }
}
