// A graph from a file: sent as it is, kept by the server, and then its page.

const MOST = 16 * 2 ** 20; // bytes that the server takes

const form = document.getElementById("graph-file");
const status = document.getElementById("file-says");

async function read() {
  const [file] = form.querySelector("input").files;
  if (!file) return "Choose a file first.";
  if (file.size > MOST) return `The file has ${(file.size / 2 ** 20).toFixed(0)} MiB; up to 16 are read here. “featurescope graph” reads larger ones.`;
  status.textContent = "Reading …";
  const answer = await fetch(form.dataset.to, { method: "POST", body: file, headers: { "Content-Type": "application/json" } });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) return told.detail ?? "The file could not be read.";
  location.assign(told.address);
  return "";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  status.textContent = await read().catch(() => "The server did not answer; try again.");
});
