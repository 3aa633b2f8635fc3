"use strict";
// Maps of projections: enlarge, move, hide classes, show the images of the dots.
// The page's Content-Security-Policy lets this script run by its hash, and no other.

const SIZE = 1000; // of a map, in its own units
const DEEPEST = 60; // how often it can be enlarged
const MOST_THUMBS = 160; // dots in view become images when they are no more than these
const REACH = 18; // pixels around the pointer in which a dot is told

function make(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function dotsOf(map) {
  const dots = [];
  for (const path of map.querySelectorAll(".dots path")) {
    for (const [, x, y] of path.getAttribute("d").matchAll(/M(\S+) (\S+)h0/g)) {
      dots.push({ x: +x, y: +y, path, index: dots.length });
    }
  }
  return dots;
}

function start(map) {
  const svg = map.querySelector("svg");
  const tip = map.querySelector(".tip");
  const thumbs = map.querySelector(".thumbs");
  const sheet = document.getElementById(svg.dataset.sheet);
  const dots = dotsOf(map);
  const view = { x: 0, y: 0, size: SIZE }; // the square that is seen
  const fingers = new Map();
  let pending = 0;

  // The image of a dot, cut out of the sheet, in a box of the given place and side.
  function image(dot, x, y, side) {
    const { across, width, height } = sheet.dataset;
    const left = (dot.index % across) * width;
    const top = Math.floor(dot.index / across) * height;
    const box = make("svg", { x, y, width: side, height: side });
    box.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    box.append(make("use", { href: `#${sheet.id}` }));
    return box;
  }

  function draw() {
    pending = 0;
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.size} ${view.size}`);
    svg.style.setProperty("--zoom", SIZE / view.size);
    svg.classList.toggle("near", view.size < SIZE);
    thumbs.replaceChildren();
    if (!sheet || view.size === SIZE) return;
    const seen = dots.filter(
      (dot) =>
        !dot.path.classList.contains("off") &&
        Math.abs(dot.x - view.x - view.size / 2) < view.size / 2 &&
        Math.abs(dot.y - view.y - view.size / 2) < view.size / 2,
    );
    if (seen.length > MOST_THUMBS) return;
    const side = (34 * view.size) / svg.clientWidth;
    for (const dot of seen) {
      const [x, y] = [dot.x - side / 2, dot.y - side / 2];
      const frame = make("rect", { x, y, width: side, height: side, class: "frame" });
      frame.style.cssText = dot.path.style.cssText;
      thumbs.append(image(dot, x, y, side), frame);
    }
  }

  function show() {
    pending ||= requestAnimationFrame(draw);
  }

  // Moves so that the whole view stays on the map.
  function place(x, y) {
    view.x = Math.min(Math.max(x, 0), SIZE - view.size);
    view.y = Math.min(Math.max(y, 0), SIZE - view.size);
    show();
  }

  // Enlarges by a factor; the place (u, v), shares of the view, stays where it is.
  function enlarge(factor, u = 0.5, v = 0.5) {
    const before = view.size;
    view.size = Math.min(Math.max(before / factor, SIZE / DEEPEST), SIZE);
    place(view.x + u * (before - view.size), view.y + v * (before - view.size));
  }

  function reset() {
    view.size = SIZE;
    place(0, 0);
  }

  function share(event) {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  function tell(event) {
    const [u, v] = share(event);
    const [x, y] = [view.x + u * view.size, view.y + v * view.size];
    let nearest = null;
    let best = (REACH * view.size) / svg.clientWidth;
    for (const dot of dots) {
      const distance = Math.hypot(dot.x - x, dot.y - y);
      if (distance < best && !dot.path.classList.contains("off")) {
        nearest = dot;
        best = distance;
      }
    }
    tip.hidden = !nearest || (!sheet && !nearest.path.dataset.name);
    if (tip.hidden) return;
    tip.replaceChildren(nearest.path.dataset.name);
    if (sheet) tip.prepend(image(nearest, 0, 0, 84));
    tip.style.left = `${100 * u}%`;
    tip.style.top = `${100 * v}%`;
    tip.classList.toggle("left", u > 0.6);
    tip.classList.toggle("above", v > 0.6);
  }

  const keys = {
    "+": () => enlarge(1.5),
    "=": () => enlarge(1.5),
    "-": () => enlarge(1 / 1.5),
    0: reset,
    ArrowLeft: () => place(view.x - view.size / 8, view.y),
    ArrowRight: () => place(view.x + view.size / 8, view.y),
    ArrowUp: () => place(view.x, view.y - view.size / 8),
    ArrowDown: () => place(view.x, view.y + view.size / 8),
  };
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && view.size === SIZE) return; // these move the page
    event.preventDefault();
    keys[event.key]();
  });
  svg.addEventListener("dblclick", (event) => enlarge(2, ...share(event)));
  svg.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the wheel alone moves the page
      event.preventDefault();
      enlarge(Math.exp(-event.deltaY / 200), ...share(event));
    },
    { passive: false },
  );

  // One finger or the mouse moves, two fingers enlarge.
  svg.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return tell(event);
    tip.hidden = true;
    const scale = view.size / svg.clientWidth;
    if (fingers.size === 2) {
      const [other] = [...fingers.values()].filter((finger) => finger !== before);
      const apart = (finger) =>
        Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      enlarge(apart(event) / Math.max(apart(before), 1), ...share(other));
    } else {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      place(view.x - dx * scale, view.y - dy * scale);
    }
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });

  const buttons = { in: () => enlarge(1.5), out: () => enlarge(1 / 1.5), reset };
  for (const button of map.querySelectorAll("button")) {
    button.addEventListener("click", buttons[button.dataset.do]);
  }
  for (const box of map.querySelectorAll("input")) {
    box.addEventListener("change", () => {
      for (const part of map.querySelectorAll(`.view .${box.dataset.class}`)) {
        part.classList.toggle("off", !box.checked);
      }
      show();
    });
  }
  map.querySelector(".buttons").hidden = false;
  map.classList.add("live");
}

document.querySelectorAll(".map").forEach(start);
