/** A list of works as small pictures with titles. */

import { h } from "./dom.js";
import { number, t } from "./words.js";

/** @typedef {import("./app").Context} Context */

/**
 * @param {Context} context
 * @param {number[]} rows
 * @param {{height?: number, captions?: boolean, notes?: (string | null)[], label?: string}} [options] notes: a line under each.
 */
export function strip(context, rows, { height = 110, captions = true, notes = [], label } = {}) {
  const { collection, thumbs, store } = context;
  const pictures = rows.map((row) => {
    const aspect = thumbs.aspect(row);
    return { row, canvas: h("canvas", { "aria-hidden": "true" }), width: Math.round(height * aspect) };
  });
  const items = pictures.map(({ row, canvas, width }, k) => {
    const title = h("em", {}, "\u00a0");
    const link = h(
      "a",
      { class: "work", href: store.link({}), "aria-label": t("work.number", { k: number(row + 1) }), on: { click: (/** @type {MouseEvent} */ event) => open(event, row) } },
      h("span", { class: "picture", style: { width: `${width}px`, "--tall": `${height}px` } }, canvas, !thumbs.has(row) && h("span", { class: "unreadable" }, t("work.unreadable"))),
      captions && h("span", { class: "caption", style: { width: `${Math.max(width, 84)}px` } }, title, h("span", {}, context.byline(row))),
    );
    void collection.work(row).then((work) => {
      const name = work.title || work.record || work.id;
      link.setAttribute("aria-label", [name, context.byline(row), notes[k]].filter(Boolean).join(", "));
      link.title = name;
      link.href = store.link({ work: work.id });
      title.textContent = name;
    });
    return h("li", { "data-row": row }, link, notes[k] && h("p", { class: "why", style: { "max-width": `${Math.max(width, 120)}px` } }, notes[k]));
  });

  /** @param {MouseEvent} event @param {number} row */
  function open(event, row) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    void context.openRow(row);
  }

  const list = h("ul", { class: "strip", role: "list", "aria-label": label ?? null }, ...items);
  requestAnimationFrame(() => {
    for (const { row, canvas, width } of [...pictures].reverse()) thumbs.draw(canvas, row, Math.max(width, height));
  });
  return list;
}
