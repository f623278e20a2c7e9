// The turns of the conversation: shown, edited, kept in this tab until it is closed.
import { byId, element, featurePage, figure, page } from "../dom.js";

const KEY = `chat ${page.dataset.chat}`;
const list = byId("turns");

function stored() {
  try {
    const turns = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    // An empty role is a turn, too: it is being edited.
    return turns.filter(({ role, content }) => typeof role === "string" && typeof content === "string");
  } catch {
    return []; // a browser that keeps nothing
  }
}

/** The turns as the interface takes them. */
export const turns = () =>
  [...list.children].map((item) => ({
    role: item.querySelector("[name=role]").value.trim(),
    content: item.querySelector("[name=content]").value,
  }));

export function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(turns()));
  } catch {
    // It is more than the browser keeps: the page goes on, and a reload loses it.
  }
}

/** Says to those who listen that the conversation is another; `answer`: it is to be answered. */
function tell(answer) {
  keep();
  page.dispatchEvent(new CustomEvent("chat:turns", { detail: { answer } }));
}

function draw({ role, content }) {
  const item = byId("turn").content.firstElementChild.cloneNode(true);
  item.querySelector("[name=role]").value = role;
  item.querySelector("[name=content]").value = content;
  return item;
}

function number() {
  [...list.children].forEach((item, at) => {
    item.querySelector("[name=role]").setAttribute("aria-label", `role of turn ${at + 1}`);
    item.querySelector("[name=content]").setAttribute("aria-label", `turn ${at + 1}`);
    item.querySelector("[data-do=remove]").setAttribute("aria-label", `remove turn ${at + 1}`);
  });
}

/** Another conversation in the place of this one. */
export function replace(all, answer = false) {
  list.replaceChildren(...all.map(draw));
  number();
  tell(answer);
}

/** One more turn at the end, or first of all. */
export function add(turn, first = false) {
  list[first ? "prepend" : "append"](draw(turn));
  number();
  keep();
}

/** Says a turn otherwise, and answers what comes of it. */
export function reword(at, content) {
  const item = list.children[at];
  if (!item) return;
  item.querySelector("[name=content]").value = content;
  again(at);
}

/** Forgets what comes after a turn, and the turn too where it is an answer; answers anew. */
function again(at) {
  const all = turns();
  replace(all.slice(0, all[at].role === "assistant" ? at : at + 1), true);
}

/** Shows beside each turn the levels of the traits; `levels`: trait by trait, turn by turn. */
export function showLevels(traits) {
  [...list.children].forEach((item, at) => {
    item.querySelector(".levels").textContent = traits
      .filter((trait) => (trait.turns[at] ?? null) !== null)
      .map((trait) => `${trait.title} ${figure(trait.turns[at])}`)
      .join(" · ");
  });
}

/** Shows below each turn the features that are most active in it, as links. */
export function showFeatures(strongest) {
  [...list.children].forEach((item, at) => {
    const links = (strongest[at] ?? []).map(({ dictionary, name, activation }) => {
      const link = element("a", `${name.index} ${name.label || name.raised.join(" ")}`);
      link.href = featurePage(dictionary, name.index);
      link.title = `at most ${figure(activation)} in this turn`;
      return [link, " · "];
    });
    item.querySelector(".fires").replaceChildren(...links.flat().slice(0, -1));
  });
}

export function focusOn(at) {
  list.children[at]?.querySelector("[name=content]").focus();
}

export function start() {
  list.replaceChildren(...stored().map(draw));
  number();
  list.addEventListener("input", keep);
  list.addEventListener("change", () => tell(false));
  list.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    again([...list.children].indexOf(event.target.closest(".turn")));
  });
  list.addEventListener("click", (event) => {
    const deed = event.target.closest("[data-do]")?.dataset.do;
    const at = [...list.children].indexOf(event.target.closest(".turn"));
    if (deed === "again") again(at);
    if (deed === "remove") {
      list.children[at].remove();
      number();
      tell(false);
      (list.children[Math.min(at, list.children.length - 1)]?.querySelector("textarea") ?? byId("said")).focus();
    }
  });
}
