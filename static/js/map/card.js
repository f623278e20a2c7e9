// What the feature under the pointer is: asked for when the pointer rests, and only the last one.

const DELAY = 70;

export class Card {
  #box;
  #from;
  #known = new Map();
  #shown = -1;
  #timer = 0;
  #asking = new AbortController();

  /** `box`: where it stands; `from`: `card`, the address that is asked. */
  constructor(box, from) {
    this.#box = box;
    this.#from = from;
  }

  show(index, event) {
    if (index === this.#shown) return;
    this.hide();
    this.#shown = index;
    const field = this.#box.parentElement.getBoundingClientRect();
    const [left, top] = [event.clientX - field.left, event.clientY - field.top];
    this.#timer = setTimeout(() => this.#ask(index, left, top), this.#known.has(index) ? 0 : DELAY);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#shown = -1;
    this.#box.hidden = true;
  }

  async #ask(index, left, top) {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    try {
      if (!this.#known.has(index)) {
        const options = { headers: { "HX-Request": "true" }, signal };
        const answer = await fetch(`${this.#from.card}?feature=${index}`, options);
        if (!answer.ok) return;
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        this.#known.set(index, [...parsed.body.childNodes]);
      }
    } catch {
      return; // another one is pointed at, or the server is gone: the next one tells
    }
    if (signal.aborted || this.#shown !== index) return;
    this.#box.replaceChildren(...this.#known.get(index));
    this.#box.dataset.feature = index;
    this.#box.hidden = false;
    this.#place(left, top);
  }

  /** Beside the pointer, inside the window. */
  #place(left, top) {
    const field = this.#box.parentElement.getBoundingClientRect();
    const box = this.#box.getBoundingClientRect();
    const right = Math.min(field.width, document.documentElement.clientWidth - field.left - 4);
    this.#box.style.left = `${Math.max(4 - field.left, Math.min(left + 14, right - box.width))}px`;
    const below = top + 14 + box.height < field.height;
    this.#box.style.top = `${below ? top + 14 : Math.max(4, top - 14 - box.height)}px`;
  }
}
