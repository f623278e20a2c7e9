// What a feature is, wherever its number stands as a link: its line in words and its figures.

import { element, explain, fact } from "../tooltip.js";

const PAGE = /^\/d\/([^/]+)\/([^/]+)\/(\d+)$/;
const SAID_ALREADY = "[rel], .features a, .start a, .contexts a, .facts a";

const rows = new Map();

const partsOf = (link) => PAGE.exec(new URL(link.href).pathname);

/** The row of the feature's table; asked once, when first needed. */
function rowOf(path) {
  if (!rows.has(path)) {
    const asked = fetch(`/api/v1${path}/summary`, { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : null))
      .catch(() => null)
      .then((row) => {
        if (!row) rows.delete(path);
        return row;
      });
    rows.set(path, asked);
  }
  return rows.get(path);
}

function describe(link) {
  const [, , dictionary, index] = partsOf(link);
  return [element("p", `${decodeURIComponent(dictionary)} / ${index}`, "token")];
}

async function more(link) {
  const row = await rowOf(new URL(link.href).pathname);
  if (!row) return null;
  const card = element("div", "", "card");
  if (row.label) card.append(element("p", row.label, "means"));
  if (row.summary) card.append(element("p", row.summary));
  const list = element("dl");
  fact(list, "density", `${(100 * row.density).toPrecision(3)} %`);
  if (row.firings) fact(list, "max", row.maximum.toPrecision(3));
  if (row.effect !== null) fact(list, "mean effect", `${row.effect.toFixed(2)} nats`);
  card.append(list);
  return card;
}

explain("a[href*='/d/']", describe, more, (link) => partsOf(link) && !link.matches(SAID_ALREADY));
