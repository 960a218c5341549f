/** The explorer: opens the collection, builds the page, and shows what its address says. */

import { createCollection } from "./collection.js";
import { createClusters } from "./clusters.js";
import { createDecisions } from "./decisions.js";
import { fill, h, icon, settled } from "./dom.js";
import { createEngine, filtersOf } from "./engine.js";
import { createFacets } from "./facets.js";
import { byline, createGallery } from "./gallery.js";
import { createMap } from "./map.js";
import { keysOf, orders, sorted, usual } from "./order.js";
import { createReview } from "./review.js";
import { createSelection } from "./selection.js";
import { createSelections } from "./selections.js";
import { openSource } from "./source.js";
import { SIZES, VIEWS, createStore } from "./state.js";
import { createThumbs } from "./thumbs.js";
import { createTimeline } from "./timeline.js";
import { choose, facetLabel, label, number, percent, speak, spoken, t, termLabel } from "./words.js";
import { createWorkView } from "./work.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Index} Index */
/** @typedef {import("./types").Source} Source */

/**
 * What the views share.
 * @typedef {object} Context
 * @property {import("./collection").Collection} collection
 * @property {import("./thumbs").Thumbs} thumbs
 * @property {import("./selection").Selection} selection
 * @property {import("./decisions").Decisions} decisions
 * @property {import("./engine").Engine} engine
 * @property {import("./state").Store} store
 * @property {() => Uint32Array} order Works that are shown, in their order.
 * @property {() => boolean} filtered
 * @property {() => boolean} started Whether the first picture is there.
 * @property {() => void} clear Take all filters off.
 * @property {(row: number) => Promise<void>} openRow
 * @property {(row: number) => string} byline Artist and year.
 * @property {(text: string) => void} say To screen readers.
 */

/** @typedef {{element: HTMLElement, update(works: Uint32Array, size: string, fresh: boolean): void}} View */

const THEME = "artylyze:theme";

