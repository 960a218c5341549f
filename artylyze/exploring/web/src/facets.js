/** The side panel of filters: facets with counts, scores, years and colour. */

import { fill, h, settled } from "./dom.js";
import { NONE, UNKNOWN_YEAR } from "./engine.js";
import { normalised } from "./spelling.js";
import { facetLabel, label, number, percent, t, termLabel } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./types").State} State */

const FEW = 7;
const MANY = 200;
const BARS = 40;
const KINDS = ["task", "metadata", "cluster", "review", "decision", "warning", "error"];
const OPEN_AT_FIRST = 3;

/** Colours to begin with, as painters know them. */
const SWATCHES = [
  ["darkbrown", "3f2a1b"],
  ["ochre", "c08a3e"],
  ["red", "a3282a"],
  ["orange", "d2752d"],
  ["yellow", "e2c04c"],
  ["green", "4f6b3a"],
  ["teal", "3f7f86"],
  ["blue", "2f4f8f"],
  ["violet", "6b4a7d"],
  ["pink", "d9a0a0"],
  ["black", "1d1a18"],
  ["grey", "8a8780"],
  ["white", "ece6da"],
];

/** @param {Context} context */
export function createFacets(context) {
  const { collection, store } = context;
  const facets = [...collection.index.facets].sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind));
  const usual = facets.filter(({ kind }) => kind === "task" || kind === "metadata" || kind === "cluster");
  const checks = facets.filter(({ kind }) => !["task", "metadata", "cluster"].includes(kind));
  const parts = [
    ...usual.map((facet, k) => facetPart(context, facet, k < OPEN_AT_FIRST)),
    ...(collection.has("year") ? [yearsPart(context)] : []),
    ...(collection.index.colors ? [colourPart(context)] : []),
    ...checks.map((facet) => facetPart(context, facet, false)),
  ];
  const tasks = usual.filter(({ kind }) => kind === "task").length;
  const years = parts.findIndex(({ name }) => name === "years");
  const shown = [...parts];
  if (years > 0) shown.splice(Math.min(tasks + 1, years), 0, ...shown.splice(years, 1));
  const element = h("div", { class: "facets" }, h("h2", {}, t("filter.title")), ...shown.map((part) => part.element));
  return {
    element,
    /** Show a state. @param {State} state @returns {Promise<boolean>} False where another state came while columns were read. */
    async update(state) {
      await Promise.all(parts.map((part) => part.prepare(state)));
      if (store.get() !== state) return false;
      for (const part of parts) part.update(state);
      return true;
    },
  };
}

/**
 * A part of the panel that opens and closes.
 * @param {string} name
 * @param {string} title
 * @param {boolean} open
 * @param {() => void} opened
 */
function section(name, title, open, opened) {
  const body = h("div", { class: "body", id: `facet-${name.replace(/\W/g, "-")}`, hidden: !open });
  const note = h("span", { class: "note" });
  const button = h(
    "button",
    {
      type: "button",
      "aria-expanded": String(open),
      "aria-controls": body.id,
      on: {
        click: () => {
          body.hidden = !body.hidden;
          button.setAttribute("aria-expanded", String(!body.hidden));
          opened();
        },
      },
    },
    h("span", {}, title),
    note,
  );
  return { element: h("section", { class: "facet", "data-name": name }, h("h3", {}, button), body), body, note };
}

