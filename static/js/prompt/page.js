// The prompt page beyond documents and htmx.
import "./strip.js";
import "./tooltip.js";
import "./rows.js";
import "./effects.js";
import "./results.js";
import "./checked.js";

// Ctrl + Enter sends what is typed.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("#ask");
  if (!form || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

// The program lies over the page: a click beside it or Escape closes it.
function closeProgram(event) {
  const open = document.querySelector(".program[open]");
  if (!open || (event.type === "click" && open.contains(event.target))) return;
  if (event.type === "keydown" && event.key !== "Escape") return;
  if (open.contains(document.activeElement)) open.querySelector("summary").focus();
  open.open = false;
}
document.addEventListener("click", closeProgram);
document.addEventListener("keydown", closeProgram);

// Everything that depends on the prompt says that it is about to change.
const busy = (state) => document.getElementById("view")?.setAttribute("aria-busy", state);
document.addEventListener("htmx:before:request", () => busy("true"));
document.addEventListener("htmx:finally:request", () => busy("false"));
