// Presets: kept under a name, listed, deleted.
import { byId, element, page, say } from "./dom.js";
import { question } from "./state.js";

async function send(method, path, body) {
  const answer = await fetch(`${page.dataset.api}/presets${path}`, {
    method,
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: body && JSON.stringify(body),
  }).catch(() => null);
  if (!answer) throw new Error("The connection was lost.");
  const said = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (answer.status === 409) throw new Taken(said.detail);
  if (!answer.ok) throw new Error(said?.detail ?? "The connection was lost.");
  return said;
}

/** Another preset has the name. */
class Taken extends Error {}

/** Asks before something is lost; true where the answer is to do it. */
function sure(sentence, deed) {
  const dialog = byId("sure");
  byId("sure-question").textContent = sentence;
  dialog.querySelector("[value=yes]").textContent = deed;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

/** Keeps the settings; where another preset has the name, only after the question. */
async function save(name, settings) {
  try {
    return await send("POST", "", { name, settings });
  } catch (error) {
    if (!(error instanceof Taken)) throw error;
    const replace = await sure(`There is a preset “${name}” already, with other settings. Replace it?`, "Replace it");
    return replace ? send("POST", "", { name, settings, replace }) : null;
  }
}

function line(preset) {
  const made = element("li");
  const link = element("a", preset.name);
  link.href = preset.address;
  const forget = element("button", "✕", "bare");
  forget.type = "button";
  forget.dataset.forget = preset.name;
  forget.title = "delete";
  forget.setAttribute("aria-label", `delete ${preset.name}`);
  made.append(link, " ", forget);
  return made;
}

const named = (name) =>
  [...byId("presets").children].find((one) => one.querySelector("button").dataset.forget === name);

async function keep(event) {
  event.preventDefault();
  const field = byId("preset-name");
  try {
    const preset = await save(field.value.trim(), question());
    if (!preset) return field.focus();
    named(preset.name)?.remove();
    byId("presets").append(line(preset));
    field.value = "";
    say(byId("problem-preset"));
  } catch (error) {
    say(byId("problem-preset"), error.message);
  }
}

async function forget(event) {
  const button = event.target.closest("[data-forget]");
  if (!button) return;
  if (!await sure(`Delete the preset “${button.dataset.forget}”? Everyone loses it.`, "Delete it")) {
    return button.focus();
  }
  try {
    await send("DELETE", `/${encodeURIComponent(button.dataset.forget)}`);
    button.closest("li").remove();
    byId("preset-name").focus();
    say(byId("problem-preset"));
  } catch (error) {
    say(byId("problem-preset"), error.message);
  }
}

export function start() {
  byId("keep").addEventListener("submit", keep);
  byId("presets").addEventListener("click", forget);
}
