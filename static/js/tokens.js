// One tooltip for all tokens: what fires there, what ablation changes, which predictions move.
import { position, tokens } from "./contexts.js";

const DELAY = 60;
const MINUS = "−";

const tooltip = document.createElement("div");
tooltip.id = "tooltip";
tooltip.setAttribute("role", "tooltip");
tooltip.hidden = true;
document.querySelector("main").append(tooltip);

let shown = null;
let timer = 0;
const details = new Map();

const element = (tag, text = "", className = "") => {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const signed = (value) => `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(2)}`;

/** What the API says of the whole context; asked once, when first needed. */
function contextDetails(context) {
  const path = new URL(context.querySelector("a.v").href).pathname;
  if (!details.has(path)) {
    const asked = fetch(`/api/v1${path}`, { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : null))
      .catch(() => null)
      .then((answer) => {
        if (!answer?.effect) details.delete(path);
        return answer;
      });
    details.set(path, asked);
  }
  return details.get(path);
}

function fact(list, name, value) {
  list.append(element("dt", name), element("dd", value));
}

/** What fires at a token, as its context's own activation is written; empty: nothing. */
function activation(token) {
  const context = token.closest("li");
  const at = [...context.querySelectorAll("bdi[class^='a']")].indexOf(token);
  if (at < 0) return "";
  const digits = context.querySelector("a.v").textContent.split(".")[1]?.length ?? 0;
  return (context.dataset.a.split(",")[at] / 10 ** digits).toFixed(digits);
}

/** What ablation changes there; empty: nothing, or nothing known. */
function change(token) {
  const context = token.closest("li");
  return context.dataset.d?.split(",")[tokens(context).indexOf(token)] ?? "";
}

function describe(token) {
  const context = token.closest("li");
  const text = token.textContent.replace(/⏎\n/g, "⏎").replaceAll(" ", "␣");
  const list = element("dl");
  fact(list, "activation", activation(token) || "0: does not fire");
  const nats = change(token);
  if (nats) fact(list, "Δloss if ablated", `${nats} nats`);
  else if ("e" in context.dataset) fact(list, "Δloss if ablated", "exactly 0");
  const source = element("p", `token ${position(token)}, ${context.dataset.s}`, "quiet");
  tooltip.replaceChildren(element("div", text, "token"), list, source);
}

function predictions(effect, at) {
  const row = effect.positions.indexOf(at);
  if (row < 0) return null;
  const table = element("table");
  const head = element("tr");
  for (const title of ["ablation raises", "lowers"]) {
    const cell = element("th", title);
    cell.colSpan = 2;
    head.append(cell);
  }
  table.append(head);
  const raised = effect.raised[row];
  const lowered = effect.lowered[row];
  for (let i = 0; i < Math.max(raised.length, lowered.length); i++) {
    const line = element("tr");
    for (const one of [raised[i], lowered[i]]) {
      line.append(
        element("td", one ? one.text.replaceAll(" ", "␣") : ""),
        element("td", one ? signed(one.change) : ""),
      );
    }
    table.append(line);
  }
  return table;
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
  describe(token);
  tooltip.hidden = false;
  place(token);
  if (!change(token)) return;
  const answer = await contextDetails(token.closest("li"));
  if (shown !== token || !answer?.effect) return;
  const table = predictions(answer.effect, position(token));
  if (table) tooltip.append(table);
  place(token);
}

function hide() {
  clearTimeout(timer);
  shown?.removeAttribute("aria-describedby");
  shown = null;
  tooltip.hidden = true;
}

const tokenOf = (target) => target.closest?.(".contexts bdi") ?? null;

document.addEventListener("pointerover", (event) => {
  const token = tokenOf(event.target);
  if (!token || token === shown) return;
  clearTimeout(timer);
  timer = setTimeout(() => show(token), tooltip.hidden ? DELAY : 0);
});

document.addEventListener("pointerout", (event) => {
  const token = tokenOf(event.target);
  if (!token || tokenOf(event.relatedTarget ?? document.body)) return;
  hide();
  const focused = tokenOf(document.activeElement ?? document.body);
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
document.addEventListener("htmx:before:swap", hide);
addEventListener("scroll", () => shown && (shown.isConnected ? place(shown) : hide()), {
  passive: true,
  capture: true,
});
