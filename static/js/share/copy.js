// Copying gives real tokens: what the page shows as ␣ ⏎ ⇥ goes to the clipboard as itself.

import { copy } from "./clipboard.js";
import { meantBy } from "../marks.js";

const SHOWN_SECONDS = 1.2;

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  if (!(await copy(JSON.parse(button.dataset.copy)))) return;
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), SHOWN_SECONDS * 1000);
});

document.addEventListener("copy", (event) => {
  const selection = getSelection();
  const node = selection.anchorNode;
  const start = node instanceof Element ? node : node?.parentElement;
  if (selection.isCollapsed || !start?.closest(".contexts")) return;
  const copied = selection.getRangeAt(0).cloneContents();
  for (const mark of copied.querySelectorAll("i:not(.w, .h)")) {
    const meant = meantBy(mark.textContent);
    // In running text the line break itself follows its sign.
    if (meant) mark.textContent = meant === "\n" && mark.nextSibling?.data?.startsWith(meant) ? "" : meant;
  }
  event.clipboardData.setData("text/plain", copied.textContent);
  event.preventDefault();
});
