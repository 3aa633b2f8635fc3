"use strict";
// The page of --serve: an image that is dropped, pasted or chosen is sent to this server alone.

const form = document.querySelector(".search-form");
const input = form.querySelector("input");
const status = document.querySelector(".status");
const preview = document.querySelector(".preview");
const gallery = document.querySelector(".gallery");
const maxBytes = Number(form.dataset.maxBytes);
let searches = 0;

function element(name, properties, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

function matchItem(match) {
  const image = element("img", { src: `/thumbnails/${match.row}`, alt: "" });
  image.addEventListener("error", () =>
    image.replaceWith(element("span", { className: "missing" }, "image cannot be read")),
  );
  return element(
    "li",
    { className: "match" },
    element("span", { className: "image" }, image),
    element("span", { className: "similarity" }, match.similarity.toFixed(4)),
    element("span", { className: "id" }, match.id),
  );
}

async function search(file) {
  if (!file) return;
  const number = ++searches;
  gallery.replaceChildren();
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  if (file.size > maxBytes) {
    status.textContent = `The file has more than ${maxBytes.toLocaleString()} bytes.`;
    return;
  }
  status.textContent = "Searching …";
  try {
    const response = await fetch("/search", { method: "POST", body: file });
    const answer = await response.json();
    if (number !== searches) return; // a later image has been dropped
    status.textContent = answer.error ?? `${answer.matches.length} most similar images:`;
    gallery.replaceChildren(...(answer.matches ?? []).map(matchItem));
  } catch {
    if (number === searches) status.textContent = "The server does not answer; is it running?";
  }
}

input.addEventListener("change", () => search(input.files[0]));
document.addEventListener("paste", (event) => search(event.clipboardData.files[0]));
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "drop") search(event.dataTransfer.files[0]);
  });
}
