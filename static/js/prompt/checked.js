// The bar of checked features: how many there are, and steering them all.

const boxes = () => [...document.querySelectorAll(".pick input:checked")];

function count() {
  const said = document.getElementById("n-checked");
  if (said && said.textContent !== String(boxes().length)) said.textContent = String(boxes().length);
}

document.addEventListener("change", (event) => {
  if (event.target.matches?.(".pick input")) count();
});
document.addEventListener("htmx:after:swap", count);
count();

document.addEventListener("click", (event) => {
  const steer = event.target.closest?.("#checked [data-steer]");
  if (steer) {
    // Another page, which the form's own request would fetch into this one.
    event.preventDefault();
    event.stopPropagation();
    location.assign(`${steer.formAction}?${new URLSearchParams(new FormData(steer.form))}`);
  } else if (event.target.closest?.("#checked [data-uncheck]")) {
    for (const box of boxes()) box.checked = false;
  }
}, true);

// From any row, `c` leads to the bar.
document.addEventListener("keydown", (event) => {
  if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog")) return;
  const button = document.querySelector("#checked [data-key-checked]");
  if (!button?.checkVisibility()) return;
  event.preventDefault();
  button.focus();
});
