// A click while an answer is under way goes on from what was asked, not from what is still shown.

const LONGEST = 30_000; // characters that servers and browsers take for an address

const pending = new Map(); // id of the part of the page -> { ctx, address }

const partOf = (ctx) => (typeof ctx.target === "string" ? ctx.target.replace("#", "") : ctx.target?.id);

/** The values of a name; an empty one, as forms send it, says nothing. */
const values = (url, name) => JSON.stringify(url.searchParams.getAll(name).filter(Boolean));

/** The names that a form's own controls set: these are as the reader sees them. */
const controlled = (form) =>
  [...(form.elements ?? [])].filter((one) => !["hidden", "submit"].includes(one.type)).map((one) => one.name);

/** What `wanted` changes of `shown`, changed of `asked` instead; `own`: names that it always sets. */
function compose(asked, shown, wanted, own) {
  const made = new URL(asked);
  for (const name of new Set([...own, ...shown.searchParams.keys(), ...wanted.searchParams.keys()])) {
    if (!own.includes(name) && values(shown, name) === values(wanted, name)) continue;
    made.searchParams.delete(name);
    for (const value of wanted.searchParams.getAll(name)) made.searchParams.append(name, value);
  }
  return made;
}

document.addEventListener("htmx:before:request", (event) => {
  const { ctx } = event.detail;
  const part = partOf(ctx);
  if (!part) return;
  const wanted = new URL(ctx.request.action, location);
  const before = pending.get(part);
  if (ctx.request.method === "POST") {
    wanted.search = String(ctx.request.body); // forms lead to the address of what they say
  } else if (before?.address.pathname === wanted.pathname && location.pathname === wanted.pathname) {
    const made = compose(before.address, new URL(location), wanted, controlled(ctx.sourceElement));
    if (made.search.length <= LONGEST) ctx.request.action = made.pathname + made.search;
    wanted.search = made.search;
  }
  pending.set(part, { ctx, address: wanted });
});

document.addEventListener("htmx:finally:request", (event) => {
  const part = partOf(event.detail.ctx);
  if (pending.get(part)?.ctx === event.detail.ctx) pending.delete(part);
});
