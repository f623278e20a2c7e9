// What the parts of the page of conversations have in common.
import { byId, page, say } from "../dom.js";

const LOST = "The connection was lost.";

/** Asks the interface of conversations; throws the server's sentence. */
export async function ask(path, question, signal) {
  const answer = await fetch(`${page.dataset.api}/chat/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(question),
    signal,
  }).catch((error) => {
    throw new Error(signal?.aborted ? "" : LOST, { cause: error });
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? LOST);
  return said;
}

/** Runs a deed, and says beside a part of the page what went wrong. */
export async function trying(place, deed) {
  try {
    say(byId(place));
    return await deed();
  } catch (error) {
    say(byId(place), error.message);
    return null;
  }
}

/** Puts choices into a select; the one that was chosen stays, if it is still there. */
export function offer(select, choices) {
  const before = select.value;
  select.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
  if (choices.some(([value]) => value === before)) select.value = before;
}
