// The page as it is now, as one file that needs no server: no scripts, its style sheets inside.

const NOT_READ = "script, link, noscript, base, dialog, button, input, select, .needs-script, .no-script, .skip, .search";
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** The rules of all style sheets, each under its own condition. */
function style() {
  return [...document.styleSheets].map((sheet) => {
    const rules = [...sheet.cssRules].map((rule) => rule.cssText).join("\n");
    const condition = sheet.media.mediaText;
    return condition ? `@media ${condition} {\n${rules}\n}` : rules;
  }).join("\n");
}

/** A text field as the text in it. */
function asText(field, value) {
  const text = document.createElement("pre");
  text.textContent = value;
  field.replaceWith(text);
}

function made(name, attributes) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Canvases as pictures of what is drawn on them, which only they know how to draw. */
function asPictures(root) {
  const drawn = [...document.querySelectorAll("canvas")];
  [...root.querySelectorAll("canvas")].forEach((canvas, place) => {
    drawn[place].dispatchEvent(new Event("snapshot"));
    canvas.replaceWith(made("img", { src: drawn[place].toDataURL(), alt: canvas.getAttribute("aria-label") ?? "" }));
  });
}

export function page() {
  const root = document.documentElement.cloneNode(true);
  asPictures(root);
  const values = [...document.querySelectorAll("textarea")].map((field) => field.value);
  [...root.querySelectorAll("textarea")].forEach((field, place) => asText(field, values[place]));
  const kept = [...root.querySelectorAll(".strip, .contexts")];
  for (const part of root.querySelectorAll(NOT_READ)) {
    if (!kept.some((one) => part.contains(one))) part.remove();
  }
  for (const link of root.querySelectorAll("a[href]")) {
    link.setAttribute("href", new URL(link.getAttribute("href"), document.baseURI).href);
  }
  for (const element of root.querySelectorAll("*")) {
    for (const { name } of [...element.attributes]) {
      if (name.startsWith("hx-") || name === "data-tokens") element.removeAttribute(name);
    }
  }
  const sheet = made("style", {});
  sheet.textContent = style().replaceAll("</", "<\\/");
  root.querySelector("meta[charset]").after(made("meta", { "http-equiv": "Content-Security-Policy", content: POLICY }));
  root.querySelector("head").append(sheet);
  return `<!doctype html>\n<html lang="en">${root.getHTML()}</html>\n`;
}
