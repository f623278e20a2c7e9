// Copying: into the clipboard where the browser lets a page, else by hand from a field.

const SENTENCE = "A page that comes by plain http cannot copy by itself. The text is selected: copy it with Ctrl + C, or ⌘ C.";

/** The field from which one copies by hand, with the text selected. */
function offer(text) {
  const dialog = document.createElement("dialog");
  dialog.className = "by-hand";
  const sentence = document.createElement("p");
  sentence.id = "by-hand";
  sentence.textContent = SENTENCE;
  const field = document.createElement("textarea");
  field.readOnly = true;
  field.rows = Math.min(16, text.split("\n").length + 1);
  field.value = text;
  field.setAttribute("aria-labelledby", sentence.id);
  const close = document.createElement("button");
  close.textContent = "Close";
  const form = document.createElement("form");
  form.method = "dialog";
  form.append(sentence, field, close);
  dialog.setAttribute("aria-labelledby", sentence.id);
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  field.select();
}

/** Copies a text; where that is not possible it is offered, selected. True: it was copied. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    offer(text);
    return false;
  }
}