/** @param {Context} context @param {Facet} facet @param {boolean} open */
function facetPart(context, facet, open) {
  const { collection, engine, store } = context;
  const { name } = facet;
  const part = section(name, facetLabel(facet), open, () => void refresh());
  const list = h("ul", { role: "list" });
  const search = h("input", { type: "search", class: "small", "aria-label": t("facet.search", { facet: facetLabel(facet) }), placeholder: t("facet.find"), hidden: true, autocomplete: "off" });
  const more = h("button", { type: "button", class: "plain more", hidden: true });
  let all = false;
  /** @type {Map<string, {item: HTMLLIElement, box: HTMLInputElement, count: HTMLElement}>} */
  const entries = new Map();
  const score = facet.kind === "task" && collection.has(`${name}_score`) ? scorePart(context, name) : null;
  part.body.append(...(score ? [score.element] : []), search, list, more);
  search.addEventListener("input", () => update(store.get(), true));
  more.addEventListener("click", () => {
    all = !all;
    update(store.get(), true);
  });

  async function refresh() {
    await prepare(store.get());
    update(store.get());
  }

  /** Columns are only needed where counts are not those of the whole collection. @param {State} state */
  async function prepare(state) {
    if (part.body.hidden && !state.facets[name]) return;
    await Promise.all([collection.terms(name), context.filtered() || facet.kind === "decision" ? collection.column(facet.column) : null]);
  }

  /** @param {State} state @param {boolean} [rearranged] */
  function update(state, rearranged = false) {
    const chosen = state.facets[name] ?? [];
    part.note.textContent = chosen.length ? number(chosen.length) : "";
    score?.update(state);
    if (part.body.hidden || !facet.terms) return;
    const terms = facet.terms;
    const counted = engine.counts(name) ?? Uint32Array.from([Math.max(0, collection.n - facet.counts.reduce((a, b) => a + b, 0)), ...facet.counts]);
    if (!rearranged && list.contains(document.activeElement)) {
      for (const [term, { box, count }] of entries) {
        const value = counted[collection.code(name, term)];
        count.textContent = number(value);
        box.checked = chosen.includes(term);
      }
      return;
    }
    const words = normalised(search.value.trim());
    const codes = [];
    for (let code = 1; code < counted.length; code++) {
      const term = terms[code - 1];
      if (chosen.includes(term) || (counted[code] && (!words || normalised(termLabel(facet.kind, term)).includes(words)))) codes.push(code);
    }
    if ((counted[0] || chosen.includes(NONE)) && !words) codes.push(0);
    const term = (/** @type {number} */ code) => (code ? terms[code - 1] : NONE);
    codes.sort((a, b) => Number(chosen.includes(term(b))) - Number(chosen.includes(term(a))) || Number(b > 0) - Number(a > 0) || counted[b] - counted[a]);
    const shown = codes.slice(0, all ? MANY : FEW);
    if (!shown.includes(0) && codes.includes(0) && codes.length <= FEW + 1) shown.push(0);
    const largest = Math.max(1, ...shown.map((code) => counted[code]));
    const items = shown.map((code) => entry(term(code), counted[code], counted[code] / largest, chosen.includes(term(code))));
    fill(list, ...items);
    search.hidden = terms.length <= FEW + 1;
    more.hidden = codes.length <= FEW + 1 && !all;
    more.textContent = all ? t("facet.fewer") : t("facet.more", { n: codes.length });
    more.setAttribute("aria-expanded", String(all));
  }

  /** @param {string} term @param {number} works @param {number} share @param {boolean} on */
  function entry(term, works, share, on) {
    let kept = entries.get(term);
    if (!kept) {
      const shownAs = term === NONE && facet.kind === "decision" ? t("term.machine") : termLabel(facet.kind, term);
      const box = h("input", { type: "checkbox", on: { change: () => toggle(term, box.checked) } });
      const count = h("span", { class: "count" });
      kept = { item: h("li", {}, h("label", {}, box, h("span", { class: "term" }, shownAs), count)), box, count };
      entries.set(term, kept);
    }
    kept.box.checked = on;
    kept.count.textContent = number(works);
    kept.item.style.setProperty("--share", share.toFixed(3));
    return kept.item;
  }

  /** @param {string} term @param {boolean} on */
  function toggle(term, on) {
    const state = store.get();
    const others = (state.facets[name] ?? []).filter((one) => one !== term);
    const terms = on ? [...others, term] : others;
    const { [name]: _, ...rest } = state.facets;
    store.set({ facets: terms.length ? { ...rest, [name]: terms } : rest });
  }

  return { name, element: part.element, prepare, update };
}

/** @param {Context} context @param {string} task */
function scorePart({ store }, task) {
  const output = h("output", { class: "count" });
  const range = h("input", { type: "range", min: "0", max: "0.95", step: "0.05" });
  const element = h("label", { class: "score" }, h("span", {}, t("filter.score")), range, output);
  range.addEventListener("input", () => {
    const { [task]: _, ...rest } = store.get().scores;
    const value = Number(range.value);
    store.set({ scores: value ? { ...rest, [task]: value } : rest }, { replace: true });
  });
  return {
    element,
    /** @param {State} state */
    update(state) {
      const value = state.scores[task] ?? 0;
      range.value = String(value);
      output.textContent = value ? percent(value) : t("filter.any");
    },
  };
}

