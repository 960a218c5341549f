/** The map: works where the projection puts them, as pictures that grow with the zoom, under the names of clusters. */

import { rgbOf } from "./colour.js";
import { fill, framed, h, icon, settled } from "./dom.js";
import { createPlainRenderer, createRenderer } from "./marks.js";
import { along, chosen, code } from "./morton.js";
import { number, t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./marks").Camera} Camera */
/** @typedef {import("./marks").Marks} Marks */

const SPAN = 65536;
const KEPT_SQUARES = 600;
/** Levels between a square and its cells: 32 by 32 cells. */
const CELLS = 5;
const LARGEST = 120;
const NAMES = 18;

/** @param {Context} context */
export function createMap(context) {
  const { collection, engine, selection, store, thumbs } = context;
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": t("map.label"), "aria-describedby": "map-keys" });
  const names = h("div", { class: "names", "aria-hidden": "true" });
  const tip = h("p", { class: "tip", hidden: true, "aria-hidden": "true" });
  const cross = h("span", { class: "cross", "aria-hidden": "true" });
  const drawing = h("canvas", { class: "drawing", "aria-hidden": "true" });
  const none = h("p", { class: "nothing", hidden: true });
  const lasso = h("button", { type: "button", "aria-pressed": "false", "aria-label": t("map.lasso"), title: t("map.lasso"), on: { click: () => lassoing(!roping) } }, icon("lasso"));
  const controls = h(
    "div",
    { class: "controls" },
    ...[
      ["plus", "zoom.in", () => zoom(1.6)],
      ["minus", "zoom.out", () => zoom(1 / 1.6)],
      ["fit", "map.fit", () => whole()],
    ].map(([name, key, act]) => h("button", { type: "button", "aria-label": t(String(key)), title: t(String(key)), on: { click: act } }, icon(String(name)))),
    lasso,
  );
  const note = h("p", { class: "voice", id: "map-keys" }, t("map.keys"));
  const element = h("section", { class: "view map" }, canvas, names, drawing, cross, tip, controls, note, none);

  /** @type {import("./marks").Renderer | null} */
  let renderer = null;
  /** @type {{rows: Uint32Array, keys: Uint32Array} | null} */
  let works = null;
  /** @type {import("./types").Column} */
  let xs = new Uint16Array(0);
  /** @type {import("./types").Column} */
  let ys = new Uint16Array(0);
  /** @type {Camera} */
  const camera = { x: 0.5, y: 0.5, scale: 600 };
  /** @type {Map<string, number[]>} */
  const squares = new Map();
  /** @type {Marks} */
  let marks = { count: 0, rows: new Uint32Array(0), places: new Float32Array(0), pixels: 24, selected: selection.has, colour: colourOf };
  /** @type {{name: string, x: number, y: number, size: number, label: HTMLElement, wide: number}[]} */
  let labels = [];
  let [width, height, least, roping, signature, shown] = [0, 0, 600, false, "", ""];
  /** @type {Promise<void> | null} */
  let opening = null;
  const again = framed(draw);
  const remember = settled(400, () => {
    if (store.get().view === "map" && works) store.set({ camera: [camera.x, camera.y].map((value) => value.toFixed(5)).join(",") + `,${(camera.scale / least).toFixed(3)}` }, { replace: true });
  });

  /** @type {[number, number, number]} */
  let accent = [0.5, 0.2, 0.15];
  /** @type {[number, number, number]} */
  let grey = [0.7, 0.68, 0.65];

  function coloured() {
    const dark = getComputedStyle(element).colorScheme === "dark";
    accent = dark ? [0.9, 0.66, 0.55] : [0.49, 0.18, 0.13];
    grey = dark ? [0.25, 0.24, 0.22] : [0.82, 0.79, 0.75];
  }

  /** @param {number} row @returns {[number, number, number]} */
  function colourOf(row) {
    const colors = collection.readyColors();
    return colors ? rgbOf(colors[row * 20], colors[row * 20 + 1], colors[row * 20 + 2]) : grey;
  }

  async function open() {
    const { index } = collection;
    if (!index.projection || !collection.has("x")) {
      none.hidden = false;
      fill(none, t("map.none"));
      return;
    }
    [xs, ys] = await Promise.all([collection.column("x"), collection.column("y")]);
    const status = collection.ready("status");
    works = along(xs, ys, (row) => !status?.[row]);
    renderer = (collection.local ? null : createRenderer(canvas, thumbs, again, () => accent)) ?? createPlainRenderer(canvas, thumbs, again, () => accent);
    sized();
    const [x, y, zoomed] = (store.get().camera ?? "").split(",").map(Number);
    if (zoomed > 0 && Number.isFinite(x + y)) Object.assign(camera, { x, y, scale: least * zoomed });
    else whole();
    if (index.colors) void collection.colors().then(() => refreshed());
    if (index.clusters) void named(index.clusters.names);
  }

  /** Put the names of clusters where the middle of their works lies. @param {string[]} terms */
  async function named(terms) {
    const codes = await collection.column("cluster");
    const status = collection.ready("status");
    const across = terms.map(() => new Uint32Array(256));
    const down = terms.map(() => new Uint32Array(256));
    const sizes = new Uint32Array(terms.length);
    for (let row = 0; row < codes.length; row++) {
      const k = codes[row] - 1;
      if (k < 0 || status?.[row]) continue;
      across[k][xs[row] >> 8]++;
      down[k][ys[row] >> 8]++;
      sizes[k]++;
    }
    /** @param {Uint32Array} counts @param {number} total */
    const median = (counts, total) => {
      let sum = 0;
      for (let k = 0; k < 256; k++) if ((sum += counts[k]) * 2 >= total) return (k + 0.5) / 256;
      return 0.5;
    };
    labels = terms
      .map((name, k) => ({ name, x: median(across[k], sizes[k]), y: median(down[k], sizes[k]), size: sizes[k], label: h("span", {}, name), wide: 0 }))
      .filter(({ size }) => size > 0)
      .sort((a, b) => b.size - a.size);
    fill(names, ...labels.map(({ label }) => label));
    for (const one of labels) one.wide = one.label.offsetWidth;
    again();
  }

  function sized() {
    if (!element.clientWidth || !renderer) return;
    [width, height] = [element.clientWidth, element.clientHeight];
    least = Math.min(width, height) * 0.9;
    drawing.width = width;
    drawing.height = height;
    renderer.resize(width, height, Math.min(2, devicePixelRatio));
    signature = "";
    again();
  }

  function whole() {
    Object.assign(camera, { x: 0.5, y: 0.5, scale: least });
    moved();
  }

  function moved() {
    camera.scale = Math.min(SPAN * LARGEST * 0.5, Math.max(least * 0.5, camera.scale));
    camera.x = Math.min(1.1, Math.max(-0.1, camera.x));
    camera.y = Math.min(1.1, Math.max(-0.1, camera.y));
    tip.hidden = true;
    again();
    remember();
  }

  function refreshed() {
    squares.clear();
    signature = "";
    again();
  }

  /** @param {number} factor @param {number} [px] @param {number} [py] Point that stays, CSS pixels. */
  function zoom(factor, px = width / 2, py = height / 2) {
    const before = camera.scale;
    const x = camera.x + (px - width / 2) / before;
    const y = camera.y + (py - height / 2) / before;
    camera.scale = Math.min(SPAN * LARGEST * 0.5, Math.max(least * 0.5, before * factor));
    camera.x = x - (px - width / 2) / camera.scale;
    camera.y = y - (py - height / 2) / camera.scale;
    moved();
  }

  /** How large marks are at this zoom, and how fine the cells that each show one work. */
  function level() {
    const count = Math.max(1, works?.rows.length ?? 1);
    const first = Math.min(64, Math.max(16, Math.sqrt((width * height) / count) * 0.7));
    const target = Math.min(LARGEST * 0.6, first * (camera.scale / least) ** 0.4);
    const cells = Math.max(2, Math.min(16, Math.floor(Math.log2(camera.scale / target))));
    return { cells, pixels: Math.min(LARGEST, Math.max(target, (camera.scale / 2 ** cells) * 0.96)) };
  }

  /** Choose the works that are drawn. @returns {boolean} Whether they changed. */
  function choose() {
    if (!works) return false;
    const { cells, pixels } = level();
    const squareLevel = Math.max(0, cells - CELLS);
    const across = 2 ** squareLevel;
    const margin = pixels / 2 / camera.scale;
    const [left, right] = [-1, 1].map((side) => Math.floor((camera.x + side * (width / 2 / camera.scale + margin)) * across));
    const [top, bottom] = [-1, 1].map((side) => Math.floor((camera.y + side * (height / 2 / camera.scale + margin)) * across));
    const box = [left, right, top, bottom].map((value) => Math.max(0, Math.min(across - 1, value)));
    const mine = [cells, ...box].join();
    marks.pixels = pixels;
    if (mine === signature) return false;
    signature = mine;
    const rows = [];
    for (let y = box[2]; y <= box[3]; y++) {
      for (let x = box[0]; x <= box[1]; x++) {
        const square = code(x, y);
        const key = `${cells}/${square}`;
        let found = squares.get(key);
        if (!found) {
          if (squares.size > KEPT_SQUARES) squares.clear();
          found = chosen(works, squareLevel, square, cells, engine.fails);
          squares.set(key, found);
        }
        for (const row of found) rows.push(row);
      }
    }
    const places = new Float32Array(rows.length * 2);
    rows.forEach((row, i) => {
      places[i * 2] = (xs[row] + 0.5) / SPAN;
      places[i * 2 + 1] = (ys[row] + 0.5) / SPAN;
    });
    marks = { count: rows.length, rows: Uint32Array.from(rows), places, pixels, selected: selection.has, colour: colourOf };
    return true;
  }

  let dirty = false;

  function draw() {
    if (!renderer || !works || element.hidden || !width) return;
    const fresh = choose() || dirty;
    dirty = false;
    renderer.draw(camera, marks, fresh);
    element.dataset.marks = String(marks.count);
    place();
  }

  /** Move the names of clusters; where two would lie on each other the smaller cluster's is left out. */
  function place() {
    /** @type {[number, number, number][]} */
    const taken = [];
    for (const { x, y, label, wide } of labels) {
      const px = (x - camera.x) * camera.scale + width / 2;
      const py = (y - camera.y) * camera.scale + height / 2;
      const clear = px > -80 && px < width + 80 && py > 0 && py < height && taken.length < NAMES && taken.every(([tx, ty, tw]) => Math.abs(ty - py) > 34 || Math.abs(tx - px) > (tw + wide) / 2 + 12);
      label.style.visibility = clear ? "visible" : "hidden";
      if (!clear) continue;
      taken.push([px, py, wide]);
      label.style.transform = `translate(${px - wide / 2}px, ${py - 14}px)`;
    }
  }

  /** The work drawn at a point, the last drawn first. @param {number} px @param {number} py */
  function at(px, py) {
    for (let i = marks.count - 1; i >= 0; i--) {
      const [w, h2] = thumbs.sizeOf(marks.rows[i]);
      const longest = Math.max(w, h2, 1);
      const dx = Math.abs((marks.places[i * 2] - camera.x) * camera.scale + width / 2 - px);
      const dy = Math.abs((marks.places[i * 2 + 1] - camera.y) * camera.scale + height / 2 - py);
      if (dx <= ((w / longest) * marks.pixels) / 2 && dy <= ((h2 / longest) * marks.pixels) / 2) return marks.rows[i];
    }
    return -1;
  }

  /** The drawn work nearest to the middle. */
  function nearest() {
    let [best, row] = [Infinity, -1];
    for (let i = 0; i < marks.count; i++) {
      const distance = Math.hypot(marks.places[i * 2] - camera.x, marks.places[i * 2 + 1] - camera.y);
      if (distance < best) [best, row] = [distance, marks.rows[i]];
    }
    return row;
  }

  const speak = settled(300, () => {
    const row = nearest();
    if (row >= 0) void collection.work(row).then((work) => context.say(t("map.nearest", { title: work.title || work.record || work.id, by: context.byline(row) })));
  });

  /** @param {boolean} on */
  function lassoing(on) {
    roping = on;
    lasso.setAttribute("aria-pressed", String(on));
    element.toggleAttribute("data-lasso", on);
  }

  /** Select every work within a line, also those that are not drawn. @param {[number, number][]} line CSS pixels. */
  function catchWorks(line) {
    if (line.length < 3 || !works) return;
    const points = line.map(([px, py]) => [((px - width / 2) / camera.scale + camera.x) * SPAN, ((py - height / 2) / camera.scale + camera.y) * SPAN]);
    const [x0, x1] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
    const [y0, y1] = [Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y))];
    const inside = [];
    const placed = works.rows;
    for (let i = 0; i < placed.length; i++) {
      const row = placed[i];
      const [x, y] = [xs[row], ys[row]];
      if (x < x0 || x > x1 || y < y0 || y > y1 || engine.fails[row]) continue;
      let odd = false;
      for (let a = 0, b = points.length - 1; a < points.length; b = a++) {
        const [[ax, ay], [bx, by]] = [points[a], points[b]];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
      }
      if (odd) inside.push(row);
    }
    selection.add(inside);
    context.say(t("select.count", { n: selection.count }));
  }

  /** @param {[number, number][]} line */
  function rope(line) {
    const pen = drawing.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, width, height);
    if (line.length < 2) return;
    pen.beginPath();
    line.forEach(([x, y]) => pen.lineTo(x, y));
    pen.closePath();
    const css = accent.map((value) => Math.round(value * 255)).join(" ");
    pen.fillStyle = `rgb(${css} / .14)`;
    pen.strokeStyle = `rgb(${css})`;
    pen.lineWidth = 2;
    pen.fill();
    pen.stroke();
  }

  /** @type {Map<number, [number, number]>} */
  const pointers = new Map();
  /** @type {[number, number][]} */
  let line = [];
  let travelled = 0;
  let drawn = false;

  /** @param {PointerEvent | WheelEvent} event @returns {[number, number]} */
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, point(event));
    travelled = 0;
    drawn = pointers.size === 1 && (roping || event.altKey);
    line = drawn ? [point(event)] : [];
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = point(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      hover(now);
      return;
    }
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (drawn) {
      line.push(now);
      rope(line);
    } else if (pointers.size === 2) {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)?.[1] ?? now;
      const ratio = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      zoom(ratio, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      camera.x -= (now[0] - before[0]) / camera.scale;
      camera.y -= (now[1] - before[1]) / camera.scale;
      moved();
    }
    pointers.set(event.pointerId, now);
  });
  for (const kind of /** @type {("pointerup" | "pointercancel")[]} */ (["pointerup", "pointercancel"])) {
    canvas.addEventListener(kind, (event) => {
      const last = pointers.get(event.pointerId);
      pointers.delete(event.pointerId);
      if (!last || kind === "pointercancel") return;
      if (drawn) {
        catchWorks(line);
        rope([]);
        lassoing(false);
      } else if (travelled < 5) {
        const row = at(...last);
        if (row < 0) return;
        if (event.shiftKey) selection.toggle(row);
        else void context.openRow(row);
      }
      drawn = false;
    });
  }
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016)), ...point(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 80 / camera.scale;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => (camera.x -= step),
      ArrowRight: () => (camera.x += step),
      ArrowUp: () => (camera.y -= step),
      ArrowDown: () => (camera.y += step),
      "+": () => zoom(1.4),
      "=": () => zoom(1.4),
      "-": () => zoom(1 / 1.4),
      0: whole,
      Enter: () => nearest() >= 0 && context.openRow(nearest()),
      " ": () => nearest() >= 0 && selection.toggle(nearest()),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
    if (event.key.startsWith("Arrow")) moved();
    if (event.key !== "Enter") speak();
  });

  /** @param {[number, number]} where */
  function hover([px, py]) {
    const row = roping ? -1 : at(px, py);
    canvas.style.cursor = roping ? "crosshair" : row >= 0 ? "zoom-in" : "grab";
    if (row < 0) {
      tip.hidden = true;
      return;
    }
    tip.hidden = false;
    tip.style.transform = `translate(${Math.min(px + 14, width - 240)}px, ${Math.min(py + 16, height - 64)}px)`;
    const work = collection.known(row);
    fill(tip, h("em", {}, work?.title || work?.record || t("work.number", { k: number(row + 1) })), h("span", {}, context.byline(row)));
    if (!work && tip.dataset.row !== String(row)) void collection.work(row).then(() => tip.dataset.row === String(row) && !tip.hidden && hover([px, py]));
    tip.dataset.row = String(row);
  }

  new ResizeObserver(sized).observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (coloured(), (dirty = true), again()));
  selection.listen(() => {
    dirty = true;
    again();
  });

  return {
    element,
    /** @param {Uint32Array} order */
    update(order) {
      coloured();
      opening ??= open().then(() => again());
      const mine = `${order.length}/${order[0]}/${order[order.length - 1]}`;
      if (mine !== shown || order.length !== collection.n) refreshed();
      shown = mine;
      again();
    },
  };
}
