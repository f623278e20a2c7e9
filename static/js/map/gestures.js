// Moving over the map by pointer, wheel and keyboard, and drawing a lasso.

const [NARROWEST, WIDEST] = [0.0005, 1.5];
const FAR = 4; // pixels that a click may move
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BETWEEN = 5; // pixels between two corners of a lasso

export const WHOLE = Object.freeze({ x: 0.5, y: 0.5, width: 1 });

/** The view after zooming by a factor, with the place at (x, y), in shares of the canvas, kept. */
export function zoomed(view, factor, x = 0.5, y = 0.5) {
  const width = Math.min(WIDEST, Math.max(NARROWEST, view.width * factor));
  const change = view.width - width;
  return within({ x: view.x + (x - 0.5) * change, y: view.y + (y - 0.5) * change, width });
}

/** The view with its middle on the map. */
const within = (view) => ({ ...view, x: Math.min(1, Math.max(0, view.x)), y: Math.min(1, Math.max(0, view.y)) });

export class Gestures {
  #canvas;
  #on;
  #pointers = new Map();
  #moved = false;
  #corners = null;
  lasso = false; // whether the next drag draws

  /** `on`: what is told: view(), moved(view), hover(place, event), pick(place, event), choose(), draw(corners), drawn(corners). */
  constructor(canvas, on) {
    this.#canvas = canvas;
    this.#on = on;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#drop(event));
    canvas.addEventListener("pointerleave", () => !this.#pointers.size && on.hover(null));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Where an event lies: on the canvas in shares of it, and on the map. */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    const [left, top] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const view = this.#on.view();
    return {
      left, top, pixel: view.width / box.width,
      x: view.x + (left - 0.5) * view.width, y: view.y + (top - 0.5) * view.width,
    };
  }

  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    if (this.#pointers.size > 1) this.#corners = null;
    else {
      this.#moved = false;
      this.#corners = this.lasso || event.shiftKey ? [this.#place(event)] : null;
    }
    this.#on.hover(null);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#on.hover(this.#place(event), event);
      return;
    }
    const here = this.#place(event);
    const was = this.#place(before);
    if (this.#corners) {
      const last = this.#corners.at(-1);
      if (Math.hypot(here.x - last.x, here.y - last.y) < BETWEEN * here.pixel) return;
      this.#moved = true;
      this.#corners.push(here);
      this.#on.draw(this.#corners);
      return;
    }
    if (!this.#moved && Math.hypot(here.x - was.x, here.y - was.y) < FAR * here.pixel) return;
    this.#moved = true;
    this.#pointers.set(event.pointerId, event);
    const view = this.#on.view();
    const other = [...this.#pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    if (!other) {
      this.#on.moved(within({ ...view, x: view.x - (here.x - was.x), y: view.y - (here.y - was.y) }));
      return;
    }
    const fixed = this.#place(other);
    const apart = (one) => Math.max(1e-6, Math.hypot(one.left - fixed.left, one.top - fixed.top));
    this.#on.moved(zoomed(view, apart(was) / apart(here), fixed.left, fixed.top));
  }

  #up(event) {
    if (!this.#pointers.has(event.pointerId)) return;
    const [alone, corners] = [this.#pointers.size === 1, this.#corners];
    this.#drop(event);
    if (!alone) return;
    if (corners) this.#on.drawn(corners);
    else if (!this.#moved) this.#on.pick(this.#place(event), event);
  }

  #drop(event) {
    this.#pointers.delete(event.pointerId);
    this.#corners = null;
  }

  #wheel(event) {
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    const view = this.#on.view();
    const { left, top } = this.#place(event);
    const next = zoomed(view, Math.exp(0.002 * Math.max(-400, Math.min(400, pixels))), left, top);
    if (next.width === view.width) return; // at the end: the page scrolls
    event.preventDefault();
    this.#on.moved(next);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const view = this.#on.view();
    const way = KEYS[event.key];
    if (way) this.#on.moved(within({ ...view, x: view.x + (way[0] * view.width) / 8, y: view.y + (way[1] * view.width) / 8 }));
    else if (event.key === "+" || event.key === "=") this.#on.moved(zoomed(view, 0.7));
    else if (event.key === "-" || event.key === "−") this.#on.moved(zoomed(view, 1 / 0.7));
    else if (event.key === "0") this.#on.moved({ ...WHOLE });
    else if (event.key === "Enter") this.#on.choose();
    else if (event.key === "Escape") this.#on.hover(null);
    else return;
    event.preventDefault();
  }
}
