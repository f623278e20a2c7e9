// What a click asked for comes into view, is focused where the click's place went, and is announced.

// What the address says of a panel, in the order of what a reader waits for.
const PANELS = [
  [["a"], "#joints"],
  [["why", "with"], "#reasons"],
  [["target", "instead"], "#responsible"],
  [["token"], "#the-token"],
  [["feature"], "#the-feature"],
];
const AIR = 8; // pixels between a panel and what is beside it

const query = () => new URLSearchParams(location.search);

let shown = query();

/** The height on top that the strip of tokens covers while everything else scrolls below it. */
function covered() {
  const stage = document.querySelector(".stage");
  if (!stage || getComputedStyle(stage).position !== "sticky") return 0;
  const beside = document.querySelector(".panels").offsetLeft >= stage.offsetLeft + stage.offsetWidth;
  return beside ? 0 : stage.offsetHeight;
}

/** The height below that the bar of checked features covers, unless the panel is in it. */
function coveredBelow(panel) {
  const bar = document.getElementById("checked");
  return bar && !bar.contains(panel) ? bar.offsetHeight : 0;
}

/** Scrolls as little as possible, and not at all where all of a panel is in view. */
function reveal(panel) {
  const { top, bottom } = panel.getBoundingClientRect();
  const above = top - covered() - AIR;
  const below = bottom + AIR - innerHeight + coveredBelow(panel);
  if (above < 0) scrollBy(0, above);
  else if (below > 0) scrollBy(0, Math.min(above, below));
}

/** Whether the element that has the focus can be seen. */
function focusIsSeen() {
  const focused = document.activeElement;
  if (!focused || focused === document.body) return false;
  if (focused.closest(".stage")) return true;
  const { top, bottom } = focused.getBoundingClientRect();
  return top >= covered() && bottom <= innerHeight - coveredBelow(focused);
}

document.addEventListener("htmx:after:swap", (event) => {
  const [before, after] = [shown, query()];
  shown = after;
  if (event.detail?.ctx?.sourceElement?.closest?.("#ask")) return; // typing stays where one types
  const changed = (name) => after.has(name) && `${after.getAll(name)}` !== `${before.getAll(name)}`;
  const panel = PANELS.filter(([names]) => names.some(changed))
    .map(([, selector]) => document.querySelector(selector))
    .find(Boolean);
  if (!panel) return;
  reveal(panel);
  if (!focusIsSeen()) panel.focus({ preventScroll: true });
  const said = panel.querySelector("h2") ?? panel;
  document.getElementById("announced").textContent = said.innerText.replace(/\s+/g, " ").trim();
});
