// How hard to push: a sweep of strengths of one feature, as curves that set its slider.
import { Curve } from "./curves.js";
import { byId, element, figure, marked, page, percent, say, strength } from "./dom.js";
import { keepCoherent, put } from "./sliders.js";
import { continuation, edit, sliders } from "./state.js";
import { stream } from "../live/stream.js";

const STRENGTHS = JSON.parse(byId("dose").dataset.strengths);
const STRONGEST = Math.max(...STRENGTHS);
const COHERENT = 2; // times the unsteered perplexity
const DISTINCT = 0.5; // of the unsteered text's share of distinct triples: a loop has less
const LONGEST = 40; // tokens of each continuation

const curves = {
  perplexity: new Curve("Perplexity", "of the text, under the unsteered model", { log: true }),
  kl: new Curve("KL", "nats, steered from unsteered, mean over the prompt"),
  activation: new Curve("Reads back", "mean activation over the prompt"),
  probability: new Curve("Next token", "probability of its strongest logit tokens, %"),
};

let base = null;
let points = [];
let asked = []; // the strengths of the sweep
let swept = null;
let chosen = null;
let abort = null;

/** The widest range around 0 in which every text stays coherent; null: not even there. */
function coherent() {
  const fits = (point) => point.perplexity !== null
    && point.perplexity < COHERENT * base.perplexity && point.distinct >= DISTINCT * base.distinct;
  const near = (sign) => {
    let last = null;
    for (const point of points.filter((one) => one.strength * sign >= 0)
      .sort((one, other) => sign * (one.strength - other.strength))) {
      if (!fits(point)) break;
      last = point.strength;
    }
    return last;
  };
  const range = [near(-1), near(1)];
  return range.includes(null) ? null : range;
}

function drawAll() {
  points.sort((one, other) => one.strength - other.strength);
  const range = base.perplexity === null ? null : coherent();
  const line = (key) => [{ name: "", points: points.map((point) => [point.strength, point[key]]) }];
  curves.perplexity.update(line("perplexity"), {
    limit: base.perplexity && COHERENT * base.perplexity, coherent: range, base: base.perplexity,
  });
  curves.kl.update(line("kl"), { coherent: range });
  curves.activation.update(line("activation"), { coherent: range });
  curves.probability.update(base.watched.map((name, at) => ({
    name, points: points.map(({ strength: s, probabilities: { [at]: p } }) => [s, p === null ? null : 100 * p]),
  })), { coherent: range });
  if (points.length === asked.length) byId("coherent").textContent = range
    ? `The text stays coherent from ${strength(range[0])} to ${strength(range[1])}: its perplexity is under twice the unsteered ${figure(base.perplexity)}, and it repeats itself little: at least half the unsteered share of distinct triples of tokens, ${percent(base.distinct)}.`
    : "No strength leaves the text coherent: with a perplexity under twice the unsteered one, and half its share of distinct triples of tokens.";
  if (chosen !== null) look(chosen);
}

/** Shows the values and the text at the strength nearest to one. */
function look(wanted) {
  const distance = (point) => Math.abs(point.strength - wanted);
  const point = points.reduce((best, one) => (best && distance(best) <= distance(one) ? best : one), null);
  if (!point) return;
  chosen = point.strength;
  for (const curve of Object.values(curves)) curve.mark(chosen);
  const times = base.perplexity ? ` (${figure(point.perplexity / base.perplexity)} × unsteered)` : "";
  const chances = base.watched.map((name, at) => `${name} ${percent(point.probabilities[at])}`);
  byId("at-figures").textContent = [
    `at ${strength(chosen)}: perplexity ${figure(point.perplexity)}${point.perplexity === null ? "" : times}`,
    `KL ${figure(point.kl)} nats`,
    `reads ${figure(point.activation)}`,
    `distinct triples ${percent(point.distinct)}`,
    ...chances,
  ].join(" · ");
  byId("at-text").replaceChildren(...marked(point.shown, true));
  const range = byId("at-strength");
  range.max = String(points.length - 1);
  range.value = String(points.indexOf(point));
  range.setAttribute("aria-valuetext", byId("at-figures").textContent);
  byId("at-use").textContent = `use ${strength(chosen)}`;
  byId("at").hidden = false;
}

const chosenSlider = () =>
  sliders().find((slider) => slider.dataset.feature === byId("dose-feature").value);

async function sweep() {
  const slider = chosenSlider();
  if (!slider) return say(byId("problem-dose"), "Add a feature first.");
  abort?.abort();
  const mine = (abort = new AbortController());
  const { dictionary, feature, mode, strength: own } = edit(slider);
  // The slider's own strength is one of them, so that what is shown of it is true of it.
  asked = [...new Set([...STRENGTHS, ...(Math.abs(own) <= STRONGEST ? [Number(own)] : [])])];
  const wanted = { ...continuation(), dictionary, feature, mode, strengths: asked };
  wanted.n_tokens = Math.min(Number(wanted.n_tokens) || LONGEST, LONGEST);
  base = null;
  points = [];
  swept = slider.dataset.feature;
  say(byId("problem-dose"));
  byId("curves").setAttribute("aria-busy", "true");
  byId("curves").hidden = false;
  byId("dose").classList.remove("stale");
  try {
    for await (const event of stream(`${page.dataset.api}/dose`, wanted, mine.signal)) {
      if (event.event === "dose_base") base = event;
      if (event.event === "dose") points.push(event);
      else if (event.event === "progress") byId("coherent").textContent = `${event.done} of ${event.total} strengths`;
      if (base && points.length) requestAnimationFrame(drawAll);
    }
    if (!mine.signal.aborted) {
      drawAll();
      look(Number(own));
      keepCoherent(swept, mode, base?.perplexity ? coherent() : null);
    }
  } catch (error) {
    if (abort === mine) say(byId("problem-dose"), error.message);
  }
  if (abort === mine) byId("curves").setAttribute("aria-busy", "false");
}

/** The page has changed: the features to choose from follow, and curves of another text fade. */
export function follow() {
  const select = byId("dose-feature");
  const names = sliders().map((slider) => slider.dataset.feature);
  const before = select.value;
  select.replaceChildren(...names.map((name) => {
    const option = element("option", name);
    option.value = name;
    option.selected = name === before;
    return option;
  }));
  byId("dose").hidden = !names.length;
}

function use() {
  const slider = sliders().find((one) => one.dataset.feature === swept);
  if (slider && chosen !== null) put(slider, chosen);
}

export function start() {
  byId("curves").append(...Object.values(curves).map((curve) => curve.figure));
  byId("curves").hidden = true;
  const range = byId("at-strength");
  [range.min, range.step] = ["0", "1"]; // the places of the strengths, in their order
  range.addEventListener("input", () => look(points[Number(range.value)].strength));
  byId("at-use").addEventListener("click", use);
  byId("sweep").addEventListener("click", sweep);
  for (const curve of Object.values(curves)) {
    curve.svg.addEventListener("pointermove", (event) => look(curve.under(event)));
    curve.svg.addEventListener("click", (event) => { look(curve.under(event)); use(); });
  }
  // Curves of another prompt or other settings are no longer true.
  byId("settings").addEventListener("input", (event) => {
    if (!event.target.closest("#sliders") && points.length) byId("dose").classList.add("stale");
  });
  follow();
}
