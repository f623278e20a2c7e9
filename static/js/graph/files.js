// The picture of a graph as a file, for a paper.

import { CanvasPen, SvgPen } from "./pens.js";

const FINE = 3; // pixels of a PNG for each of the page

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}

export function png(picture, view, size, looks, name) {
  const sheet = document.createElement("canvas");
  picture.draw(new CanvasPen(sheet, size.width, size.height, FINE, looks.paper), view, size, looks);
  sheet.toBlob((blob) => save(`${name}.png`, blob), "image/png");
}

export function svg(picture, view, size, looks, name) {
  const pen = new SvgPen(size.width, size.height, looks.paper, document.title);
  picture.draw(pen, view, size, looks);
  save(`${name}.svg`, new Blob([String(pen)], { type: "image/svg+xml" }));
}
