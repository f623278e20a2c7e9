// The table beside the map: what the address says, asked for anew when that has changed.

const LISTED = 350; // milliseconds after which it follows a map that moved

export class Table {
  #later = 0;
  #asking = new AbortController();
  #address;
  #read;
  #say;

  /** `address`: what it shows, as a function; `read` is called when it has come, `say` if it has not. */
  constructor(address, read, say) {
    this.#address = address;
    this.#read = read;
    this.#say = say;
  }

  get element() {
    return document.getElementById("beside");
  }

  /** `then` hears where the feature lies whose row is pointed at; null: none is. */
  onRow(then) {
    const tell = (event) => {
      const row = event.target.closest?.("#beside [data-x]");
      then(row ? { x: Number(row.dataset.x), y: Number(row.dataset.y) } : null);
    };
    for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, tell);
  }

  wait() {
    clearTimeout(this.#later);
  }

  askSoon() {
    this.wait();
    this.#later = setTimeout(() => this.ask(), LISTED);
  }

  async ask() {
    this.wait();
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.element.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(this.#address(), { headers: { "HX-Request": "true" }, signal });
      const text = await answer.text();
      if (!answer.ok) throw new Error(answer.statusText);
      const target = this.element;
      await window.htmx.swap({ target, sourceElement: target, swap: "outerMorph", text });
      this.#read();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.element.removeAttribute("aria-busy");
      this.#say("The table could not be read; move the map to try again.");
    }
  }
}
