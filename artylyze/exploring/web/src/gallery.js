/** The gallery: rows of thumbnails of equal height, of which only those on the screen exist. */

import { assign, fill, framed, h, icon, settled } from "./dom.js";
import { UNKNOWN_YEAR } from "./engine.js";
import { number, t } from "./words.js";

/** @typedef {import("./app").Context} Context */

const HEIGHTS = /** @type {Record<string, number>} */ ({ s: 64, m: 132, l: 210, xl: 330 });
const CAPTION = 46;
/** Browsers cut elements off that are higher; beyond this scrolling is scaled. */
const HIGHEST = 12e6;
const BEYOND = 400;

/**
 * Rows of works, filled from left to right.
 * @param {Uint32Array} works
 * @param {(row: number) => number} aspect
 * @param {{width: number, height: number, gap: number, caption: number}} box
 * @returns {{starts: Uint32Array, tops: Float64Array, heights: Float32Array, count: number, total: number}} starts has one entry more.
 */
export function layout(works, aspect, { width, height, gap, caption }) {
  const starts = new Uint32Array(works.length + 1);
  const tops = new Float64Array(works.length + 1);
  const heights = new Float32Array(works.length);
  let [count, sum, from, top] = [0, 0, 0, 0];
  for (let i = 0; i < works.length; i++) {
    sum += aspect(works[i]);
    const gaps = gap * (i - from);
    if (sum * height + gaps >= width || i === works.length - 1) {
      const fitting = (width - gaps) / sum;
      const tall = Math.min(fitting, i === works.length - 1 ? height : height * 1.6);
      starts[count] = from;
      tops[count] = top;
      heights[count++] = tall;
      top += tall + caption + gap;
      [from, sum] = [i + 1, 0];
    }
  }
  starts[count] = works.length;
  tops[count] = top;
  return { starts, tops, heights, count, total: top };
}

