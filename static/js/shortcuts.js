// Keyboard shortcuts: each presses a link that is on the page anyway, named by a data-key attribute.

const LINKS = {
  j: "[data-key-next]", n: "[data-key-next]",
  k: "[data-key-previous]", p: "[data-key-previous]",
  r: "[data-key-random]", w: "[data-key-width]", b: "[data-key-newlines]",
  l: "[data-key-label]", s: "[data-key-star]",
};
const AFTER_G = {
  t: "[data-key-table]", h: ".brand", p: "[data-key-prompt]", s: "[data-key-steer]", l: "[data-key-lists]",
};
const G_SECONDS = 1.5;

let gPressed = -Infinity;

// A letter means nothing to a button among several.
const typing = (element) =>
  element.closest("input:not([type=radio]), textarea, select, [contenteditable]") !== null;

const press = (selector) => document.querySelector(selector)?.click();

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.isComposing || !(event.target instanceof Element)) return;
  const dialog = document.getElementById("shortcuts");
  if (event.key === "Escape" && typing(event.target)) event.target.blur();
  if (typing(event.target) || dialog?.open) return;

  const afterG = event.timeStamp - gPressed < G_SECONDS * 1000;
  gPressed = event.key === "g" ? event.timeStamp : -Infinity;
  if (event.key === "?") dialog?.showModal();
  else if (event.key === "/") document.getElementById("search")?.select();
  else if (afterG && AFTER_G[event.key]) press(AFTER_G[event.key]);
  else if (LINKS[event.key]) press(LINKS[event.key]);
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest?.("button.help")) document.getElementById("shortcuts")?.showModal();
});

// The search box: arrow keys walk from the box through what fits, Escape closes it.
document.addEventListener("keydown", (event) => {
  const box = document.getElementById("search");
  if (!box || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const links = [...document.querySelectorAll("form.search a, #results a.hit")];
  const at = links.indexOf(document.activeElement);
  if (document.activeElement !== box && at < 0) return;
  if (event.key === "ArrowDown" && links.length) links[Math.min(at + 1, links.length - 1)].focus();
  else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? box).focus();
  else if (event.key === "Escape") {
    document.getElementById("matches")?.replaceChildren();
    if (at >= 0) box.focus();
  } else return;
  event.preventDefault();
});
