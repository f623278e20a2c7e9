// Moving through contexts: one tab stop each, arrows inside, click or Enter to widen.

export const tokens = (context) => [...context.querySelectorAll("bdi")];
const strongest = (context) => context?.querySelector(".p") ?? null;

function focusToken(token) {
  if (!token) return;
  const context = token.closest("li");
  for (const other of context.querySelectorAll("bdi[tabindex='0']")) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus();
}

function otherContext(context, step) {
  const all = [...document.querySelectorAll(".contexts > li")];
  return all[all.indexOf(context) + step];
}

document.addEventListener("keydown", (event) => {
  const token = event.target.closest?.(".contexts bdi");
  if (!token || event.ctrlKey || event.metaKey || event.altKey) return;
  const context = token.closest("li");
  const row = tokens(context);
  const at = row.indexOf(token);
  const moves = {
    ArrowLeft: () => focusToken(row[Math.max(0, at - 1)]),
    ArrowRight: () => focusToken(row[Math.min(row.length - 1, at + 1)]),
    Home: () => focusToken(row[0]),
    End: () => focusToken(row.at(-1)),
    ArrowUp: () => focusToken(strongest(otherContext(context, -1))),
    ArrowDown: () => focusToken(strongest(otherContext(context, 1))),
    Enter: () => context.querySelector("a.v").click(),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
});

// A strip that was scrolled to show a focused token goes back to its strongest one.
document.addEventListener("focusout", (event) => {
  const strip = event.target.closest?.(".contexts p");
  if (strip && !strip.contains(event.relatedTarget)) strip.scrollLeft = 0;
});

document.addEventListener("click", (event) => {
  const context = event.target.closest?.(".contexts > li");
  if (!context || event.target.closest("a") || !getSelection().isCollapsed) return;
  context.querySelector("a.v").click();
});

// Underlines replace a whole group: what was focused or widened in it meanwhile stays so.
const kept = new Map();

document.addEventListener("htmx:before:swap", (event) => {
  const target = swapTarget(event);
  if (!target?.matches(".group, .contexts > li")) return;
  const active = document.activeElement?.closest?.(".contexts bdi, .contexts a.v");
  const inside = active && target.contains(active) ? active : null;
  kept.set(target.id, {
    context: inside?.closest("li").id,
    position: inside?.matches("bdi") ? position(inside) : null,
    widened: target.matches(".group")
      ? [...target.querySelectorAll("li.full")].map((context) => context.id)
      : [],
  });
});

document.addEventListener("htmx:after:swap", (event) => {
  const target = document.getElementById(swapTarget(event)?.id);
  const before = kept.get(target?.id);
  if (!before) return;
  kept.delete(target.id);
  for (const id of before.widened) {
    document.querySelector(`#${id}:not(.full) > a.v`)?.click();
  }
  const context = before.context && document.getElementById(before.context);
  if (!context) return;
  if (before.position === null) context.querySelector("a.v").focus();
  else focusToken(tokens(context).find((token) => position(token) === before.position));
});

function swapTarget(event) {
  const target = event.detail?.ctx?.target;
  return typeof target === "string" ? document.querySelector(target) : target;
}

/** Position of a token in its window. */
export function position(token) {
  const context = token.closest("li");
  return Number(context.dataset.p) + tokens(context).indexOf(token);
}
