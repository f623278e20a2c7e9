// What monitors tell of the conversation: a line for each alarm, below both answers.
import { byId } from "../dom.js";

const alarms = byId("alarms");

/** Says what a monitor told: where, by which token, how far above its threshold. */
export function alarm({ pane, monitor, turn, level, threshold, gate, token }) {
  const item = document.createElement("li");
  item.dataset.pane = pane;
  const name = document.createElement("a");
  name.href = `/monitors/${encodeURIComponent(monitor)}`;
  name.textContent = monitor;
  const where = turn === null ? `the ${pane} answer` : `turn ${turn + 1}`;
  const by = token === null ? "" : ` at “${token}”`;
  const what = gate === "refuse" && turn === null ? "; it was stopped" : "";
  item.append("Alarm: ", name, ` on ${where}${by}, ${level.toPrecision(3)} above ${threshold.toPrecision(3)}${what}`);
  // Both answers follow the same turns, whose alarms are told once.
  if (turn === null || pane === "steered") alarms.append(item);
  alarms.hidden = !alarms.children.length;
}

/** Takes alarms back: all, or those of an answer and of turns. */
export function quiet(kept) {
  for (const item of [...alarms.children]) if (item.dataset.pane !== kept) item.remove();
  alarms.hidden = !alarms.children.length;
}
