// Effects as they arrive: one stream for the prediction that is shown, redrawn by morphing.
import { element } from "../tooltip.js";
import { stream } from "../live/stream.js";

const LONGEST_WAIT = 16;

let running = null;

/** Says why the table does not go on. */
function late(place, sentence) {
  place.querySelector(".late")?.remove();
  const said = element("p", sentence, "late problem");
  said.setAttribute("role", "status");
  place.prepend(said);
}

const wait = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));

async function follow(id, address, query, signal) {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      for await (const { event, html } of stream(address, { query }, signal)) {
        const place = document.getElementById(id);
        if (event !== "table" || !place) continue;
        await htmx.swap({ target: place, sourceElement: place, swap: "innerMorph", text: html });
      }
      return;
    } catch (error) {
      const place = document.getElementById(id);
      if (!place) return;
      const seconds = error.again === null ? null : Math.min(LONGEST_WAIT, Math.max(error.again, 2 ** attempt));
      late(place, seconds === null ? error.message : `${error.message} Trying again in ${seconds} s.`);
      if (seconds === null) return;
      await wait(seconds);
    }
  }
}

/** Follows the table on the page, unless it is followed already. */
function look() {
  const place = document.querySelector("[data-stream]");
  const key = place ? `${place.id} ${place.dataset.stream}` : "";
  if (running?.key === key) return;
  running?.control.abort();
  running = null;
  if (!place) return;
  const control = new AbortController();
  running = { key, control };
  follow(place.id, place.dataset.stream, place.dataset.query, control.signal).finally(() => {
    if (running?.control === control) place.removeAttribute("data-stream");
  });
}

document.addEventListener("htmx:after:swap", look);
look();