/** @param {Context} context */
export function createGallery(context) {
  const { collection, thumbs, selection, store } = context;
  const sheet = h("ul", { class: "sheet", role: "list" });
  const scroller = h("div", { class: "scroller", tabindex: "-1" }, sheet);
  const nothing = h("p", { class: "nothing", hidden: true });
  const element = h("section", { class: "view gallery" }, scroller, nothing);

  /** @type {Map<number, HTMLLIElement>} Tiles by their place in the order. */
  const tiles = new Map();
  /** @type {Uint32Array} */
  let order = new Uint32Array(0);
  let plan = layout(order, () => 1, { width: 1, height: 1, gap: 0, caption: 0 });
  let [size, width, current, anchor, scale] = ["m", 0, 0, -1, 1];
  const gap = () => (size === "s" ? 4 : width < 600 ? 8 : 14);
  const caption = () => (size === "l" || size === "xl" ? CAPTION : 0);

  function arrange() {
    width = scroller.clientWidth;
    const box = width - 2 * gap();
    if (box <= 0) return;
    const height = Math.min(HEIGHTS[size], box * 0.8);
    plan = layout(order, thumbs.aspect, { width: box, height, gap: gap(), caption: caption() });
    const total = plan.total + gap();
    scale = total > HIGHEST ? total / HIGHEST : 1;
    sheet.style.height = `${Math.min(total, HIGHEST)}px`;
    sheet.dataset.size = size;
    for (const tile of tiles.values()) tile.remove();
    tiles.clear();
    show();
  }

  /** How far what is shown lies above its place, where scrolling is scaled. */
  const shift = () => scroller.scrollTop * (scale - 1);

  /** The row at a height, by bisection. @param {number} y */
  function rowAt(y) {
    let [low, high] = [0, Math.max(0, plan.count - 1)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (plan.tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function show() {
    if (!plan.count) return;
    const top = scroller.scrollTop * scale - gap();
    const first = plan.starts[rowAt(top - BEYOND)];
    const end = plan.starts[rowAt(top + scroller.clientHeight + BEYOND) + 1];
    for (const [place, tile] of tiles) {
      if ((place < first || place >= end) && !tile.contains(document.activeElement)) {
        tile.remove();
        tiles.delete(place);
      }
    }
    let row = rowAt(top - BEYOND);
    let x = gap();
    const fresh = [];
    for (let place = first; place < end; place++) {
      if (place === plan.starts[row + 1]) {
        row++;
        x = gap();
      }
      const tall = plan.heights[row];
      const wide = tall * thumbs.aspect(order[place]);
      const y = plan.tops[row] + gap() - shift();
      let tile = tiles.get(place);
      if (!tile) {
        tile = make(place, wide, tall);
        tiles.set(place, tile);
        fresh.push(tile);
      }
      tile.style.transform = `translate(${x}px, ${y}px)`;
      x += wide + gap();
    }
    sheet.append(...fresh);
    for (const tile of fresh) thumbs.draw(/** @type {HTMLCanvasElement} */ (tile.querySelector("canvas")), Number(tile.dataset.row), Number(tile.dataset.pixels));
    if (caption()) titles();
  }

  /** @param {number} place @param {number} wide @param {number} tall */
  function make(place, wide, tall) {
    const row = order[place];
    const link = h(
      "a",
      { class: "work", tabindex: place === current ? "0" : "-1", draggable: "false", on: { click: (/** @type {MouseEvent} */ event) => opened(event, place), focus: () => focused(place), contextmenu: (/** @type {Event} */ event) => held(event, place) } },
      h("canvas", { "aria-hidden": "true" }),
      !thumbs.has(row) && h("span", { class: "unreadable" }, t("work.unreadable")),
    );
    const select = h(
      "button",
      { class: "select", type: "button", tabindex: "-1", "aria-pressed": String(selection.has(row)), "aria-label": t("select.this"), on: { click: (/** @type {MouseEvent} */ event) => chosen(event, place) } },
      icon("check"),
    );
    const tile = h(
      "li",
      { class: "tile", "aria-setsize": order.length, "aria-posinset": place + 1, "data-row": row, "data-pixels": Math.max(wide, tall), style: { width: `${wide}px`, "--tall": `${tall}px` } },
      link,
      select,
      caption() > 0 && h("p", { class: "caption", "aria-hidden": "true" }, h("em", {}, "\u00a0"), h("span", {}, context.byline(row))),
    );
    name(tile, row);
    if (selection.has(row)) tile.dataset.selected = "";
    return tile;
  }

  /** Give a tile its address and the name that is read out; the title where it is known already. @param {HTMLLIElement} tile @param {number} row */
  function name(tile, row) {
    const work = collection.known(row);
    const link = /** @type {HTMLAnchorElement} */ (tile.firstElementChild);
    const title = work?.title || work?.record;
    assign(link, { "aria-label": [title ?? t("work.number", { k: number(row + 1) }), context.byline(row)].filter(Boolean).join(", ") });
    if (work) {
      link.href = store.link({ work: work.id });
      link.title = title ?? "";
    } else {
      link.href = store.link({});
    }
    const em = tile.querySelector(".caption em");
    if (em && work) fill(em, title ?? "");
    const by = tile.querySelector(".caption span");
    if (by) fill(by, context.byline(row));
  }

  const titles = settled(120, () => {
    for (const tile of tiles.values()) void named(tile);
  });

  /** @param {HTMLLIElement} tile */
  async function named(tile) {
    const row = Number(tile.dataset.row);
    await collection.work(row);
    name(tile, row);
  }

  /** @param {MouseEvent} event @param {number} place */
  function opened(event, place) {
    if (event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey) chosen(event, place);
    else void context.openRow(order[place]);
  }

  /** Holding a finger on a work selects it. @param {Event} event @param {number} place */
  function held(event, place) {
    if (!(event instanceof PointerEvent) || event.pointerType !== "touch") return;
    event.preventDefault();
    selection.toggle(order[place]);
  }

  /** @param {MouseEvent} event @param {number} place */
  function chosen(event, place) {
    if (event.shiftKey && anchor >= 0) {
      const [from, to] = anchor < place ? [anchor, place] : [place, anchor];
      selection.add(order.subarray(from, to + 1));
    } else {
      selection.toggle(order[place]);
    }
    anchor = place;
  }

  /** @param {number} place */
  function focused(place) {
    tiles.get(current)?.firstElementChild?.setAttribute("tabindex", "-1");
    current = place;
    const tile = tiles.get(place);
    tile?.firstElementChild?.setAttribute("tabindex", "0");
    if (tile) void named(tile).then(() => tile.contains(document.activeElement) && context.say(tile.firstElementChild?.getAttribute("aria-label") ?? ""));
  }

  /** Bring a place of the order on the screen, and give it the focus. @param {number} place */
  function focus(place) {
    const wanted = Math.max(0, Math.min(order.length - 1, place));
    const row = rowOf(wanted);
    const [top, bottom] = [plan.tops[row], plan.tops[row + 1]];
    const seen = scroller.scrollTop * scale;
    if (top < seen) scroller.scrollTop = top / scale;
    else if (bottom > seen + scroller.clientHeight) scroller.scrollTop = (bottom - scroller.clientHeight + 2 * gap()) / scale;
    show();
    /** @type {HTMLElement | null | undefined} */ (tiles.get(wanted)?.firstElementChild)?.focus({ preventScroll: true });
  }

  /** @param {number} place */
  function rowOf(place) {
    let [low, high] = [0, Math.max(0, plan.count - 1)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (plan.starts[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The place above or below. @param {number} step */
  function beside(step) {
    const row = rowOf(current);
    const other = Math.max(0, Math.min(plan.count - 1, row + step));
    if (other === row) return current;
    const middle = (current - plan.starts[row] + 0.5) / (plan.starts[row + 1] - plan.starts[row]);
    return plan.starts[other] + Math.floor(middle * (plan.starts[other + 1] - plan.starts[other]));
  }

  element.addEventListener("keydown", (event) => {
    if (!(event.target instanceof HTMLAnchorElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(scroller.clientHeight / (HEIGHTS[size] + caption())));
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowRight: () => focus(current + 1),
      ArrowLeft: () => focus(current - 1),
      ArrowDown: () => focus(beside(1)),
      ArrowUp: () => focus(beside(-1)),
      PageDown: () => focus(beside(page)),
      PageUp: () => focus(beside(-page)),
      Home: () => focus(0),
      End: () => focus(order.length - 1),
      " ": () => chosen(/** @type {any} */ (event), current),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  scroller.addEventListener("scroll", framed(show), { passive: true });
  new ResizeObserver(() => {
    if (scroller.clientWidth !== width) arrange();
    else show();
  }).observe(scroller);
  selection.listen(() => {
    element.toggleAttribute("data-selecting", selection.count > 0);
    for (const tile of tiles.values()) {
      const on = selection.has(Number(tile.dataset.row));
      tile.toggleAttribute("data-selected", on);
      tile.querySelector(".select")?.setAttribute("aria-pressed", String(on));
    }
  });

  return {
    element,
    /** Show works in an order. @param {Uint32Array} works @param {string} wanted Size. @param {boolean} fresh Whether to start at the top. */
    update(works, wanted, fresh) {
      if (works === order && wanted === size) {
        if (caption()) titles();
        return;
      }
      const kept = plan.count ? plan.starts[rowAt(scroller.scrollTop * scale)] : 0;
      order = works;
      size = wanted;
      nothing.hidden = works.length > 0;
      if (nothing.hidden === false) fill(nothing, t("gallery.nothing"), " ", h("button", { type: "button", class: "plain", on: { click: () => context.clear() } }, t("filter.clear")));
      if (fresh) [current, anchor] = [0, -1];
      arrange();
      if (fresh) scroller.scrollTop = 0;
      else if (plan.count) scroller.scrollTop = plan.tops[rowOf(Math.min(kept, works.length - 1))] / scale;
      show();
    },
    /** Give the focus back to the work that was open. @param {number} row */
    restore(row) {
      const place = order.indexOf(row);
      if (place >= 0) focus(place);
    },
  };
}

/**
 * Artist and year of a work, as far as they are known without its file.
 * @param {import("./collection").Collection} collection
 * @param {number} row
 */
export function byline(collection, row) {
  const { artist: facet } = collection;
  const codes = facet && collection.ready(facet.column);
  const artist = codes?.[row] ? facet?.terms?.[codes[row] - 1] : null;
  const year = collection.ready("year")?.[row];
  const work = collection.known(row);
  const when = work?.date ?? (year === undefined || year === UNKNOWN_YEAR ? null : String(year));
  return [artist ?? work?.artist, when].filter(Boolean).join(", ");
}
