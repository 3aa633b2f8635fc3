"use strict";
// Galleries: arrow keys move from image to image, Enter and a click enlarge one, H hides heat maps.
// The page's Content-Security-Policy lets this script run by its hash, and no other.

const matches = [...document.querySelectorAll(".match")];
const dialog = document.createElement("dialog");
dialog.className = "enlarged";
dialog.setAttribute("aria-label", "enlarged image");
document.body.append(dialog);
let current = -1;

function show(index) {
  if (!matches[index]) return;
  current = index;
  dialog.replaceChildren(...[...matches[index].children].map((child) => child.cloneNode(true)));
  if (!dialog.open) dialog.showModal();
}

// The match in the next row of images that is nearest to the one at `index`.
function vertical(index, direction) {
  const from = matches[index].getBoundingClientRect();
  let best = index;
  let bestDistance = Infinity;
  matches.forEach((match, number) => {
    const box = match.getBoundingClientRect();
    const down = direction * (box.top - from.top);
    if (down < 1) return;
    const distance = 10000 * down + Math.abs(box.left - from.left);
    if (distance < bestDistance) [best, bestDistance] = [number, distance];
  });
  return best;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "h" || event.key === "H") {
    document.body.classList.toggle("no-heat");
    return;
  }
  const index = dialog.open ? current : matches.indexOf(document.activeElement);
  if (index < 0) return;
  const targets = {
    ArrowLeft: () => index - 1,
    ArrowRight: () => index + 1,
    ArrowUp: () => vertical(index, -1),
    ArrowDown: () => vertical(index, 1),
    Home: () => 0,
    End: () => matches.length - 1,
  };
  if (!(event.key in targets)) return;
  event.preventDefault();
  const target = matches[targets[event.key]()];
  if (!target) return;
  if (dialog.open) show(matches.indexOf(target));
  target.focus();
});

matches.forEach((match, index) => match.addEventListener("click", () => show(index)));
dialog.addEventListener("click", () => {
  dialog.close();
  matches[current]?.focus(); // at once: the event comes later
});
dialog.addEventListener("close", () => matches[current]?.focus()); // by Escape
