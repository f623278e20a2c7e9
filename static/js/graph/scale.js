// A slider that lets a feature or a group write more or less, and what the targets are then.

const SOON = 120; // milliseconds after which the model is asked
const section = document.getElementById("graph-scaled");
const MINUS = "−";

const figure = (value) => (value === null ? "–" : value.toPrecision(3).replace("-", MINUS));
const percent = (value) => `${Number((100 * value).toPrecision(2))} %`;

function cell(value, probability, quiet = false) {
  const made = document.createElement("td");
  made.className = quiet ? "n quiet" : "n";
  if (probability === null || value === null) {
    made.textContent = figure(value);
    return made;
  }
  const small = document.createElement("small");
  small.textContent = figure(value);
  made.append(`${percent(probability)} `, small);
  return made;
}

function row(target) {
  const made = document.createElement("tr");
  const head = document.createElement("th");
  const name = document.createElement("bdi");
  head.scope = "row";
  name.textContent = target.name;
  head.append(name);
  made.append(
    head,
    cell(target.before, target.probability_before),
    cell(target.after, target.probability_after),
    cell(target.random, target.probability_random, true),
  );
  return made;
}

function listen() {
  const form = section.querySelector("form");
  const slider = form.elements.scale;
  const output = form.querySelector("output");
  const problem = document.getElementById("scale-problem");
  const table = section.querySelector("table");
  let asking = new AbortController();
  let later = 0;

  /** The features that are scaled: a group's, or the chosen one as the page has it now. */
  function nodes() {
    const group = form.elements.group?.selectedOptions[0];
    return group?.value ? group.dataset.nodes : document.getElementById("graph-node").dataset.node ?? "";
  }

  function remember() {
    const address = new URL(location.href);
    address.searchParams.set("scale", slider.value);
    const group = form.elements.group?.value;
    if (group) address.searchParams.set("group", group);
    else address.searchParams.delete("group");
    history.replaceState(history.state, "", address);
  }

  async function ask() {
    asking.abort();
    asking = new AbortController();
    const chosen = nodes();
    if (!chosen) {
      problem.textContent = "Choose a feature first.";
      return;
    }
    section.setAttribute("aria-busy", "true");
    try {
      const query = new URLSearchParams({ nodes: chosen, factor: slider.value });
      const answer = await fetch(`${section.dataset.from}?${query}`, { signal: asking.signal });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.detail ?? answer.statusText);
      problem.textContent = "";
      table.hidden = false;
      table.tBodies[0].replaceChildren(...said.targets.map(row));
      section.removeAttribute("aria-busy");
      remember();
    } catch (error) {
      if (error.name === "AbortError") return;
      section.removeAttribute("aria-busy");
      problem.textContent = error.message;
    }
  }

  function moved() {
    const text = slider.value.replace("-", MINUS);
    output.textContent = text;
    slider.setAttribute("aria-valuetext", `${text} times`);
    clearTimeout(later);
    later = setTimeout(ask, SOON);
  }

  slider.addEventListener("input", moved);
  form.elements.group?.addEventListener("change", moved);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    moved();
  });
}

if (section) listen();
