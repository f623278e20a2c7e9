// Adjusting a cue: the words that make a feature fire, and rewordings, each applied with one click.
import { withSigns } from "../../marks.js";
import { byId, element, figure, marked } from "../dom.js";
import { ask, offer, trying } from "./dom.js";
import { focusOn, reword, turns } from "./turns.js";

const MOST_OFFERED = 60;
const ANSWERED = 3; // rewordings whose answers are begun
const answer = byId("cue-answer");

let shown = null;
let answering = null;

/** The features that are active in what is said, the strongest first: no wording of it silences others. */
function offerFeatures(reading) {
  const strongest = new Map();
  for (const token of reading.tokens) {
    if (token.part !== "content" || token.turn >= turns().length) continue;
    token.features.forEach((index, place) => {
      strongest.set(index, Math.max(strongest.get(index) ?? 0, token.activations[place]));
    });
  }
  const names = new Map(reading.names.map((name) => [name.index, name]));
  const choices = [...strongest].sort((a, b) => b[1] - a[1]).slice(0, MOST_OFFERED).map(([index, most]) => {
    const name = names.get(index);
    const means = name?.label || name?.raised.join(" ") || "";
    return [`${reading.dictionary}:${index}`, `${index} ${means} (max ${figure(most)})`];
  });
  offer(byId("cue-feature"), choices.length ? choices : [["", "none was active yet"]]);
}

function offerTurns() {
  const all = turns().map((turn, at) => [String(at), `${at + 1} ${turn.role}`]);
  offer(byId("cue-turn"), [["", "where it fires most"], ...all]);
}

function table(caption, heads, rows) {
  const made = element("table");
  const head = element("tr");
  for (const [name, className] of heads) {
    const cell = element(name ? "th" : "td", name, className ?? "");
    if (name) cell.scope = "col";
    head.append(cell);
  }
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  body.append(...rows);
  made.append(element("caption", caption), thead, body);
  return made;
}

/** Begins the answers to what is said as it is and to the best rewordings, one after the other. */
async function begin(said, question, place) {
  answering?.abort();
  const mine = new AbortController();
  answering = mine;
  const rows = [["as it is", question.turns], ...said.rewordings.slice(0, ANSWERED).map((one) => {
    const other = { ...question.turns[said.turn], content: one.content };
    return [changed(one), question.turns.with(said.turn, other)];
  })];
  const made = rows.map(([words]) => row([words], ["…", "n"], ["", "n"], [""]));
  place.replaceChildren(table("How the unsteered model begins its answer, and the feature meanwhile", [["what is said"], ["largest", "n"], ["mean", "n"], ["the answer begins"]], made));
  for (const [at, [, all]] of rows.entries()) {
    const begun = await ask("cue/answer", { turns: all, dictionary: question.dictionary, feature: question.feature }, mine.signal)
      .catch((error) => ({ text: error.message }));
    if (answering !== mine) return;
    const [, largest, mean, text] = made[at].cells;
    largest.textContent = "activation" in begun ? figure(begun.activation) : "–";
    mean.textContent = "mean" in begun ? figure(begun.mean) : "–";
    text.replaceChildren(...marked(withSigns(begun.text), true));
  }
}

function row(...cells) {
  const made = element("tr");
  for (const [content, className] of cells) {
    const cell = element("td", "", className ?? "");
    cell.append(content);
    made.append(cell);
  }
  return made;
}

function changed(rewording) {
  const made = element("span");
  made.append(element("del", rewording.word));
  if (rewording.replacement) made.append(" ", element("ins", rewording.replacement));
  return made;
}

function apply(said, rewording) {
  const button = element("button", "use it");
  button.type = "button";
  button.title = rewording.content;
  button.addEventListener("click", () => {
    reword(said.turn, rewording.content);
    focusOn(said.turn);
  });
  return button;
}

function show(said, question) {
  shown = said;
  const name = said.feature.label || `feature ${said.feature.index}`;
  if (!said.token) {
    answer.replaceChildren(element("p", `${name} fires nowhere in what is said: no other wording is tried.`));
    return;
  }
  const peak = element("p", `${name} fires most in turn ${said.turn + 1}, with ${figure(said.activation)}, on `);
  const token = element("bdi", "", "tok");
  token.append(...marked(said.token));
  peak.append(token, ".");
  const words = said.words.filter((word) => word.loss === null || word.loss > 0).slice(0, 8).map((word) =>
    row([word.word], [word.loss === null ? "it fires on it" : `−${figure(word.loss)}`, "n"]));
  const begun = element("div");
  const rewordings = said.rewordings.map((one) =>
    row([changed(one)], [one.source], [`${figure(said.activation)} → ${figure(one.activation)}`, "n"], [apply(said, one)]));
  answer.replaceChildren(
    peak,
    table("Words that matter: what the activation loses without each", [["word"], ["change", "n"]], words),
    rewordings.length
      ? table("Rewordings, what silences it most first: largest activation on all that is said", [["change of words"], ["why"], ["activation", "n"], [""]], rewordings)
      : element("p", "No other wording that was tried makes it weaker.", "quiet"),
    begun,
  );
  begin(said, question, begun);
}

async function find(event) {
  event.preventDefault();
  const name = byId("cue-feature").value;
  if (!name) return;
  const colon = name.lastIndexOf(":");
  const turn = byId("cue-turn").value;
  const question = {
    turns: turns(),
    dictionary: name.slice(0, colon),
    feature: Number(name.slice(colon + 1)),
    turn: turn === "" ? null : Number(turn),
  };
  answering?.abort();
  answering = null;
  answer.setAttribute("aria-busy", "true");
  answer.replaceChildren(element("p", "trying other words …", "quiet"));
  const said = await trying("problem-cue", () => ask("cue", question));
  answer.setAttribute("aria-busy", "false");
  if (said) show(said, question);
  else answer.replaceChildren();
}

/** The conversation is another: what was found of the one before goes. */
export function follow() {
  offerTurns();
  if (!shown || turns()[shown.turn] !== undefined) return;
  answering?.abort();
  answering = null;
  answer.replaceChildren();
}

export function start() {
  byId("cue").addEventListener("submit", find);
  byId("steer").addEventListener("chat:read", (event) => {
    if (event.detail.steered) offerFeatures(event.detail.steered);
    offerTurns();
  });
}
