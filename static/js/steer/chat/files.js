// The conversation as a file of JSON lines: taken along, and brought back.
import { byId, say } from "../dom.js";
import { ask, trying } from "./dom.js";
import { replace, turns } from "./turns.js";

const MOST_BYTES = 2 * 2 ** 20;

function save() {
  const lines = turns().map((turn) => `${JSON.stringify(turn)}\n`).join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines], { type: "application/jsonl" }));
  link.download = "conversation.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function bring(file) {
  if (file.size > MOST_BYTES) throw new Error("A conversation has at most 2 MiB.");
  const said = await ask("lines", { lines: await file.text() });
  replace(said.turns);
}

/** `kept` puts the answer that is shown into the conversation before it is saved. */
export function start(kept) {
  byId("export").addEventListener("click", () => {
    kept();
    if (turns().length) save();
    say(byId("problem-lines"), turns().length ? "" : "Nothing was said yet.");
  });
  byId("import").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) await trying("problem-lines", () => bring(file));
    event.target.value = "";
  });
  byId("clear").addEventListener("click", () => {
    replace([]);
    byId("said").focus();
  });
}
