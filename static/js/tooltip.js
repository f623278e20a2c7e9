// One tooltip for tokens of every kind, on hover and on focus.
import { NEWLINE, SPACE } from "./marks.js";

export const MINUS = "−";
const DELAY = 60;

/** A new element with text and class. */
export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** One more name and value in a list of them. */
export function fact(list, name, value) {
  list.append(element("dt", name), element("dd", value));
}

/** A token's text as it is shown, with nothing invisible in it. */
export const visible = (token) => token.textContent.replaceAll(`${NEWLINE}\n`, NEWLINE).replaceAll(" ", SPACE);

const tooltip = element("div");
tooltip.id = "tooltip";
tooltip.setAttribute("role", "tooltip");
tooltip.hidden = true;
document.querySelector("main").append(tooltip);

const kinds = [];
let shown = null;
let timer = 0;

/**
 * Explains the tokens that a selector finds. `describe` gives what is known at once, as elements;
 * `more`, if there is any, a promise of one more element or null. `applies` may leave some out.
 */
export function explain(selector, describe, more = null, applies = () => true) {
  kinds.push({ selector, describe, more, applies });
}

const kindOf = (token) => kinds.find(({ selector, applies }) => token.matches(selector) && applies(token));

function tokenOf(target) {
  const token = target?.closest?.(kinds.map(({ selector }) => selector).join()) ?? null;
  return token && kindOf(token) ? token : null;
}

function place(token) {
  const at = token.getBoundingClientRect();
  const box = tooltip.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8));
  const below = at.bottom + 8;
  const fits = below + box.height < innerHeight - 4;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${fits ? below : Math.max(4, at.top - box.height - 8)}px`;
}

async function show(token) {
  hide();
  shown = token;
  token.setAttribute("aria-describedby", "tooltip");
  const { describe, more } = kindOf(token);
  tooltip.replaceChildren(...describe(token));
  tooltip.hidden = false;
  place(token);
  const added = await more?.(token);
  if (shown !== token || !added) return;
  tooltip.append(added);
  place(token);
}

function hide() {
  clearTimeout(timer);
  shown?.removeAttribute("aria-describedby");
  shown = null;
  tooltip.hidden = true;
}

document.addEventListener("pointerover", (event) => {
  const token = tokenOf(event.target);
  if (!token || token === shown) return;
  clearTimeout(timer);
  timer = setTimeout(() => show(token), tooltip.hidden ? DELAY : 0);
});

document.addEventListener("pointerout", (event) => {
  const token = tokenOf(event.target);
  if (!token || tokenOf(event.relatedTarget)) return;
  hide();
  const focused = tokenOf(document.activeElement);
  if (focused) show(focused);
});

document.addEventListener("focusin", (event) => {
  const token = tokenOf(event.target);
  if (token) show(token);
  else hide();
});
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
});
// What is explained may be replaced under the pointer.
document.addEventListener("htmx:after:swap", () => shown && !shown.isConnected && hide());
addEventListener("scroll", () => shown && (shown.isConnected ? place(shown) : hide()), {
  passive: true,
  capture: true,
});
