// The conversation token by token, and the levels of traits: read anew with every answer.
import { withSigns } from "../../marks.js";
import { byId, element, figure, marked, page } from "../dom.js";
import { answer, complete, panes } from "./answers.js";
import { ask, offer } from "./dom.js";
import { traits } from "./state.js";
import { showLevels, turns } from "./turns.js";

const NS = "http://www.w3.org/2000/svg";
const PARTS = { special: "control token", template: "put there by the template" };
const DARKEST = 70; // per cent of the shade
const written = byId("conversation").querySelector(".written");

let current = { question: [], unsteered: null, steered: null };
let asking = null;

const withAnswer = (pane) => [...turns(), { role: "assistant", content: answer(panes[pane]) }];

/** Each kind of answer, and the conversation with it. */
function conversations() {
  if (!complete()) return { unsteered: turns(), steered: turns() };
  return { unsteered: withAnswer("unsteered"), steered: withAnswer("steered") };
}

/** Reads the conversation with both answers; what was read before stays until then. */
export async function refresh() {
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  if (!turns().length) return show({ unsteered: null, steered: null });
  const all = conversations();
  byId("conversation").setAttribute("aria-busy", "true");
  const rest = { dictionary: byId("watched").value, traits: traits() };
  const same = JSON.stringify(all.unsteered) === JSON.stringify(all.steered);
  try {
    const unsteered = await ask("reading", { turns: all.unsteered, ...rest }, mine.signal);
    const steered = same ? unsteered : await ask("reading", { turns: all.steered, ...rest }, mine.signal);
    if (asking === mine) show({ unsteered, steered });
  } catch (error) {
    if (asking === mine) written.textContent = error.message;
  }
  if (asking === mine) byId("conversation").setAttribute("aria-busy", "false");
}

function show(readings) {
  current = readings;
  const { steered } = readings;
  byId("levels").hidden = !steered?.traits.length;
  showLevels(steered?.traits ?? []);
  offer(byId("shade"), [
    ["", "nothing"],
    ...(steered?.traits ?? []).map((trait, at) => [`t${at}`, trait.title]),
    ["f", "strongest feature"],
  ]);
  drawLevels();
  drawTokens();
  page.dispatchEvent(new CustomEvent("chat:read", { detail: readings }));
}

/** The line of a trait over the tokens that are said. */
function spark(reading, at) {
  const levels = reading.tokens.filter((token) => token.part === "content").map((token) => token.traits[at]);
  const most = Math.max(...levels, 1e-9);
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 100 16");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `over ${levels.length} tokens, at most ${figure(Math.max(...levels, 0))}`);
  const path = document.createElementNS(NS, "path");
  const step = 100 / Math.max(1, levels.length - 1);
  path.setAttribute("d", levels.map((level, x) => `${x ? "L" : "M"}${(x * step).toFixed(1)} ${(15 - (14 * level) / most).toFixed(1)}`).join(""));
  svg.append(path);
  return svg;
}

function cell(tag, content, className = "") {
  const made = element(tag, "", className);
  made.append(content);
  if (tag === "th") made.scope = "col";
  return made;
}

function drawLevels() {
  const { unsteered, steered } = current;
  if (!steered?.traits.length) return;
  const before = turns();
  const answered = steered.traits[0].turns.length > before.length;
  const head = element("tr");
  head.append(cell("th", "trait"));
  before.forEach((turn, at) => head.append(cell("th", `${at + 1} ${turn.role}`, "n")));
  if (answered) head.append(cell("th", "unsteered answer", "n"), cell("th", "steered answer", "n"));
  head.append(cell("th", "token by token, steered"));
  byId("levels").querySelector("thead").replaceChildren(head);
  byId("levels").querySelector("tbody").replaceChildren(...steered.traits.map((trait, at) => {
    const row = element("tr");
    const link = element("a", trait.title);
    link.href = `/lists/${encodeURIComponent(trait.name)}`;
    const name = cell("th", link);
    name.scope = "row";
    const counts = `${trait.features} feature${trait.features === 1 ? "" : "s"}`;
    name.append(element("small", trait.left_out ? `${counts}, ${trait.left_out} left out` : counts));
    row.append(name);
    const level = (value) => row.append(cell("td", value === null ? "–" : figure(value), "n"));
    before.forEach((_, turn) => level(trait.turns[turn]));
    if (answered) {
      level(unsteered.traits[at].turns.at(-1));
      level(trait.turns.at(-1));
    }
    row.append(cell("td", spark(steered, at)));
    return row;
  }));
}

const reading = () => current[byId("which").value];

/** How strongly a token is shaded, from 0 to 1. */
function shades(tokens) {
  const by = byId("shade").value;
  const level = (token) => (by === "f" ? token.activations[0] ?? 0 : token.traits[Number(by.slice(1))] ?? 0);
  const levels = tokens.map((token) => (by ? level(token) : 0));
  const most = Math.max(...levels, 1e-9);
  return levels.map((value) => value / most);
}

function drawTokens() {
  const now = reading();
  if (!now) return written.replaceChildren();
  const shade = shades(now.tokens);
  written.replaceChildren(...now.tokens.map((token, at) => {
    const made = element("bdi", "", token.part === "content" ? "" : `part-${token.part}`);
    made.append(...marked(withSigns(token.text.replaceAll("␣", " ")), true));
    made.tabIndex = at ? -1 : 0;
    if (PARTS[token.part]) made.title = PARTS[token.part];
    if (shade[at] > 0.02) {
      const share = Math.round(DARKEST * shade[at]);
      made.style.setProperty("background-color", `color-mix(in srgb, var(--orange) ${share}%, transparent)`);
    }
    return made;
  }));
}

/** What the box of a token says of it. */
export const tokens = {
  written,
  facts(bdi) {
    const at = [...written.children].indexOf(bdi);
    const now = reading();
    const token = now?.tokens[at];
    if (!token) return null;
    const names = new Map(now.names.map((name) => [name.index, name]));
    return {
      event: { shown: token.text, token: token.id, step: at },
      probabilities: {},
      change: null,
      dictionary: now.dictionary,
      features: token.features.map((index, place) => ({
        name: names.get(index) ?? { index, label: "", raised: [] },
        activation: token.activations[place],
      })),
    };
  },
};

export function start() {
  for (const id of ["which", "shade"]) byId(id).addEventListener("change", drawTokens);
  byId("watched").addEventListener("change", refresh);
}
