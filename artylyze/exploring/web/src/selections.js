/** Selections: the works that are selected, kept under names and exported as a table, as JSON or as a contact sheet. */

import { download, fill, h } from "./dom.js";
import { savedSelections } from "./selection.js";
import { strip } from "./strip.js";
import { t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").Work} Work */

const SHOWN = 200;
const SHEET = 400;
const ACROSS = 8;
const CELL = { width: 160, height: 196, picture: 128, margin: 16 };

/**
 * A table of works: comma-separated, quoted where needed; what a spreadsheet would take for a formula gets an apostrophe before it.
 * @param {Work[]} works
 * @param {string[]} tasks
 */
export function table(works, tasks) {
  /** @param {unknown} value */
  const field = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const heads = ["image_id", "record", "title", "artist", "date", "uri", "status", ...tasks.flatMap((task) => [task, `${task}_score`])];
  const lines = works.map((work) => [work.id, work.record, work.title, work.artist, work.date, work.uri, work.status, ...tasks.flatMap((task) => work.tags[task]?.[0]?.slice(0, 2) ?? ["", ""])]);
  return [heads, ...lines].map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

/** @param {Context} context */
export function createSelections(context) {
  const { collection, selection, store, thumbs } = context;
  const tasks = collection.index.tasks.map(({ name }) => name);
  const heading = h("h3", {});
  const hint = h("p", { class: "quiet" });
  const name = h("input", { class: "field", "aria-label": t("selections.name"), placeholder: t("selections.name"), autocomplete: "off" });
  const form = h("form", { class: "keep", on: { submit: save } }, name, h("button", { class: "button" }, t("selections.save")));
  const formats = h(
    "div",
    { class: "keep", role: "group", "aria-label": t("selections.export") },
    h("span", { class: "quiet" }, t("selections.export")),
    ...["csv", "json", "sheet"].map((format) => h("button", { type: "button", class: "button", "data-format": format, on: { click: () => void write(format) } }, t(`selections.${format}`))),
    h("button", { type: "button", class: "button", on: { click: () => window.print() } }, t("selections.print")),
    h("a", { class: "plain", on: { click: only } }, t("selections.only")),
  );
  const note = h("p", { class: "more-works", role: "status" });
  const pictures = h("div", {});
  const saved = h("ul", { role: "list" });
  const kept = h("div", { class: "saved" }, h("h3", {}, t("selections.saved")), saved);
  const element = h("section", { class: "view selections", tabindex: "-1" }, heading, hint, form, formats, pictures, note, kept);

  /** @param {Event} event */
  function only(event) {
    event.preventDefault();
    store.set({ view: "gallery", picked: true });
  }

  /** @param {Event} event */
  async function save(event) {
    event.preventDefault();
    const given = name.value.trim() || new Date().toISOString().slice(0, 16).replace("T", " ");
    await selection.save(given);
    name.value = "";
    context.say(t("selections.kept", { name: given }));
  }

  /** @param {string} format */
  async function write(format) {
    const rows = Array.from(selection.rows());
    note.textContent = t("selections.reading", { n: rows.length });
    const works = [];
    for (const row of rows) works.push(await collection.work(row));
    note.textContent = "";
    if (format === "csv") download("selection.csv", new Blob(["\ufeff", table(works, tasks)], { type: "text/csv;charset=utf-8" }));
    else if (format === "json") download("selection.json", new Blob([JSON.stringify({ title: collection.index.title, snapshot: collection.index.snapshot, works }, null, 1)], { type: "application/json" }));
    else await sheet(rows, works);
  }

  /** A picture of up to 400 thumbnails with their titles. @param {number[]} rows @param {Work[]} works */
  async function sheet(rows, works) {
    if (collection.local) {
      note.textContent = t("selections.local");
      return;
    }
    const shown = rows.slice(0, SHEET);
    const canvas = h("canvas", { width: ACROSS * CELL.width + CELL.margin, height: Math.ceil(shown.length / ACROSS) * CELL.height + CELL.margin });
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.fillStyle = "#fffefc";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    await Promise.all(shown.map((row, k) => cell(pen, row, works[k], CELL.margin + (k % ACROSS) * CELL.width, CELL.margin + Math.floor(k / ACROSS) * CELL.height)));
    canvas.toBlob((blob) => blob && download("contact-sheet.png", blob), "image/png");
    note.textContent = rows.length > SHEET ? t("selections.cut", { n: SHEET }) : "";
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} row @param {Work} work @param {number} x @param {number} y */
  async function cell(pen, row, work, x, y) {
    const where = thumbs.cell(row, thumbs.sides[thumbs.sides.length - 1]);
    if (thumbs.has(row)) {
      await new Promise((resolve) => {
        thumbs.withAtlas(where, () => true, (image) => {
          pen.drawImage(image, where.x, where.y, where.width, where.height, x, y + CELL.picture - where.height, where.width, where.height);
          resolve(null);
        });
      });
    }
    pen.fillStyle = "#1f1c18";
    pen.font = "italic 12px Georgia, serif";
    pen.fillText(fitted(pen, work.title || work.record || work.id), x, y + CELL.picture + 18);
    pen.fillStyle = "#625c53";
    pen.font = "11px sans-serif";
    pen.fillText(fitted(pen, [work.artist, work.date].filter(Boolean).join(", ")), x, y + CELL.picture + 34);
  }

  function update() {
    const { count } = selection;
    heading.textContent = count ? t("select.count", { n: count }) : t("selections.empty");
    hint.textContent = count ? "" : t("selections.hint");
    form.hidden = formats.hidden = count === 0;
    const rows = [];
    for (let row = 0; row < selection.mask.length && rows.length < SHOWN; row++) if (selection.mask[row]) rows.push(row);
    fill(pictures, rows.length > 0 && strip(context, rows, { height: 120 }));
    note.textContent = count > SHOWN ? t("selections.more", { n: count - SHOWN }) : "";
    const all = savedSelections();
    kept.hidden = all.length === 0;
    fill(
      saved,
      ...all.map((one) =>
        h(
          "li",
          {},
          h("strong", {}, one.name),
          h("span", { class: "count" }, `${t("works", { n: one.rows.length })} · ${one.time.slice(0, 10)}`),
          h("button", { type: "button", class: "plain", "aria-label": t("selections.open.named", { name: one.name }), on: { click: () => void open(one) } }, t("selections.open")),
          h("button", { type: "button", class: "plain", "aria-label": t("selections.forget.named", { name: one.name }), on: { click: () => selection.forget(one.name) } }, t("selections.forget")),
        ),
      ),
    );
  }

  /** @param {import("./selection").Saved} one */
  async function open(one) {
    const lost = await selection.open(one);
    if (lost) note.textContent = t("selections.lost", { n: lost });
    context.say(t("select.count", { n: selection.count }));
  }

  selection.listen(() => !element.hidden && update());
  return { element, update };
}

/** Text cut to the width of a cell. @param {CanvasRenderingContext2D} pen @param {string} text */
function fitted(pen, text) {
  let cut = text;
  while (cut.length > 1 && pen.measureText(cut).width > CELL.picture) cut = `${cut.slice(0, -2)}…`;
  return cut;
}
