// Checks of steps by steering: how far each is, said beside its button, then what came of it.

import { stream } from "./stream.js";

async function check(button) {
  const status = button.nextElementSibling;
  button.disabled = true;
  status.textContent = "Asking the worker …";
  try {
    for await (const event of stream(button.dataset.check, {}, new AbortController().signal)) {
      if (event.event === "step" && event.total) {
        status.textContent = `${Math.round((100 * event.done) / event.total)} %`;
      }
      if (event.event === "ready") {
        status.textContent = event.sentence;
        button.hidden = true;
      }
    }
  } catch (error) {
    status.textContent = error.message;
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-check]");
  if (button) check(button);
});
