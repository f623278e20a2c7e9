// Moving along a strip of tokens: one tab stop, arrows inside, click or Enter to choose.

export const tokenOf = (target) => target?.closest?.(".strip bdi") ?? null;
export const tokensOf = (strip) => [...strip.querySelectorAll("bdi")];
export const placeOf = (token) => tokensOf(token.closest(".strip")).indexOf(token);

function focusToken(token) {
  if (!token) return;
  for (const other of token.closest(".strip").querySelectorAll("bdi[tabindex='0']")) other.tabIndex = -1;
  token.tabIndex = 0;
  token.focus();
}

/** Sends the form that chooses a token; a chosen one is let go. */
function choose(token) {
  const form = document.getElementById("to-token");
  if (!form || !token.closest(".choosable")) return;
  if (token.classList.contains("here")) {
    document.querySelector("#the-token > .close").click();
    return;
  }
  const button = document.createElement("button");
  button.hidden = true;
  button.name = "token";
  button.value = String(placeOf(token));
  form.append(button);
  form.requestSubmit(button);
  button.remove();
}

document.addEventListener("keydown", (event) => {
  const token = tokenOf(event.target);
  if (!token || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = tokensOf(token.closest(".strip"));
  const at = row.indexOf(token);
  const moves = {
    ArrowLeft: () => focusToken(row[at - 1]),
    ArrowUp: () => focusToken(row[at - 1]),
    ArrowRight: () => focusToken(row[at + 1]),
    ArrowDown: () => focusToken(row[at + 1]),
    Home: () => focusToken(row[0]),
    End: () => focusToken(row.at(-1)),
    Enter: () => choose(token),
    " ": () => choose(token),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
});

document.addEventListener("click", (event) => {
  const token = tokenOf(event.target);
  if (token && getSelection().isCollapsed) choose(token);
});
