// The page of conversations: whatever changes on it, both answers follow, and the last change wins.
import { byId, page, say } from "../dom.js";
import * as sliders from "../sliders.js";
import { sliders as all } from "../state.js";
import * as token from "../token.js";
import { answer, clear, complete, panes, run, stop } from "./answers.js";
import * as cue from "./cue.js";
import * as files from "./files.js";
import * as reading from "./reading.js";
import { follow, limit, settings } from "./state.js";
import * as turns from "./turns.js";

const IDS = { n_tokens: "n", edits: "f", scope: "n" };
const SOON_MS = 40; // one answer is asked for after several events of a moving slider

let timer = 0;
let answered = ""; // the turns that the answers shown are to

const said = () => JSON.stringify(turns.turns());

/** Says a refusal beside the value it is about; whether it has such a place. */
function refuse(error) {
  const [name, at] = error.field.split(".");
  const place = name === "edits" && at !== undefined
    ? all()[Number(at)]?.querySelector(".problem")
    : byId(`problem-${IDS[name] ?? name}`);
  if (place) say(place, error.message.replace("n_tokens", "tokens"));
  return Boolean(place);
}

/** Answers the conversation, if somebody else than the model spoke last. */
function respond() {
  clearTimeout(timer);
  for (const place of page.querySelectorAll("#settings .problem, #problem-turns")) say(place);
  const now = turns.turns();
  if (!now.length || now.at(-1).role === "assistant") return;
  answered = said();
  run({ turns: now, ...settings() }, refuse);
}

/** Puts the answer that is gone on from into the conversation, where there is one to what was said. */
function keep() {
  if (!complete() || answered !== said()) return;
  const text = answer(panes[byId("kept").value]);
  if (!text) return;
  turns.add({ role: "assistant", content: text });
  clear();
}

function send(event) {
  event.preventDefault();
  const text = byId("said").value;
  if (!text.trim()) return byId("said").focus();
  stop();
  keep();
  turns.add({ role: "user", content: text });
  byId("said").value = "";
  cue.follow();
  respond();
}

sliders.start();
turns.start();
reading.start();
cue.start();
files.start(keep);
limit();
token.start((bdi) => [...Object.values(panes), reading.tokens].find((one) => one.written.contains(bdi)));

page.addEventListener("steer:change", () => {
  follow();
  clearTimeout(timer);
  timer = setTimeout(respond, SOON_MS);
});
byId("settings").addEventListener("input", (event) => {
  follow();
  clearTimeout(timer);
  timer = setTimeout(respond, event.target.type === "range" ? SOON_MS : 4 * SOON_MS);
});
byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter?.name !== "drop") respond();
});
byId("traits")?.addEventListener("change", () => {
  limit();
  follow();
  respond();
  reading.refresh();
});
for (const id of ["monitors", "gate"]) {
  byId(id)?.addEventListener("change", () => {
    limit();
    follow();
    respond();
  });
}
byId("say").addEventListener("submit", send);
byId("said").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
});
byId("system").addEventListener("click", () => {
  if (turns.turns()[0]?.role !== "system") turns.add({ role: "system", content: "" }, true);
  turns.focusOn(0);
});
page.addEventListener("chat:turns", (event) => {
  if (said() !== answered) clear();
  cue.follow();
  if (event.detail.answer) respond();
  else reading.refresh();
});
page.addEventListener("chat:answered", () => {
  reading.refresh();
  token.refresh();
});
if (!("refused" in page.dataset)) {
  const last = turns.turns().at(-1);
  if (last && last.role !== "assistant") respond();
  else reading.refresh();
}
