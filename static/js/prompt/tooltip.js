// What the strip of a prompt says of a token: its loss, what was expected, the chosen feature.
import { placeOf } from "./strip.js";
import { predictions } from "../explained/tokens.js";
import { element, explain, fact, visible } from "../tooltip.js";

const read = new WeakMap();
const asked = new Map();

/** What the page knows of the tokens of a strip. */
function known(strip) {
  const written = strip.dataset.tokens;
  if (read.get(strip)?.written !== written) read.set(strip, { written, ...JSON.parse(written) });
  return read.get(strip);
}

const percent = (share) => `${(100 * share).toPrecision(share < 0.001 ? 1 : 3)} %`;

function expected(top) {
  const table = element("table");
  const head = element("tr");
  const title = element("th", "expected here");
  title.colSpan = 2;
  head.append(title);
  table.append(head);
  for (const [text, share] of top) {
    const row = element("tr");
    row.append(element("td", text), element("td", percent(share)));
    table.append(row);
  }
  return table;
}

function describe(token) {
  const at = placeOf(token);
  const facts = known(token.closest(".strip"));
  const following = token.classList.contains("next");
  const list = element("dl");
  const [valueName, changeName] = facts.names;
  if (facts.values.length && !following) fact(list, valueName, facts.values[at] || "0");
  if (facts.changes.length && !following) {
    const change = facts.changes[at] ?? "0";
    fact(list, changeName, change === "0" ? "exactly 0" : `${change} nats`);
  }
  const loss = facts.loss[at] ?? null;
  if (loss !== null) {
    fact(list, "loss", `${loss.toFixed(2)} nats`);
    fact(list, "probability", percent(Math.exp(-loss)));
  }
  const text = following ? "the token after the prompt" : visible(token);
  const shown = [element("div", text, "token"), list];
  if (facts.top[at]?.length) shown.push(expected(facts.top[at]));
  if (!following) shown.push(element("p", `token ${at}`, "quiet"));
  return shown;
}

/** What the JSON interface says of an ablation; asked once, when first needed. */
function ablation(question, address) {
  const key = JSON.stringify(question);
  if (!asked.has(key)) {
    const answer = fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: key,
    })
      .then((response) => (response.ok ? response.json() : null))
      .catch(() => null)
      .then((found) => {
        if (!found) asked.delete(key);
        return found;
      });
    asked.set(key, answer);
  }
  return asked.get(key);
}

/** The predictions that ablating the chosen feature moves most. */
async function more(token) {
  const { ablation: address, feature } = token.closest(".strip").dataset;
  const facts = known(token.closest(".strip"));
  const at = placeOf(token);
  if (!address || !facts.changes[at] || facts.changes[at] === "0") return null;
  const split = feature.lastIndexOf(":");
  const question = {
    prompt: facts.ids,
    dictionary: feature.slice(0, split),
    feature: Number(feature.slice(split + 1)),
  };
  const answer = await ablation(question, address);
  return answer ? predictions(answer.effect, at) : null;
}

explain(".strip bdi", describe, more);
