// The slider over the checkpoints of a training: it names the one under it, and shows it when it is
// let go.
const form = document.querySelector("form[data-slides]");
const slider = form.elements.namedItem("at");
const names = slider.dataset.names.split("|");

slider.addEventListener("input", () => {
  const name = names[slider.valueAsNumber];
  form.querySelector("output").value = name;
  slider.setAttribute("aria-valuetext", name);
});
slider.addEventListener("change", () => form.requestSubmit());
