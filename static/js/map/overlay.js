// What lies above the points: the lasso, and rings around features.

const SVG = "http://www.w3.org/2000/svg";

export class Overlay {
  lasso = null; // x and y of each corner, on the map
  chosen = null; // a place
  near = null; // a place
  #lasso;
  #rings;

  constructor(svg) {
    const made = (name, className) => {
      const element = document.createElementNS(SVG, name);
      element.setAttribute("class", className);
      svg.append(element);
      return element;
    };
    this.#lasso = made("polygon", "lasso");
    this.#rings = { chosen: made("circle", "ring chosen"), near: made("circle", "ring") };
  }

  draw(view) {
    const x = (value) => (value - view.x) / view.width + 0.5;
    const y = (value) => (value - view.y) / view.width + 0.5;
    const corners = this.lasso ?? [];
    this.#lasso.setAttribute("points", corners.map((value, n) => (n % 2 ? y(value) : x(value)).toFixed(5)).join(" "));
    for (const [name, ring] of Object.entries(this.#rings)) {
      const place = this[name];
      ring.setAttribute("r", place ? "0.014" : "0");
      if (!place) continue;
      ring.setAttribute("cx", x(place.x).toFixed(5));
      ring.setAttribute("cy", y(place.y).toFixed(5));
    }
  }
}