/** @param {HTMLElement} root @param {import("./collection").Collection} collection */
function build(root, collection) {
  const { index } = collection;
  const thumbs = createThumbs(collection);
  const selection = createSelection(collection);
  const decisions = createDecisions(collection);
  const engine = createEngine(collection, () => selection.mask);
  const voice = h("p", { class: "voice", role: "status", "aria-live": "polite" });
  const plain = { facets: {}, scores: {}, years: null, text: "", colour: null, like: null, picked: false };

  /** @type {Uint32Array} */
  let order = engine.everything;
  let [applied, arranged, opened] = ["", "", -1];
  let started = false;
  /** Whether the facets show the counts of what is applied. */
  let counted = false;
  let like = -1;
  /** @type {{row: number, title: string} | null} */
  let model = null;
  /** @type {Uint16Array | null} */
  let keys = null;
  const store = createStore(() => void refresh());

  /** @type {Context} */
  const context = {
    collection,
    thumbs,
    selection,
    decisions,
    engine,
    store,
    order: () => order,
    filtered: () => engine.rows !== engine.everything,
    started: () => started,
    clear: () => store.set({ ...plain, sort: "" }),
    openRow: async (row) => {
      opened = row;
      store.set({ work: (await collection.work(row)).id });
    },
    byline: (row) => byline(collection, row),
    say: (text) => (voice.textContent = text),
  };

  const facets = createFacets(context);
  const gallery = createGallery(context);
  const workView = createWorkView(context, (row) => store.get().view === "gallery" && gallery.restore(row));
  /** @type {Record<string, View>} */
  const views = {
    gallery,
    map: createMap(context),
    clusters: createClusters(context),
    timeline: createTimeline(context),
    review: createReview(context),
    selections: createSelections(context),
  };
  const tabs = VIEWS.map((view) => h("a", { "data-view": view }, t(`view.${view}`)));
  const search = h("input", { type: "search", placeholder: t("search.hint"), "aria-label": t("search.label"), autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", settled(180, () => store.set({ text: search.value }, { replace: true })));
  const count = h("strong", { class: "works" });
  const some = h("span", { class: "quiet", hidden: true }, t("search.some"));
  const chips = h("div", { class: "chips" });
  const sort = h("select", { "aria-label": t("sort.label") });
  sort.addEventListener("change", () => store.set({ sort: sort.value === usual(store.get()) ? "" : sort.value }));
  const sizes = h(
    "div",
    { class: "sizes", role: "group", "aria-label": t("size.label") },
    ...SIZES.map((size) => h("button", { type: "button", "data-size": size, "aria-label": t(`size.${size}`), title: t(`size.${size}`), on: { click: () => store.set({ size }, { replace: true }) } }, h("i"))),
  );
  const chosen = h("div", { class: "chosen" });
  const all = h("button", { type: "button", class: "plain", on: { click: () => selection.add(order) } });
  const tools = h("div", { class: "tools" }, sort, sizes);
  const panel = h("aside", { class: "panel", id: "panel", "aria-label": t("filter.title") }, facets.element);
  const opener = h("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": "panel", on: { click: () => drawer(panel.dataset.open === undefined) } }, icon("filter"), h("span", {}, t("filter.title")));
  const done = h("button", { type: "button", class: "done", on: { click: () => drawer(false) } });
  panel.append(h("div", { class: "foot" }, done));
  const bar = h("div", { class: "bar" }, opener, h("p", { class: "shown" }, count, " ", some), all, chips, chosen, tools);
  const stage = h("div", { class: "stage" }, ...Object.values(views).map((view) => view.element));
  const main = h("main", { id: "main", tabindex: "-1" }, h("h2", { class: "voice" }), bar, stage);
  fill(
    root,
    h("a", { class: "skip", href: "#main", on: { click: (/** @type {Event} */ event) => (event.preventDefault(), main.focus()) } }, t("skip")),
    h("header", { class: "top" }, h("h1", {}, h("a", { href: "#", on: { click: home } }, index.title)), h("nav", { "aria-label": t("nav.label") }, ...tabs), h("div", { class: "search" }, icon("search"), search), settings(index)),
    h("div", { class: "columns" }, panel, main),
    workView.element,
    voice,
  );
  document.title = index.title;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel.dataset.open !== undefined) drawer(false);
    if (event.key === "/" && !(event.target instanceof HTMLInputElement) && !(event.target instanceof HTMLTextAreaElement) && !store.get().work) {
      event.preventDefault();
      search.focus();
    }
  });
  selection.listen(() => {
    marked();
    if (!store.get().picked) return;
    applied = "";
    void refresh();
  });
  decisions.listen(() => {
    applied = "";
    void refresh();
  });

  /** @param {Event} event */
  function home(event) {
    event.preventDefault();
    store.set({ ...plain, view: "gallery", sort: "", work: null });
  }

  /** @param {boolean} open */
  function drawer(open) {
    panel.toggleAttribute("data-open", open);
    opener.setAttribute("aria-expanded", String(open));
    if (open) /** @type {HTMLElement | null} */ (panel.querySelector("button"))?.focus();
    else opener.focus();
  }

  /** Say how many works are selected. */
  function marked() {
    fill(
      chosen,
      selection.count > 0 && [
        h("a", { href: store.link({ view: "selections", work: null }) }, t("select.count", { n: selection.count })),
        h("button", { type: "button", class: "plain", on: { click: () => selection.clear() } }, t("select.clear")),
      ],
    );
  }

  /** Filters that are on, each with a button that takes it off. @param {State} state */
  function chipsOf(state) {
    /** @type {[string, Partial<State>][]} */
    const on = [];
    for (const [name, terms] of Object.entries(state.facets)) {
      const facet = collection.facets.get(name);
      const { [name]: _, ...rest } = state.facets;
      for (const term of terms) {
        const others = terms.filter((one) => one !== term);
        const shown = term === "(none)" && facet?.kind === "decision" ? t("term.machine") : termLabel(facet?.kind ?? "metadata", term);
        on.push([`${facet ? facetLabel(facet) : name}: ${shown}`, { facets: others.length ? { ...rest, [name]: others } : rest }]);
      }
    }
    for (const [task, score] of Object.entries(state.scores)) {
      const { [task]: _, ...rest } = state.scores;
      on.push([t("chip.score", { task: label(task), score: percent(score) }), { scores: rest }]);
    }
    if (state.years) on.push([t("chip.years", { from: String(state.years[0] ?? "…"), to: String(state.years[1] ?? "…") }), { years: null }]);
    if (state.text.trim()) on.push([`“${state.text.trim()}”`, { text: "" }]);
    if (state.colour) on.push([t("chip.colour"), { colour: null }]);
    if (state.picked) on.push([t("chip.selected"), { picked: false }]);
    if (state.like) on.push([t("chip.like", { title: model?.title ?? "…" }), { like: null, sort: "" }]);
    fill(
      chips,
      ...on.map(([text, patch]) =>
        h("button", { type: "button", class: "chip", "aria-label": t("chip.remove", { filter: text }), on: { click: () => store.set(patch) } }, patch.colour === null && h("i", { class: "dot", style: { "--swatch": `#${state.colour}` } }), h("span", {}, text), icon("close")),
      ),
      on.length > 1 && h("button", { type: "button", class: "plain", on: { click: context.clear } }, t("filter.clear")),
    );
  }

  /** Find the work that others are to be like. @param {State} state */
  async function liken(state) {
    if (!state.like) {
      like = -1;
      model = null;
      return;
    }
    like = await collection.find(state.like, like >= 0 ? like : opened);
    const work = like >= 0 ? await collection.work(like) : null;
    model = { row: like, title: work?.title || work?.record || state.like };
  }

  /** Make the page what its address says. */
  async function refresh() {
    const state = store.get();
    for (const tab of tabs) {
      const view = String(tab.dataset.view);
      tab.href = store.link({ view, work: null });
      if (view === state.view) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (document.activeElement !== search) search.value = state.text;
    await Promise.all([engine.prepare(state), state.like !== null || like >= 0 ? liken(state) : null]);
    if (store.get() !== state) return;
    const filters = filtersOf(state);
    const fresh = filters !== applied;
    if (fresh) {
      engine.run(state);
      applied = filters;
    }
    const arrangement = JSON.stringify([state.sort, state.like, state.colour, state.text.trim()]);
    const again = arrangement !== arranged;
    if (again) {
      keys = state.sort || state.like || state.colour || state.text.trim() ? await keysOf(collection, engine, state, like) : null;
      if (store.get() !== state) return;
      arranged = arrangement;
    }
    if (fresh || again) order = keys ? sorted(engine.rows, keys) : engine.rows;
    show(state, fresh || again);
    if (fresh) counted = false;
    if (!counted) counted = await facets.update(state);
    await workView.update(state, opened);
  }

  /** @param {State} state @param {boolean} fresh */
  function show(state, fresh) {
    const found = order.length === collection.n ? t("works", { n: order.length }) : t("works.of", { n: order.length, all: collection.n });
    count.textContent = found;
    some.hidden = !engine.some(state);
    done.textContent = t("filter.show", { n: order.length });
    if (fresh && started) context.say(some.hidden ? found : `${found}. ${some.textContent}`);
    all.textContent = t("select.all");
    all.hidden = order.length === 0 || !["gallery", "map"].includes(state.view);
    tools.hidden = state.view !== "gallery";
    bar.hidden = state.view === "selections";
    panel.hidden = state.view === "selections";
    main.querySelector("h2")?.replaceChildren(t(`view.${state.view}`));
    chipsOf(state);
    marked();
    fill(sort, ...orders(collection, state).map((one) => h("option", { value: one, selected: one === (state.sort || usual(state)) }, one.startsWith("score:") ? t("sort.score", { task: label(one.slice(6)) }) : t(`sort.${one}`))));
    for (const button of sizes.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.size === state.size));
    for (const [name, view] of Object.entries(views)) {
      view.element.hidden = name !== state.view;
      if (name === state.view) view.update(order, state.size, fresh);
    }
  }

  return {
    refresh,
    /** Read what the first picture did not need. */
    async rest() {
      started = true;
      const { artist } = collection;
      await Promise.all([collection.has("year") ? collection.column("year") : null, artist ? Promise.all([collection.column(artist.column), collection.terms(artist.name)]) : null]);
      await decisions.load();
      counted = false;
      await refresh();
    },
  };
}

