// What the page asks besides the turns, and the address that restores it.
import { byId, page } from "../dom.js";
import { edit, sliders } from "../state.js";

const FIELDS = {
  n: "n_tokens", temperature: "temperature",
  top_p: "top_p", top_k: "top_k", seed: "seed",
};
const FOLLOW_MS = 250; // browsers refuse to rewrite the address more often for long

/** The names of the lists that are followed. */
export const traits = () =>
  [...document.querySelectorAll("#traits input:checked")].map((box) => box.value);

/** The names of the monitors that watch. */
export const monitors = () =>
  [...document.querySelectorAll("#monitors input:checked")].map((box) => box.value);

/** Sliders and settings, as the interface takes them. */
export function settings() {
  const asked = { edits: sliders().map(edit), scope: byId("tokens").value, traits: traits(), dictionary: byId("watched").value, monitors: monitors() };
  if (asked.monitors.length) asked.gate = byId("gate").value;
  for (const [id, name] of Object.entries(FIELDS)) asked[name] = byId(id).value;
  return asked;
}

function address() {
  const asked = settings();
  const pairs = asked.edits.map((one) => {
    const parts = [one.dictionary, one.feature, one.mode, one.strength];
    return ["f", [...parts, ...(one.on ? [] : ["off"])].join(":")];
  });
  for (const [id, name] of Object.entries(FIELDS)) {
    if (asked[name] !== byId(id).dataset.default) pairs.push([id, asked[name]]);
  }
  if (asked.scope !== byId("tokens").dataset.default) pairs.push(["tokens", asked.scope]);
  for (const name of traits()) pairs.push(["trait", name]);
  for (const name of monitors()) pairs.push(["monitor", name]);
  if (asked.gate === "refuse") pairs.push(["gate", asked.gate]);
  const encoded = pairs.map(([name, value]) =>
    `${name}=${encodeURIComponent(value.toWellFormed()).replaceAll("%3A", ":")}`);
  return page.dataset.chat + (encoded.length ? `?${encoded.join("&")}` : "");
}

let timer = 0;

/** The address follows what is set. */
export function follow() {
  clearTimeout(timer);
  timer = setTimeout(() => history.replaceState(null, "", address()), FOLLOW_MS);
}

/** At most so many lists are followed, and so many monitors watch, at once: the others cannot be
 * chosen meanwhile. */
export function limit() {
  for (const [id, chosen, most] of [
    ["traits", traits(), page.dataset.mostTraits],
    ["monitors", monitors(), page.dataset.mostMonitors],
  ]) {
    const full = chosen.length >= Number(most);
    for (const box of document.querySelectorAll(`#${id} input`)) box.disabled = full && !box.checked;
  }
}
