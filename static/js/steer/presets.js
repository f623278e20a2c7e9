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
  if (!answer.ok) throw new Error(said?.detail ?? "The connection was lost.");
  return said;
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
    const preset = await send("POST", "", { name: field.value, settings: question() });
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