/** @param {Context} context */
function yearsPart(context) {
  const { collection, engine, store } = context;
  const part = section("years", label("years"), true, () => update(store.get()));
  const bars = h("div", { class: "bars", "aria-hidden": "true" });
  const [from, to] = ["from", "to"].map((end) => h("input", { type: "number", class: "small", step: "1", "aria-label": t(`years.${end}`) }));
  part.body.append(bars, h("div", { class: "range" }, from, h("span", { "aria-hidden": "true" }, "–"), to));
  /** @type {[number, number] | null} */
  let span = null;
  const changed = settled(250, () => {
    const [first, last] = [from.value, to.value].map((text) => (text.trim() === "" ? null : Math.round(Number(text))));
    store.set({ years: first === null && last === null ? null : [first, last] });
  });
  from.addEventListener("input", changed);
  to.addEventListener("input", changed);

  function spanned() {
    const years = collection.ready("year");
    if (span || !years) return;
    let [first, last] = [32767, UNKNOWN_YEAR];
    for (let row = 0; row < years.length; row++) {
      const year = years[row];
      if (year === UNKNOWN_YEAR) continue;
      if (year < first) first = year;
      if (year > last) last = year;
    }
    if (first <= last) span = [first, last];
  }

  /** @param {State} state */
  function update(state) {
    part.note.textContent = state.years ? `${state.years[0] ?? ""}–${state.years[1] ?? ""}` : "";
    spanned();
    if (!span || part.body.hidden) return;
    const [first, last] = span;
    from.placeholder = String(first);
    to.placeholder = String(last);
    if (document.activeElement !== from) from.value = String(state.years?.[0] ?? "");
    if (document.activeElement !== to) to.value = String(state.years?.[1] ?? "");
    const step = Math.max(1, Math.ceil((last - first + 1) / BARS));
    const counts = engine.years(first, last);
    const sums = Array.from({ length: Math.ceil(counts.length / step) }, (_, k) => counts.subarray(k * step, (k + 1) * step).reduce((a, b) => a + b, 0));
    const largest = Math.max(1, ...sums);
    fill(
      bars,
      ...sums.map((works, k) => {
        const year = first + k * step;
        const within = year + step > (state.years?.[0] ?? first) && year <= (state.years?.[1] ?? last);
        return h("i", { style: { height: `${works ? Math.max(4, (works / largest) * 100) : 0}%` }, "data-within": within || null });
      }),
    );
  }

  return {
    name: "years",
    element: part.element,
    prepare: async () => void (collection.ready("year") || (context.started() && (await collection.column("year")))),
    update,
  };
}

/** @param {Context} context */
function colourPart({ store }) {
  const part = section("colour", label("colour"), true, () => {});
  const picker = h("input", { type: "color", "aria-label": t("colour.own"), value: "#7a5c2e" });
  const chosen = settled(150, () => store.set({ colour: picker.value.slice(1) }));
  picker.addEventListener("input", chosen);
  const swatches = SWATCHES.map(([name, hex]) =>
    h("button", {
      type: "button",
      class: "swatch",
      title: t(`colour.${name}`),
      "aria-label": t(`colour.${name}`),
      "aria-pressed": "false",
      "data-hex": hex,
      style: { "--swatch": `#${hex}` },
      on: { click: () => store.set({ colour: store.get().colour === hex ? null : hex }) },
    }),
  );
  part.body.append(h("div", { class: "swatches" }, ...swatches, h("label", { class: "own" }, picker)));
  return {
    name: "colour",
    element: part.element,
    prepare: async () => {},
    /** @param {State} state */
    update(state) {
      part.note.textContent = "";
      part.note.classList.toggle("dot", Boolean(state.colour));
      if (state.colour) {
        part.note.style.setProperty("--swatch", `#${state.colour}`);
        picker.value = `#${state.colour}`;
      }
      for (const swatch of swatches) swatch.setAttribute("aria-pressed", String(swatch.dataset.hex === state.colour));
    },
  };
}
