// Plots as SVG files: what the style sheets give each mark is written into it.

const LOOKS = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor", "paint-order",
];
const NS = "http://www.w3.org/2000/svg";

/** What a plot is called: its own label up to the first sentence, else its caption. */
function nameOf(svg, place) {
  const caption = svg.closest("figure")?.querySelector("figcaption")?.firstChild?.textContent.trim();
  const label = caption || svg.getAttribute("aria-label") || svg.querySelector("title")?.textContent || `plot ${place + 1}`;
  return label.split(/[:;,.]/)[0].slice(0, 80);
}

function draw(svg) {
  const copy = svg.cloneNode(true);
  const [originals, copies] = [svg, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  originals.forEach((original, place) => {
    const style = getComputedStyle(original);
    for (const look of LOOKS) copies[place].setAttribute(look, style.getPropertyValue(look));
    copies[place].removeAttribute("class");
  });
  const [x, y, width, height] = svg.getAttribute("viewBox").split(/[\s,]+/);
  for (const [name, value] of Object.entries({ xmlns: NS, width, height })) copy.setAttribute(name, value);
  const paper = document.createElementNS(NS, "rect");
  const fill = getComputedStyle(document.body).backgroundColor;
  for (const [name, value] of Object.entries({ x, y, width, height, fill })) paper.setAttribute(name, value);
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
}

/** The plots that can be seen, each with its name and how it is drawn as a file. */
export const pictures = () =>
  [...document.querySelectorAll("main svg:is(.chart, .plot, .curve)")]
    .filter((svg) => svg.checkVisibility() && svg.childElementCount)
    .map((svg, place) => ({ name: nameOf(svg, place), draw: () => draw(svg) }));
