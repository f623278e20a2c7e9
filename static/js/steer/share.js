// Taking the page elsewhere: its address, and a program that gives the same.
import { copy } from "../share/clipboard.js";
import { byId, page } from "./dom.js";
import { address, restorable } from "./state.js";

const COPIED_MS = 1200;

async function copyProgram(event) {
  const link = byId("copy-python");
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const answer = await fetch(link.href, { headers: { Accept: "text/plain" } }).catch(() => null);
  if (!answer?.ok || !(await copy(await answer.text()))) return;
  link.classList.add("copied");
  setTimeout(() => link.classList.remove("copied"), COPIED_MS);
}

/** The page has changed: so has what is copied. */
export function follow() {
  const here = address();
  byId("copy-link").dataset.copy = JSON.stringify(new URL(here, location).href);
  byId("copy-link").disabled = !restorable();
  byId("copy-python").href = here.replace(page.dataset.page, `${page.dataset.page}/python`);
}

export function start() {
  byId("copy-python").addEventListener("click", copyProgram);
  follow();
}
