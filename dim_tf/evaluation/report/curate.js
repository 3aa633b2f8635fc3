"use strict";
// Filter by kind, walk with j and k, enlarge with Enter or a click.

const filter = document.querySelector(".filter");
const buttons = [...filter.querySelectorAll("button")];
const sections = [...document.querySelectorAll("section")];
const dialog = document.querySelector("dialog");

function choose(kind) {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
  }
  for (const section of sections) section.hidden = kind !== "" && section.dataset.kind !== kind;
}

function visibleCards() {
  return [...document.querySelectorAll("section:not([hidden]) .card")];
}

// The card after or before the one that has the focus, or had it last.
let current = null;
function move(step) {
  const cards = visibleCards();
  if (!cards.length) return;
  const place = cards.indexOf(current);
  const next = place < 0 ? (step > 0 ? 0 : cards.length - 1) : place + step;
  current = cards[Math.min(Math.max(next, 0), cards.length - 1)];
  current.focus();
  current.scrollIntoView({ block: "nearest" });
  if (dialog.open) show(current);
}

function show(card) {
  const copy = card.cloneNode(true);
  copy.removeAttribute("tabindex");
  dialog.querySelector("div").replaceChildren(copy);
  if (!dialog.open) dialog.showModal();
}

for (const button of buttons) {
  button.addEventListener("click", () => choose(button.dataset.kind));
}
for (const card of visibleCards()) {
  card.addEventListener("focus", () => {
    current = card;
  });
  card.addEventListener("click", () => {
    current = card;
    show(card);
  });
}
dialog.querySelector("button").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside it
});
dialog.addEventListener("close", () => current?.focus());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "Escape") dialog.close();
  else if (event.key === "Enter" && document.activeElement?.matches("section .card")) {
    event.preventDefault();
    show(document.activeElement);
  } else if (/^[0-9]$/.test(event.key) && buttons[event.key] && !dialog.open) {
    choose(buttons[event.key].dataset.kind);
  }
});

filter.hidden = false;
document.querySelector(".how").hidden = false;
