// Rows of features: hovering or focusing one tints the strip where it fires; a click chooses it.
import { tokensOf } from "./strip.js";

const BAR = /M(\d+) 16v-(\d+)/g;
const KEPT = ["here", "aim", "next"];

let tinted = [];

function untint() {
  for (const [token, before] of tinted) {
    if (before) token.className = before;
    else token.removeAttribute("class");
  }
  tinted = [];
  document.querySelector(".stage")?.classList.remove("previewing");
}

/** Shows where a row's feature fires, as its small picture has it. */
function tint(button) {
  untint();
  const strip = document.querySelector(".stage .choosable");
  if (!strip) return;
  const tokens = tokensOf(strip);
  document.querySelector(".stage").classList.add("previewing");
  for (const [, position, level] of button.querySelector("path").getAttribute("d").matchAll(BAR)) {
    const token = tokens[Number(position)];
    if (!token) continue;
    const kept = KEPT.filter((name) => token.classList.contains(name));
    tinted.push([token, token.className]);
    token.className = [`a${level}`, "tinted", ...kept].join(" ");
  }
}

const buttonOf = (target) => target?.closest?.(".features tbody tr")?.querySelector(".where") ?? null;

document.addEventListener("pointerover", (event) => {
  const button = buttonOf(event.target);
  if (button && event.pointerType !== "touch") tint(button);
});
document.addEventListener("pointerout", (event) => {
  if (buttonOf(event.target) && buttonOf(event.target) !== buttonOf(event.relatedTarget)) untint();
});
document.addEventListener("focusin", (event) => {
  const button = event.target.closest?.(".where");
  if (button) tint(button);
});
document.addEventListener("focusout", untint);
document.addEventListener("htmx:before:swap", untint);
document.addEventListener("htmx:after:swap", () => {
  const button = document.querySelector(".where:focus, .features tbody tr:hover .where");
  if (button) tint(button);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("a, button, input, label") || !getSelection().isCollapsed) return;
  buttonOf(event.target)?.click();
});
