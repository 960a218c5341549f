/** One work: its image, what the machine says of it and who checked that, its metadata, and the works that are like it. */

import { fill, h, icon } from "./dom.js";
import { strip } from "./strip.js";
import { tagList } from "./tags.js";
import { createViewer } from "./viewer.js";
import { label, number, percent, t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Work} Work */

const TYPICAL = 6;
const LIKE = 24;

/** @param {Context} context @param {(row: number) => void} left Called with the row of a work that was closed. */
export function createWorkView(context, left) {
  const { collection, decisions, selection, store } = context;
  const viewer = createViewer(context);
  const heading = h("h2", { tabindex: "-1" });
  const line = h("p", { class: "byline" });
  const details = h("div", { class: "details" });
  const below = h("div", { class: "below" });
  const place = h("span", { class: "count" });
  const [before, after] = [-1, 1].map((step) => {
    const key = step < 0 ? "work.previous" : "work.next";
    return h("button", { type: "button", "aria-label": t(key), title: t(key), on: { click: () => move(step) } }, icon(step < 0 ? "left" : "right"));
  });
  const close = h("button", { type: "button", "aria-label": t("work.close"), title: t("work.close"), on: { click: leave } }, icon("close"));
  const select = h("button", { type: "button", class: "button", on: { click: () => selection.toggle(row) } });
  const like = h("button", { type: "button", class: "button", on: { click: () => shown && store.set({ view: "gallery", work: null, like: shown.id, sort: "" }) } }, t("work.order"));
  const bar = h("div", { class: "workbar" }, before, place, after, h("span", { class: "space" }), close);
  const element = h("div", { class: "work-view", role: "dialog", "aria-modal": "true", hidden: true, "aria-labelledby": "work-title" }, bar, h("div", { class: "sides" }, viewer.element, h("div", { class: "label" }, heading, line, h("div", { class: "actions" }, select, like), details)), below);
  heading.id = "work-title";
  let row = -1;
  /** @type {Work | null} */
  let shown = null;

  function leave() {
    const last = row;
    store.set({ work: null });
    requestAnimationFrame(() => left(last));
  }

  /** Keep the focus out of what a work covers. @param {boolean} covered */
  function behind(covered) {
    for (const other of element.parentElement?.children ?? []) if (other !== element && !other.classList.contains("voice")) other.toggleAttribute("inert", covered);
  }

  /** @param {number} step */
  function move(step) {
    const order = context.order();
    const at = order.indexOf(row);
    const next = at < 0 ? undefined : order[at + step];
    if (next !== undefined) void context.openRow(next);
  }

  document.addEventListener("keydown", (event) => {
    if (element.hidden || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
    if (event.key === "Escape") leave();
    else if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else return;
    event.preventDefault();
  }, true);
  selection.listen(mark);
  decisions.listen(() => shown && fill(details, ...about(shown)));

  function mark() {
    const on = row >= 0 && selection.has(row);
    select.setAttribute("aria-pressed", String(on));
    fill(select, on && icon("check"), t(on ? "select.chosen" : "select.this"));
  }

  /** Everything that is said beside the image. @param {Work} work @returns {Node[]} */
  function about(work) {
    const facts = /** @type {[string, unknown][]} */ ([
      ...Object.entries(work.metadata ?? {}),
      ["size", work.width && work.height ? t("work.pixels", { w: number(work.width), h: number(work.height) }) : null],
      ["format", work.format],
      ["record", work.record],
      ["file", work.uri],
      ["warning", work.warning],
      ["error", work.error],
    ]).filter(([, value]) => value !== null && value !== undefined && value !== "");
    return [
      h("h3", { class: "voice" }, t("tags.title")),
      tagList(context, work, {
        extra: (task) => h("a", { class: "plain", href: store.link({ view: "review", task, work: null, like: null }), on: { click: () => sessionStorage.setItem("artylyze:review", work.id) } }, t("work.review")),
      }),
      h("p", { class: "quiet" }, t("tags.calibrated")),
      h("h3", {}, t("work.metadata")),
      h("dl", {}, ...facts.flatMap(([name, value]) => [h("dt", {}, label(name)), h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))])),
    ];
  }

  /** What stands under the image. @param {Work} work @param {number[]} near */
  function around(work, near) {
    const { clusters } = collection.index;
    const duplicates = work.duplicates ?? [];
    const influences = clusters ? (work.influences ?? []) : [];
    return [
      duplicates.length > 0 &&
        h("section", { class: "duplicates" }, h("h3", {}, t("work.duplicates")), strip(context, duplicates.map(([other]) => other), { notes: duplicates.map(([, reason, score]) => `${reason} · ${percent(score)}`), label: t("work.duplicates") })),
      near.length > 0 && h("section", { class: "like" }, h("h3", {}, t("work.like")), strip(context, near.slice(0, LIKE), { label: t("work.like") })),
      influences.length > 0 &&
        h(
          "section",
          { class: "influences" },
          h("h3", {}, t("work.influences")),
          h("p", { class: "quiet" }, t("work.influences.hint")),
          ...influences.map(([cluster, share]) =>
            h(
              "div",
              { class: "current", style: { "--score": share.toFixed(3) } },
              h("h4", {}, h("a", { href: store.link({ view: "gallery", work: null, facets: { cluster: [clusters?.names[cluster] ?? ""] } }) }, clusters?.names[cluster]), h("span", { class: "count" }, percent(share)), h("span", { class: "meter", "aria-hidden": "true" }, h("i"))),
              strip(context, (clusters?.typical[cluster] ?? []).slice(0, TYPICAL), { height: 72, captions: false }),
            ),
          ),
        ),
    ];
  }

  return {
    element,
    /** @param {State} state @param {number} hint Row that the work probably has. */
    async update(state, hint) {
      if (!state.work) {
        if (!element.hidden) {
          element.hidden = true;
          behind(false);
          viewer.close();
        }
        [row, shown] = [-1, null];
        return;
      }
      if (shown?.id === state.work) return;
      const found = await collection.find(state.work, hint >= 0 ? hint : undefined);
      if (store.get().work !== state.work) return;
      element.hidden = false;
      behind(true);
      select.hidden = like.hidden = viewer.element.hidden = found < 0;
      if (found < 0) {
        fill(heading, t("work.missing", { id: state.work }));
        fill(line);
        fill(details);
        const alike = await collection.alike(state.work);
        if (store.get().work !== state.work) return;
        fill(below, alike.length > 0 && h("section", { class: "alike" }, h("h3", {}, t("work.alike")), strip(context, alike, { label: t("work.alike") })));
        viewer.close();
        return;
      }
      row = found; // whoever leaves before the work is read gets the focus back, too
      const [work, near] = await Promise.all([collection.work(found), collection.neighbours(found)]);
      if (store.get().work !== state.work) return;
      shown = work;
      fill(heading, work.title || work.record || t("work.untitled"));
      fill(line, [work.artist, work.date].filter(Boolean).join(", "));
      const order = context.order();
      const at = order.indexOf(row);
      place.textContent = at < 0 ? "" : t("work.place", { k: number(at + 1), all: number(order.length) });
      before.disabled = at <= 0;
      after.disabled = at < 0 || at === order.length - 1;
      like.hidden = !collection.index.neighbours;
      mark();
      fill(details, ...about(work));
      fill(below, ...around(work, near));
      void viewer.show(work, row);
      // both lay the page out: once, with all that is put into it before the next frame
      requestAnimationFrame(() => {
        if (shown !== work) return;
        element.scrollTop = 0;
        heading.focus({ preventScroll: true });
      });
    },
  };
}
