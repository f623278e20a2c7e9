// The prompt page beyond documents and htmx.
import "./prompt-strip.js";
import "./prompt-tooltip.js";
import "./prompt-rows.js";
import "./prompt-effects.js";

// Ctrl + Enter sends what is typed.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("#ask");
  if (!form || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

// Everything that depends on the prompt says that it is about to change.
const busy = (state) => document.getElementById("view")?.setAttribute("aria-busy", state);
document.addEventListener("htmx:before:request", () => busy("true"));
document.addEventListener("htmx:finally:request", () => busy("false"));
