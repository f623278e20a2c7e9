// What else changed: features whose activation differs most, and what each slider reads back.
import { byId, element, featurePage, figure, meaning } from "./dom.js";
import { reads } from "./sliders.js";
import { sliders } from "./state.js";

const MOST = 12;

function bar(share, more) {
  const meter = element("span", "", more ? "bar more" : "bar less");
  meter.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
  meter.setAttribute("aria-hidden", "true");
  return meter;
}

function row(dictionary, change, largest) {
  const { feature, unsteered, steered } = change;
  const line = element("tr");
  const name = element("th");
  name.scope = "row";
  const link = element("a", String(feature.index));
  link.href = featurePage(dictionary, feature.index);
  name.append(link, " ", meaning(feature));
  const drawn = element("td");
  drawn.append(bar(Math.abs(steered - unsteered) / largest, steered > unsteered));
  const steer = element("button", "steer", "bare");
  steer.type = "button";
  steer.dataset.add = `${dictionary}:${feature.index}`;
  steer.setAttribute("aria-label", `steer feature ${feature.index}`);
  const does = element("td");
  does.append(steer);
  line.append(name, element("td", figure(unsteered), "n"), element("td", figure(steered), "n"), drawn, does);
  return line;
}

export function show(event, asked) {
  const changes = event.features.slice(0, MOST);
  const largest = Math.max(1e-9, ...changes.map((one) => Math.abs(one.steered - one.unsteered)));
  byId("effects").hidden = changes.length === 0;
  byId("effects").classList.remove("stale");
  byId("effects").querySelector("tbody").replaceChildren(
    ...changes.map((change) => row(event.dictionary, change, largest)),
  );
  sliders().forEach((slider, at) => {
    const same = asked.edits[at]?.feature === slider.dataset.feature.split(":").at(-1);
    reads(slider, same ? event.reads[at] : null);
  });
}

/** The texts change: what is shown is that of an older one. */
export function stale() {
  byId("effects").classList.add("stale");
}
