// What contexts say of a token: what fires there, what ablation changes, which predictions move.
import { position, tokens } from "../contexts.js";
import { SPACE } from "../marks.js";
import { element, explain, fact, MINUS, visible } from "../tooltip.js";

const details = new Map();

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
  const list = element("dl");
  fact(list, "activation", activation(token) || "0: does not fire");
  const nats = change(token);
  if (nats) fact(list, "Δloss if ablated", `${nats} nats`);
  else if ("e" in context.dataset) fact(list, "Δloss if ablated", "exactly 0");
  const source = element("p", `token ${position(token)}, ${context.dataset.s}`, "quiet");
  return [element("div", visible(token), "token"), list, source];
}

/** The predictions that ablation moves most at a position; null: none. */
export function predictions(effect, at) {
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
        element("td", one ? one.text.replaceAll(" ", SPACE) : ""),
        element("td", one ? signed(one.change) : ""),
      );
    }
    table.append(line);
  }
  return table;
}

async function more(token) {
  if (!change(token)) return null;
  const answer = await contextDetails(token.closest("li"));
  return answer?.effect ? predictions(answer.effect, position(token)) : null;
}

explain(".contexts bdi", describe, more);
