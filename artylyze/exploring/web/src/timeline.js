/** Artists and dates: works of each decade, and of each artist over the decades. */

import { fill, h } from "./dom.js";
import { UNKNOWN_YEAR } from "./engine.js";
import { number, t } from "./words.js";

const ARTISTS = 60;
const WIDEST = 90;

/** @param {import("./app").Context} context */
export function createTimeline(context) {
  const { collection, engine, store } = context;
  const columns = h("div", { class: "decades", role: "group", "aria-label": t("timeline.decades") });
  const undated = h("p", { class: "quiet" });
  const list = h("ol", { class: "artists", role: "list" });
  const heading = h("h3", {}, t("timeline.artists"));
  const element = h("section", { class: "view timeline", tabindex: "-1" }, h("h3", {}, t("timeline.decades")), columns, undated, heading, list);

  /** @param {number} year @param {number} step */
  const span = (year, step) => (step === 1 ? String(year) : `${year}–${year + step - 1}`);

  return {
    element,
    async update() {
      const facet = collection.artist;
      if (!collection.has("year")) {
        fill(columns);
        undated.textContent = t("timeline.none");
        heading.hidden = true;
        return;
      }
      const [years, artists] = await Promise.all([collection.column("year"), facet ? collection.column(facet.column) : null, facet ? collection.terms(facet.name) : null]);
      const { rows } = engine;
      let [first, last, unknown] = [32767, UNKNOWN_YEAR, 0];
      for (const row of rows) {
        const year = years[row];
        if (year === UNKNOWN_YEAR) {
          unknown++;
          continue;
        }
        if (year < first) first = year;
        if (year > last) last = year;
      }
      undated.textContent = unknown ? t("timeline.undated", { n: unknown }) : "";
      if (first > last) {
        fill(columns);
        fill(list);
        return;
      }
      const step = [1, 5, 10, 25, 50, 100, 250, 1000].find((size) => (last - first) / size < WIDEST) ?? 1000;
      const from = Math.floor(first / step) * step;
      const bins = Math.floor((last - from) / step) + 1;
      const counts = new Uint32Array(bins);
      const terms = facet?.terms ?? [];
      const totals = new Uint32Array(terms.length + 1);
      for (const row of rows) {
        if (years[row] !== UNKNOWN_YEAR) counts[Math.floor((years[row] - from) / step)]++;
        if (artists) totals[artists[row]]++;
      }
      const largest = counts.reduce((a, b) => Math.max(a, b), 1);
      fill(
        columns,
        ...Array.from(counts, (works, k) => {
          const year = from + k * step;
          const name = t("timeline.bar", { years: span(year, step), works: t("works", { n: works }) });
          const marked = year % (step * 10) === 0;
          return h(
            "button",
            { type: "button", disabled: !works, "aria-label": name, title: name, on: { click: () => store.set({ view: "gallery", years: [year, year + step - 1] }) } },
            h("i", { style: { height: `${works ? Math.max(1.5, (works / largest) * 100) : 0}%` } }),
            marked && h("span", { "aria-hidden": "true" }, String(year)),
          );
        }),
      );
      heading.hidden = !facet;
      const most = Array.from(totals.keys()).filter((k) => k > 0 && totals[k] > 0).sort((a, b) => totals[b] - totals[a]).slice(0, ARTISTS);
      const place = new Map(most.map((k, at) => [k, at]));
      const strips = most.map(() => new Uint32Array(bins));
      const spans = most.map(() => [32767, UNKNOWN_YEAR]);
      for (const row of rows) {
        const at = artists ? place.get(artists[row]) : undefined;
        const year = years[row];
        if (at === undefined || year === UNKNOWN_YEAR) continue;
        strips[at][Math.floor((year - from) / step)]++;
        spans[at] = [Math.min(spans[at][0], year), Math.max(spans[at][1], year)];
      }
      const others = facet ? Object.fromEntries(Object.entries(store.get().facets).filter(([name]) => name !== facet.name)) : {};
      const ordered = most.map((k, at) => ({ k, at, start: spans[at][0] })).sort((a, b) => a.start - b.start);
      fill(
        list,
        ...ordered.map(({ k, at }) => {
          const most1 = strips[at].reduce((a, b) => Math.max(a, b), 1);
          const [start, end] = spans[at];
          const when = start > end ? t("timeline.unknown") : start === end ? String(start) : `${start}–${end}`;
          return h(
            "li",
            {},
            h("a", { href: store.link({ view: "gallery", facets: facet ? { ...others, [facet.name]: [terms[k - 1]] } : {}, sort: "date" }) }, terms[k - 1]),
            h("span", { class: "count" }, `${when} · ${number(totals[k])}`),
            h("span", { class: "life", "aria-hidden": "true" }, ...runs(strips[at]).map(([k0, works]) => h("i", { style: { left: `${(k0 / bins) * 100}%`, width: `${100 / bins}%`, opacity: (0.35 + (0.65 * works) / most1).toFixed(2) } }))),
          );
        }),
      );
    },
  };
}

/** Bins that hold works. @param {Uint32Array} strip @returns {[number, number][]} */
function runs(strip) {
  /** @type {[number, number][]} */
  const found = [];
  strip.forEach((works, k) => works && found.push([k, works]));
  return found;
}
