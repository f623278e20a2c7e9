// What is known of a generated token, on hover and focus: a box that can be entered for its links.
import { withSigns, SPACE } from "../marks.js";
import { byId, element, featurePage, figure, MINUS, marked, meaning } from "./dom.js";

const OPEN_MS = 60;
const CLOSE_MS = 180; // long enough to move from the token into the box

const box = element("div", "", "token-box");
box.id = "token-box";
box.setAttribute("role", "group");
box.setAttribute("aria-label", "The token in numbers");
box.hidden = true;
byId("main").append(box);

let shown = null;
let pane = null;
let timer = 0;

function fact(list, name, value) {
  list.append(element("dt", name), element("dd", value));
}

function features(facts) {
  const table = element("table");
  table.append(element("caption", "most active here"));
  for (const { name, activation } of facts.features) {
    const row = element("tr");
    const link = element("a", String(name.index));
    link.href = featurePage(facts.dictionary, name.index);
    const which = element("th");
    which.scope = "row";
    which.append(link, " ", meaning(name));
    const steer = element("button", "steer", "bare");
    steer.type = "button";
    steer.dataset.add = `${facts.dictionary}:${name.index}`;
    steer.setAttribute("aria-label", `steer feature ${name.index}`);
    const cell = element("td");
    cell.append(steer);
    row.append(which, element("td", figure(activation), "n"), cell);
    table.append(row);
  }
  return table;
}

function fill(facts) {
  const head = element("p", "", "token");
  const { event } = facts;
  head.append(...marked(withSigns(event.shown.replaceAll(" ", SPACE)) || "a part of a character"));
  const list = element("dl");
  const { unsteered, steered } = facts.probabilities;
  if (unsteered) fact(list, "probability, unsteered", unsteered);
  if (steered) fact(list, "steered", steered);
  if (facts.change !== null) {
    const sign = facts.change < 0 ? MINUS : "+";
    fact(list, "change", `${sign}${figure(Math.abs(facts.change))} nats`);
  }
  const place = element("p", `token ${event.token}, number ${event.step + 1} of the text`, "quiet");
  box.replaceChildren(head, list);
  if (facts.features.length) box.append(features(facts));
  box.append(place);
}

function place(token) {
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const size = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, innerWidth - size.width - 12));
  const below = at.bottom + 4;
  const top = below + size.height < innerHeight - 4 ? below : Math.max(4, at.top - size.height - 4);
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}

function close() {
  clearTimeout(timer);
  shown?.removeAttribute("aria-describedby");
  shown = null;
  box.hidden = true;
}

function open(token) {
  clearTimeout(timer);
  const facts = pane(token)?.facts(token);
  if (!facts) return close();
  if (shown !== token) shown?.removeAttribute("aria-describedby");
  shown = token;
  token.setAttribute("aria-describedby", box.id);
  fill(facts);
  box.hidden = false;
  place(token);
}

const tokenOf = (target) => target?.closest?.(".pane .written bdi") ?? null;

function later(action, ms) {
  clearTimeout(timer);
  timer = setTimeout(action, ms);
}

function focusOn(token) {
  for (const other of token.parentElement.querySelectorAll("bdi[tabindex='0']")) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus();
}

function key(event) {
  if (event.key === "Escape" && shown) {
    const back = box.contains(document.activeElement) ? shown : null;
    close();
    back?.focus();
    close();
    return;
  }
  const token = tokenOf(event.target);
  if (!token || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = [...token.parentElement.querySelectorAll("bdi")];
  const at = row.indexOf(token);
  const to = {
    ArrowLeft: row[at - 1], ArrowUp: row[at - 1], ArrowRight: row[at + 1], ArrowDown: row[at + 1],
    Home: row[0], End: row.at(-1), Enter: box.querySelector("a"),
  }[event.key];
  if (!to) return;
  event.preventDefault();
  if (event.key === "Enter") to.focus();
  else focusOn(to);
}

/** `paneOf` finds the pane that a token stands in. */
export function start(paneOf) {
  pane = paneOf;
  document.addEventListener("pointerover", (event) => {
    const token = tokenOf(event.target);
    if (box.contains(event.target)) clearTimeout(timer);
    else if (token && token !== shown) later(() => open(token), shown ? CLOSE_MS : OPEN_MS);
    else if (token) clearTimeout(timer);
  });
  document.addEventListener("pointerout", (event) => {
    if (!tokenOf(event.target) && !box.contains(event.target)) return;
    const to = event.relatedTarget;
    if (!tokenOf(to) && !box.contains(to) && !box.contains(document.activeElement)) later(close, CLOSE_MS);
  });
  document.addEventListener("focusin", (event) => {
    const token = tokenOf(event.target);
    if (token) open(token);
    else if (!box.contains(event.target)) close();
  });
  document.addEventListener("keydown", key);
  addEventListener("scroll", () => shown && place(shown), { passive: true, capture: true });
}

/** The texts have changed: what is shown is filled anew, or goes. */
export function refresh() {
  if (!shown) return;
  if (shown.isConnected) open(shown);
  else close();
}
