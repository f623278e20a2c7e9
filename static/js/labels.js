// The label in place: beside the number a field opens, and Enter keeps what it says.

const parts = () => {
  const naming = document.getElementById("naming");
  return { link: naming?.querySelector("[data-key-label]"), form: naming?.querySelector(".in-place") };
};

function open(opened) {
  const { link, form } = parts();
  if (!form) return;
  form.hidden = !opened;
  link.hidden = opened;
  if (opened) form.elements.text.select();
  else link.focus();
}

document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#naming [data-key-label]")) return;
  event.preventDefault();
  open(true);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !event.target.closest?.("#naming .in-place")) return;
  event.preventDefault();
  event.stopPropagation();
  open(false);
}, { capture: true });
