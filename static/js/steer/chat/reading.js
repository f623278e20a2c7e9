// The conversation token by token, and the levels of traits: read anew with every answer.
import { withSigns } from "../../marks.js";
import { byId, element, figure, marked, page } from "../dom.js";
import { answer, complete, panes } from "./answers.js";
import { ask, offer } from "./dom.js";
import { traits } from "./state.js";
import { showFeatures, showLevels, turns } from "./turns.js";

const NS = "http://www.w3.org/2000/svg";
const PARTS = { special: "control token", template: "put there by the template" };
const PER_TURN = 3; // features named below a turn
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
  showFeatures(steered ? strongest(steered) : []);
  offer(byId("shade"), [
    ["", "nothing"],
    ...(steered?.traits ?? []).map((trait, at) => [`t${at}`, trait.title]),
    ["f", "strongest feature"],
  ]);
  drawLevels();
  drawTokens();
  page.dispatchEvent(new CustomEvent("chat:read", { detail: readings }));
}

/** The features most active in each turn: those listed on its tokens, by their largest activation. */
function strongest(reading) {
  const names = new Map(reading.names.map((name) => [name.index, name]));
  return turns().map((_, turn) => {
    const most = new Map();
    for (const token of reading.tokens) {
      if (token.turn !== turn || token.part !== "content") continue;
      token.features.forEach((index, place) => {
        most.set(index, Math.max(most.get(index) ?? 0, token.activations[place]));
      });
    }
    return [...most].sort((a, b) => b[1] - a[1]).slice(0, PER_TURN).map(([index, activation]) =>
      ({ dictionary: reading.dictionary, name: names.get(index), activation }));
  });
}

/** The levels of a trait over what is said, the answer's as the steered model had them. */
function along(reading, trait, at) {
  const before = turns().length;
  const said = reading.tokens.filter((token) => token.part === "content");
  const steered = panes.steered.answer;
  const own = steered?.traits[steered.followed.indexOf(trait.name)];
  return [...said.filter((token) => !own || token.turn < before).map((token) => token.traits[at]), ...(own ?? [])];
}

/** Levels as a line. */
function spark(levels) {
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
  const { steered } = current;
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
      for (const pane of [panes.unsteered, panes.steered]) {
        level(pane.answer?.levels[pane.answer.followed.indexOf(trait.name)] ?? null);
      }
    }
    row.append(cell("td", spark(along(steered, trait, at))));
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
