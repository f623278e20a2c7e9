// Small things that all parts of the steering page use.
import { cutAtSigns, meantBy, NEWLINE, SPACE } from "../marks.js";

export const MINUS = "−";

export const byId = (id) => document.getElementById(id);

export const page = byId("steer");

/** A new element with text and class. */
export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A figure with three significant digits and a true minus. */
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3
    ? value.toExponential(1)
    : value.toFixed(Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(size)))));
  return text.replace("-", MINUS);
}

/** A probability as per cent. */
export const percent = (share) => `${figure(share === null ? null : 100 * share)} %`;

/** A strength as it is written on a slider. */
export const strength = (value) => (value > 0 ? `+${value}` : String(value).replace("-", MINUS));

/** The address of a feature's page. */
export function featurePage(dictionary, index) {
  const model = page.dataset.page.split("/")[2];
  return `/d/${model}/${encodeURIComponent(dictionary)}/${index}`;
}

/** What a feature means: its label, else the tokens that it raises most. */
export function meaning(feature) {
  const means = element("span", feature.label, "means");
  if (feature.label) return means;
  for (const token of feature.raised) {
    const shown = element("bdi", "", "tok");
    shown.append(...marked(token));
    means.append(shown, " ");
  }
  return means;
}

/** Text whose signs for white space are quiet; in running text a line really breaks after its sign. */
export function marked(shown, broken = false) {
  return cutAtSigns(shown).flatMap((part) => {
    if (!meantBy(part) || (broken && part === SPACE)) return [part];
    return broken && part === NEWLINE ? [element("i", part), "\n"] : [element("i", part)];
  });
}

/** Says a sentence in its place, or takes it back. */
export function say(place, sentence = "") {
  place.textContent = sentence;
  place.hidden = !sentence;
}
