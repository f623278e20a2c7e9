// What stands beside the picture: the chosen node, pins and groups, and the table, as the server writes them.

const SOON = 250; // milliseconds after which the table follows the slider

async function part(address, signal, options = {}) {
  const answer = await fetch(address, { ...options, headers: { "HX-Request": "true", ...options.headers }, signal });
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok) throw new Error(parsed.querySelector(".problem, .message p, p")?.textContent ?? answer.statusText);
  return parsed.body;
}

export class Panel {
  #page;
  #say;
  #kept;
  #asking = new AbortController();
  #following = new AbortController();
  #later = 0;

  /** `page`: the graph's address; `say`: is told what goes wrong; `kept`: which nodes the table has. */
  constructor(page, say, kept) {
    this.#page = page;
    this.#say = say;
    this.#kept = kept;
  }

  #replace(id, body) {
    const made = body.querySelector(`#${id}`);
    if (made) document.getElementById(id).replaceWith(document.adoptNode(made));
  }

  /** What is done beside the picture: `choose` and `point` are told nodes, `mark` the fields of a form. */
  listen({ choose, point, mark }) {
    const linked = (event) => event.target.closest?.("main a[data-to]");
    document.addEventListener("click", (event) => {
      const asked = event.target.closest?.("[data-check]");
      if (asked && !this.#waits() && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        asked.textContent = "taking it out …";
        this.node(asked.dataset.check, true);
        return;
      }
      const link = linked(event);
      if (!link || this.#waits() || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose(Number(link.dataset.to));
    });
    for (const kind of ["pointerover", "focusin"]) {
      document.addEventListener(kind, (event) => {
        if (this.#waits() || event.target.closest?.("canvas")) return;
        point(Number(linked(event)?.dataset.to ?? -1));
      });
    }
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form[data-marks]") || this.#waits()) return;
      event.preventDefault();
      mark(Object.fromEntries(new FormData(event.target, event.submitter)));
    });
  }

  /** Until the picture is there, links and forms are the page's own. */
  #waits = () => !document.querySelector("#graph[data-ready]");

  /** The card of a node; `check`: with what the real model does without it, which takes a moment. */
  async node(node, check = false) {
    this.#asking.abort();
    this.#asking = new AbortController();
    if (check) document.getElementById("graph-node").setAttribute("aria-busy", "true");
    try {
      this.#replace("graph-node", await part(`${this.#page}/node/${node}${check ? "?check=1" : ""}`, this.#asking.signal));
    } catch (error) {
      if (error.name !== "AbortError") this.#say(`The node could not be read: ${error.message}`);
    }
  }

  /** The table of what is in view, soon. */
  table(share) {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#table(share), SOON);
  }

  async #table(share) {
    this.#following.abort();
    this.#following = new AbortController();
    try {
      this.#replace("graph-table", await part(`${this.#page}/table?share=${share}`, this.#following.signal));
      this.#kept(Panel.kept());
    } catch (error) {
      if (error.name !== "AbortError") this.#say(`The table could not be read: ${error.message}`);
    }
  }

  /** Send a form of pins and groups; what they are afterwards, or null. */
  async send(fields) {
    try {
      const body = await part(this.#page, undefined, { method: "POST", body: new URLSearchParams(fields) });
      if (!body.querySelector("#graph-marks")) throw new Error("the server did not keep it");
      this.#replace("graph-marks", body);
      return Panel.marks();
    } catch (error) {
      this.#say(`That was not kept: ${error.message}`);
      return null;
    }
  }

  /** All nodes of the table, those of its other pages included. */
  static kept() {
    return document.getElementById("graph-table").dataset.kept.split(",").map(Number);
  }

  /** The pins and groups on the page. */
  static marks() {
    const { pinned, groups } = document.getElementById("graph-marks").dataset;
    return { pinned: new Set(pinned ? pinned.split(",").map(Number) : []), groups: JSON.parse(groups) };
  }
}
