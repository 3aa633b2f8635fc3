"use strict";
// Embedding plots: zoom, pan, hide classes, show the images of the dots.
// The page's Content-Security-Policy lets this script run by its hash, and no other.

const SIZE = 1000; // of a plot, in its own units
const MAX_ZOOM = 60;
const MAX_THUMBNAILS = 160; // dots in view become images when they are no more than these
const TIP_DISTANCE = 18; // pixels from the pointer to the dot that the tooltip shows

function createSvg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function readDots(plot) {
  const dots = [];
  for (const path of plot.querySelectorAll(".dots path")) {
    for (const [, x, y] of path.getAttribute("d").matchAll(/M(\S+) (\S+)h0/g)) {
      dots.push({ x: +x, y: +y, path, index: dots.length });
    }
  }
  return dots;
}

function activate(plot) {
  const svg = plot.querySelector("svg");
  const tip = plot.querySelector(".tip");
  const thumbnails = plot.querySelector(".thumbnails");
  const sheet = document.getElementById(svg.dataset.sheet);
  const dots = readDots(plot);
  const view = { x: 0, y: 0, size: SIZE }; // the visible square
  const pointers = new Map();
  let pending = 0;

  // The image of a dot, cut out of the sheet, in a square at (x, y).
  function image(dot, x, y, side) {
    const { columns, width, height } = sheet.dataset;
    const left = (dot.index % columns) * width;
    const top = Math.floor(dot.index / columns) * height;
    const box = createSvg("svg", { x, y, width: side, height: side });
    box.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    box.append(createSvg("use", { href: `#${sheet.id}` }));
    return box;
  }

  function draw() {
    pending = 0;
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.size} ${view.size}`);
    svg.style.setProperty("--zoom", SIZE / view.size);
    svg.classList.toggle("near", view.size < SIZE);
    thumbnails.replaceChildren();
    if (!sheet || view.size === SIZE) return;
    const visible = dots.filter(
      (dot) =>
        !dot.path.classList.contains("off") &&
        Math.abs(dot.x - view.x - view.size / 2) < view.size / 2 &&
        Math.abs(dot.y - view.y - view.size / 2) < view.size / 2,
    );
    if (visible.length > MAX_THUMBNAILS) return;
    const side = (34 * view.size) / svg.clientWidth;
    for (const dot of visible) {
      const [x, y] = [dot.x - side / 2, dot.y - side / 2];
      const frame = createSvg("rect", { x, y, width: side, height: side, class: "frame" });
      frame.style.cssText = dot.path.style.cssText;
      thumbnails.append(image(dot, x, y, side), frame);
    }
  }

  function redraw() {
    pending ||= requestAnimationFrame(draw);
  }

  // Moves the view, which stays on the plot.
  function moveTo(x, y) {
    view.x = Math.min(Math.max(x, 0), SIZE - view.size);
    view.y = Math.min(Math.max(y, 0), SIZE - view.size);
    redraw();
  }

  // Zooms by a factor; the point (u, v), fractions of the view, stays where it is.
  function zoom(factor, u = 0.5, v = 0.5) {
    const before = view.size;
    view.size = Math.min(Math.max(before / factor, SIZE / MAX_ZOOM), SIZE);
    moveTo(view.x + u * (before - view.size), view.y + v * (before - view.size));
  }

  function reset() {
    view.size = SIZE;
    moveTo(0, 0);
  }

  function relativePosition(event) {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  function showTip(event) {
    const [u, v] = relativePosition(event);
    const [x, y] = [view.x + u * view.size, view.y + v * view.size];
    let nearest = null;
    let best = (TIP_DISTANCE * view.size) / svg.clientWidth;
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
    "+": () => zoom(1.5),
    "=": () => zoom(1.5),
    "-": () => zoom(1 / 1.5),
    0: reset,
    ArrowLeft: () => moveTo(view.x - view.size / 8, view.y),
    ArrowRight: () => moveTo(view.x + view.size / 8, view.y),
    ArrowUp: () => moveTo(view.x, view.y - view.size / 8),
    ArrowDown: () => moveTo(view.x, view.y + view.size / 8),
  };
  svg.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && view.size === SIZE) return; // these scroll the page
    event.preventDefault();
    keys[event.key]();
  });
  svg.addEventListener("dblclick", (event) => zoom(2, ...relativePosition(event)));
  svg.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the wheel alone scrolls the page
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 200), ...relativePosition(event));
    },
    { passive: false },
  );

  // One pointer pans, two zoom.
  svg.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return showTip(event);
    tip.hidden = true;
    const scale = view.size / svg.clientWidth;
    if (pointers.size === 2) {
      const [other] = [...pointers.values()].filter((pointer) => pointer !== before);
      const distance = (pointer) =>
        Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      zoom(distance(event) / Math.max(distance(before), 1), ...relativePosition(other));
    } else {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      moveTo(view.x - dx * scale, view.y - dy * scale);
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    svg.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });

  const buttons = { in: () => zoom(1.5), out: () => zoom(1 / 1.5), reset };
  for (const button of plot.querySelectorAll("button")) {
    button.addEventListener("click", buttons[button.dataset.action]);
  }
  for (const box of plot.querySelectorAll("input")) {
    box.addEventListener("change", () => {
      for (const element of plot.querySelectorAll(`.view .${box.dataset.class}`)) {
        element.classList.toggle("off", !box.checked);
      }
      redraw();
    });
  }
  plot.querySelector(".buttons").hidden = false;
  plot.classList.add("live");
}

document.querySelectorAll(".embedding").forEach(activate);
