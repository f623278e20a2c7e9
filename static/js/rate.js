// Blind rating by keyboard: digits answer, arrows walk, Enter keeps, x skips. What is marked and not
// yet kept waits in this browser, so that nothing is lost by looking at another item.

const form = document.getElementById("rating");
const text = form.elements.interpretation;
const questions = [...form.querySelectorAll("fieldset")];
const draft = `rating ${location.pathname} ${form.elements.rater.value}`;

const radios = (question) => [...question.querySelectorAll("input")];
const answer = (question) => question.querySelector("input:checked");
const focused = () => questions.find((question) => question.contains(document.activeElement));
const open = () => questions.find((question) => !answer(question));

function walkTo(question) {
  if (!question) return;
  (answer(question) ?? radios(question)[0]).focus();
  question.scrollIntoView({ block: "nearest" });
}

function choose(question, value) {
  const radio = radios(question)[value];
  if (!radio) return;
  radio.checked = true;
  radio.focus();
  changed();
}

function step(by) {
  const now = focused() ?? open() ?? questions[0];
  const at = answer(now) ? Number(answer(now).value) : by > 0 ? -1 : radios(now).length;
  choose(now, Math.min(Math.max(at + by, 0), radios(now).length - 1));
}

function digit(value) {
  const now = focused() ?? open() ?? questions[0];
  if (value >= radios(now).length) return;
  choose(now, value);
  walkTo(questions[questions.indexOf(now) + 1] ?? now);
}

function walk(by) {
  const now = focused();
  walkTo(now ? questions[questions.indexOf(now) + by] : open() ?? questions[0]);
}

const answers = () => questions.map((question) => answer(question)?.value ?? "");

function total() {
  const output = form.querySelector("output");
  const points = answers().reduce((sum, value) => sum + Number(value), 0);
  output.textContent = answers().includes("") ? "" : `${points} of ${output.dataset.of} points`;
}

function changed() {
  total();
  localStorage.setItem(draft, JSON.stringify({ seen: form.elements.seen.value, text: text.value, answers: answers() }));
}

function restore() {
  const kept = JSON.parse(localStorage.getItem(draft) ?? "null");
  if (kept?.seen !== form.elements.seen.value || form.querySelector("[role=alert]")) return;
  text.value = kept.text;
  kept.answers.forEach((value, i) => {
    if (value !== "") radios(questions[i])[Number(value)].checked = true;
  });
}

const press = (deed) => form.requestSubmit(form.querySelector(`[value=${deed}]`));
const KEYS = {
  ArrowUp: () => walk(-1),
  ArrowDown: () => walk(1),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Enter: () => press("rate"),
  x: () => press("skip"),
  i: () => text.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const at = event.target;
  if (at === text && event.key === "Enter" && !event.shiftKey) walkTo(open() ?? questions[0]);
  else if (at.closest("textarea, input:not([type=radio]), a, button, summary, [role=region]")) return;
  else if (/^[0-9]$/.test(event.key)) digit(Number(event.key));
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});
form.addEventListener("input", changed);
form.addEventListener("submit", () => localStorage.removeItem(draft));
try {
  restore();
} catch {
  localStorage.removeItem(draft); // what stood there was no draft
}
total();
form.dataset.ready = "true"; // from here on keys are heard