/** Language and light or dark. @param {Index} index */
function settings(index) {
  const language = h(
    "select",
    { "aria-label": t("language.label"), on: { change: () => (choose(language.value), location.reload()) } },
    ...index.languages.map((one) => h("option", { value: one, selected: one === spoken() }, new Intl.DisplayNames([one], { type: "language" }).of(one) ?? one)),
  );
  const theme = h("button", { type: "button", class: "quiet", "aria-label": t("theme.label"), title: t("theme.label"), on: { click: turn } }, icon("theme"));
  function turn() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem(THEME, root.dataset.theme);
  }
  return h("div", { class: "settings" }, language, theme);
}

async function main() {
  const root = /** @type {HTMLElement} */ (document.getElementById("app"));
  const theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  /** @type {Source} */
  let source;
  /** @type {Index} */
  let index;
  try {
    source = await openSource();
    index = await source.json("data/index.json");
  } catch (error) {
    const key = location.protocol === "file:" ? "failed.file" : "failed.index";
    await speak(["en", "de", "fr"], { local: true, json: async () => ({}), bytes: async () => new ArrayBuffer(0) });
    fill(root, h("main", { class: "failed" }, h("h1", {}, t("failed.title")), h("p", {}, t(key)), h("p", {}, String(error instanceof Error ? error.message : error))));
    return;
  }
  const collection = createCollection(source, index);
  await Promise.all([speak(index.languages, source), ...["width", "height", "status"].map((name) => collection.has(name) && collection.column(name))]);
  const app = build(root, collection);
  await app.refresh();
  document.documentElement.dataset.ready = "";
  setTimeout(() => void app.rest().then(() => (document.documentElement.dataset.complete = number(index.n))), 0);
}

void main();
