/** Review: one suggestion after the other, decided by a key; neighbours beside; the last decisions can be taken back. */

import { reviewer, signAs } from "./decisions.js";
import { download, fill, h, icon } from "./dom.js";
import { strip } from "./strip.js";
import { standing } from "./tags.js";
import { createViewer } from "./viewer.js";
import { label, number, percent, t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").Verdict} Verdict */
/** @typedef {import("./types").Work} Work */

const OTHERS = 5;
const BESIDE = 8;
const START = "artylyze:review";

/** @param {Context} context */
export function createReview(context) {
  const { collection, decisions, store } = context;
  const names = collection.index.tasks.map(({ name }) => name);
  const viewer = createViewer(context);
  const task = h("select", { "aria-label": t("review.task"), on: { change: () => store.set({ task: task.value }) } }, ...names.map((name) => h("option", { value: name }, label(name))));
  const which = h(
    "select",
    { "aria-label": t("review.queue"), on: { change: () => (begin(true), void show()) } },
    ...["flagged", "open", "all"].map((one) => h("option", { value: one }, t(`review.queue.${one}`))),
  );
  const progress = h("span", { class: "count", role: "status" });
  const [before, after] = [-1, 1].map((step) => h("button", { type: "button", class: "button", "aria-label": t(step < 0 ? "work.previous" : "work.next"), on: { click: () => go(step) } }, icon(step < 0 ? "left" : "right")));
  const heading = h("h3", {});
  const line = h("p", { class: "quiet" });
  const ask = h("p", { class: "ask" });
  const state = h("p", { class: "standing" });
  const others = h("div", { class: "others" });
  const beside = h("div", { class: "beside" });
  const term = h("input", { class: "field", list: "review-terms", "aria-label": t("review.term"), placeholder: t("review.term"), autocomplete: "off" });
  const terms = h("datalist", { id: "review-terms" });
  const correct = h("form", { class: "correct", hidden: true, on: { submit } }, term, terms, h("button", { class: "button strong" }, t("review.use")));
  const who = h("input", { class: "field", autocomplete: "name", on: { change: () => signAs(who.value.trim()) } });
  const note = h("input", { class: "field", autocomplete: "off" });
  const sent = h("p", { class: "sent" });
  const keep = h("button", { type: "button", class: "plain", on: { click: () => download("decisions.json", decisions.file()) } }, t("review.export"));
  /** @type {[Verdict, string][]} */
  const verdicts = [["accept", "A"], ["correct", "C"], ["reject", "R"], ["unsure", "U"]];
  const undo = h("button", { type: "button", class: "button", "aria-keyshortcuts": "z", on: { click: back } }, t("review.undo"), h("kbd", {}, "Z"));
  const buttons = h(
    "div",
    { class: "verdicts", role: "group", "aria-label": t("review.verdict") },
    ...verdicts.map(([verdict, key]) => h("button", { type: "button", class: "button", "data-verdict": verdict, "aria-keyshortcuts": key.toLowerCase(), on: { click: () => act(verdict) } }, t(`review.${verdict}`), h("kbd", {}, key))),
    undo,
  );
  const desk = h(
    "div",
    { class: "desk" },
    viewer.element,
    h("div", { class: "judge" }, heading, line, ask, state, buttons, correct, others, h("div", { class: "signed" }, h("label", {}, t("review.note"), note), h("label", {}, t("review.reviewer"), who)), sent, keep),
    beside,
  );
  const empty = h("p", { class: "nothing", hidden: true });
  const element = h("section", { class: "view review", tabindex: "-1" }, h("div", { class: "queue" }, h("label", {}, t("review.task"), task), h("label", {}, t("review.queue"), which), before, progress, after), desk, empty);

  /** @type {number[]} */
  let queue = [];
  let [at, painted, chosen] = [0, -1, names[0] ?? ""];
  /** @type {Work | null} */
  let work = null;

  /** Put the works to be reviewed in a row. @param {boolean} [anew] From the first. */
  function begin(anew = false) {
    const flags = collection.ready(`${chosen}_review`);
    const codes = collection.ready(`${chosen}_decision`);
    const tags = collection.ready(chosen);
    const row = queue[at];
    queue = Array.from(context.order()).filter((one) => {
      if (one === row && !anew) return true;
      if (which.value === "flagged") return flags?.[one] === 1;
      return (tags?.[one] || codes?.[one]) && (which.value === "all" || !codes?.[one]);
    });
    at = anew ? -1 : queue.indexOf(row);
    if (at < 0) at = Math.max(0, queue.findIndex((one) => !codes?.[one]));
  }

  async function show() {
    const row = queue[at];
    empty.hidden = row !== undefined;
    desk.hidden = row === undefined;
    progress.textContent = row === undefined ? "" : t("work.place", { k: number(at + 1), all: number(queue.length) });
    before.disabled = at <= 0;
    after.disabled = at >= queue.length - 1;
    who.value = reviewer() ?? "";
    undo.disabled = !decisions.undoable;
    keep.hidden = decisions.count === 0;
    sent.textContent = decisions.count === 0 ? "" : collection.index.served ? (decisions.unsent ? t("review.unsent", { n: decisions.unsent }) : t("review.saved", { n: decisions.count })) : t("review.kept", { n: decisions.count });
    if (row === undefined) {
      fill(empty, t(names.length ? "review.none" : "review.tagless"));
      viewer.close();
      painted = -1;
      return;
    }
    const shown = await collection.work(row);
    if (queue[at] !== row) return;
    work = shown;
    const [suggestion, score] = shown.tags[chosen]?.[0] ?? [t("term.none"), 0];
    const decision = decisions.latest(shown.id, chosen);
    heading.replaceChildren(h("a", { href: store.link({ work: shown.id }) }, shown.title || shown.record || shown.id));
    line.textContent = [shown.artist, shown.date].filter(Boolean).join(", ");
    fill(ask, `${label(chosen)}: `, h("em", {}, suggestion), " ", h("span", { class: "count" }, percent(score)));
    fill(state, standing(decision, chosen, shown));
    state.dataset.decision = decision?.decision ?? "machine";
    for (const button of buttons.querySelectorAll("[data-verdict]")) button.setAttribute("aria-pressed", String(decision?.decision === /** @type {HTMLElement} */ (button).dataset.verdict));
    fill(
      others,
      h("h4", {}, t("review.others")),
      ...(shown.tags[chosen] ?? []).slice(1, OTHERS).map(([name, value, aat], k) =>
        h("button", { type: "button", "aria-keyshortcuts": String(k + 1), title: aat, on: { click: () => decide("correct", name) } }, h("kbd", {}, k + 1), h("span", {}, name), h("span", { class: "count" }, percent(value)), h("span", { class: "meter", style: { "--score": value ?? 0 } }, h("i"))),
      ),
    );
    fill(terms, ...(collection.facets.get(chosen)?.terms ?? []).map((name) => h("option", { value: name })));
    if (painted === row) return;
    painted = row;
    correct.hidden = true;
    note.value = "";
    void viewer.show(shown, row);
    const near = (await collection.neighbours(row)).slice(0, BESIDE);
    const codes = collection.ready(chosen);
    const list = collection.facets.get(chosen)?.terms ?? [];
    if (queue[at] === row) fill(beside, near.length > 0 && [h("h4", {}, t("review.beside")), strip(context, near, { height: 76, captions: false, notes: near.map((one) => list[(codes?.[one] ?? 0) - 1] ?? t("term.none")) })]);
  }

  /** @param {number} step */
  function go(step) {
    const next = at + step;
    if (next < 0 || next >= queue.length) return;
    at = next;
    void show();
  }

  /** @param {Verdict} verdict */
  function act(verdict) {
    if (verdict === "correct") {
      correct.hidden = false;
      term.value = "";
      term.focus();
    } else {
      decide(verdict, null);
    }
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    const known = collection.facets.get(chosen)?.terms ?? [];
    const given = known.find((one) => one.toLowerCase() === term.value.trim().toLowerCase());
    if (!given) {
      term.setCustomValidity(t("review.unknown"));
      term.reportValidity();
      return;
    }
    decide("correct", given);
  }
  term.addEventListener("input", () => term.setCustomValidity(""));

  /** @param {Verdict} verdict @param {string | null} name */
  function decide(verdict, name) {
    if (!work) return;
    const row = queue[at];
    const codes = collection.ready(`${chosen}_decision`);
    const next = queue.findIndex((one, k) => k > at && !codes?.[one]);
    context.say(t("review.done", { verdict: t(`review.${verdict}`), title: work.title || work.record || work.id }));
    if (next >= 0) at = next;
    void decisions.record(row, chosen, verdict, name, note.value.trim() || null);
    if (document.activeElement instanceof HTMLElement && correct.contains(document.activeElement)) element.focus();
    void show();
  }

  async function back() {
    const step = await decisions.undo();
    if (!step || step.row === null) return;
    context.say(t("review.undone"));
    const place = queue.indexOf(step.row);
    if (place >= 0) at = place;
    if (step.task !== chosen) store.set({ task: step.task });
    void show();
  }

  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (element.hidden || store.get().work || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLInputElement && target.type !== "checkbox") {
      if (event.key === "Escape") {
        correct.hidden = true;
        element.focus();
      }
      return;
    }
    if (target instanceof HTMLSelectElement) return;
    const verdict = verdicts.find(([, key]) => key.toLowerCase() === event.key.toLowerCase())?.[0];
    const other = work?.tags[chosen]?.[Number(event.key)]?.[0];
    if (verdict) act(verdict);
    else if (event.key.toLowerCase() === "z") void back();
    else if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
    else if (/^[1-9]$/.test(event.key) && other && Number(event.key) < OTHERS) decide("correct", other);
    else return;
    event.preventDefault();
  });

  return {
    element,
    async update() {
      const wanted = store.get().task;
      const fresh = wanted !== null && wanted !== chosen && names.includes(wanted);
      if (fresh) chosen = /** @type {string} */ (wanted);
      task.value = chosen;
      if (!chosen) {
        await show();
        return;
      }
      await Promise.all([collection.column(chosen), collection.terms(chosen), collection.has(`${chosen}_review`) ? collection.column(`${chosen}_review`) : null]);
      begin(fresh);
      const start = sessionStorage.getItem(START);
      if (start) {
        sessionStorage.removeItem(START);
        const row = await collection.find(start);
        if (row >= 0) {
          if (!queue.includes(row)) queue.unshift(row);
          at = queue.indexOf(row);
        }
      }
      painted = painted === queue[at] ? painted : -1;
      await show();
    },
  };
}
