// The share menu: the page's address, a frame for elsewhere, files, a program, a citation.
import { copy } from "./clipboard.js";
import { page } from "./document.js";
import { pictures } from "./pictures.js";

const SHOWN_SECONDS = 2;

const menu = document.getElementById("share");
const said = menu?.querySelector("[role=status]");

let timer = 0;

/** Says what was done, for a moment. */
function say(sentence) {
  clearTimeout(timer);
  said.textContent = sentence;
  timer = setTimeout(() => { said.textContent = ""; }, SHOWN_SECONDS * 1000);
}

/** Hands a text to the browser as a file. */
function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

const fileName = (ending) =>
  `${document.title.replace(/ · Featurescope$/, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "page"}.${ending}`;

/** The page's address in the JSON interface. */
const twin = () => `/api/v1${location.pathname.replace(/\/$/, "")}${location.search}`;

const quoted = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** The frame, with the parts that are checked. */
function frame() {
  const address = new URL(menu.dataset.embed, location);
  const parts = [...menu.querySelectorAll("[name=part]:checked")].map((part) => part.value);
  address.searchParams.set("parts", parts.join(","));
  const source = escaped(address.href.replaceAll("%2C", ","));
  return `<iframe src="${source}" title="${escaped(document.title)}" width="800" height="520" loading="lazy"></iframe>`;
}

/** A program that gets what the page shows: the page's own where it has one. */
async function program() {
  const own = document.querySelector(".program code");
  if (own) return own.textContent;
  const link = document.getElementById("copy-python");
  if (link) {
    const answer = await fetch(link.href, { headers: { Accept: "text/plain" } }).catch(() => null);
    return answer?.ok ? answer.text() : "";
  }
  return `from app.client import FeaturescopeClient

with FeaturescopeClient(${quoted(location.origin)}) as client:
    page = client.read(${quoted(location.pathname + location.search)})
print(page)
`;
}

/** What to cite, with the address and the day on which it was read. */
const citation = () =>
  `${menu.querySelector(".citation").textContent} ${location.href}, read on ${new Date().toISOString().slice(0, 10)}.`;

const TEXTS = {
  link: () => location.href,
  embed: frame,
  python: program,
  citation,
};

async function give(what) {
  if (what === "html") {
    save(fileName("html"), "text/html", page());
    return say("Saved.");
  }
  const text = await TEXTS[what]();
  if (!text) return say("This page has no program as it is now.");
  if (await copy(text)) say("Copied.");
}

/** The plots that are on the page now, each as a file to take. */
function listPictures() {
  const place = menu.querySelector(".pictures");
  const all = pictures();
  place.hidden = !all.length;
  place.querySelector("ul").replaceChildren(...all.map(({ name, draw }) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      save(fileName(`${name.replace(/[^\p{L}\p{N}]+/gu, "-")}.svg`), "image/svg+xml", draw());
      say("Saved.");
    });
    item.append(button);
    return item;
  }));
}

document.addEventListener("click", (event) => {
  if (!menu) return;
  if (event.target.closest?.(".to-share")) {
    const link = menu.querySelector("a.twin");
    if (link) link.href = twin();
    listPictures();
    menu.showModal();
    return;
  }
  const asked = event.target.closest?.("#share [data-give]");
  if (asked) give(asked.dataset.give);
});
