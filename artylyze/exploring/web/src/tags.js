/** The tags of a work: terms with calibrated bars, and, in words, whether a person has checked them. */

import { h, icon } from "./dom.js";
import { label, percent, t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").Work} Work */
/** @typedef {import("./types").Decision} Decision */

/** @param {Decision | null} decision @param {string} task @param {Work} work */
export function standing(decision, task, work) {
  if (!decision) return work.review[task] ? t("tags.flagged") : t("tags.machine");
  const by = decision.reviewer ? t("tags.by", { who: decision.reviewer }) : "";
  const when = decision.time.slice(0, 10);
  return [t(`tags.${decision.decision}`, { term: decision.term ?? "", suggestion: decision.suggestion ?? "" }), by, when].filter(Boolean).join(" · ");
}

/**
 * @param {Context} context
 * @param {Work} work
 * @param {{task?: string, most?: number, extra?: (task: string) => Node | null}} [options] Only one task; at most so many terms; what follows the terms.
 */
export function tagList({ collection, decisions, store }, work, { task: only, most = 5, extra } = {}) {
  const tasks = collection.index.tasks.filter(({ name }) => (!only || name === only) && work.tags[name]?.length);
  if (!tasks.length) return h("p", { class: "quiet" }, t("tags.none"));
  return h(
    "div",
    { class: "tags" },
    ...tasks.map(({ name }) => {
      const decision = decisions.latest(work.id, name);
      const wrong = decision?.decision === "reject" || decision?.decision === "correct";
      return h(
        "section",
        { "data-task": name },
        h("h3", {}, label(name)),
        decision?.decision === "correct" && h("p", { class: "right" }, decision.term),
        h(
          "ol",
          { role: "list" },
          ...work.tags[name].slice(0, most).map(([term, score, aat], k) =>
            h(
              "li",
              { class: "tag", "data-first": k === 0 || null, "data-wrong": (wrong && k === 0) || null, style: { "--score": (score ?? 0).toFixed(3) } },
              h("a", { class: "term", href: store.link({ view: "gallery", work: null, facets: { [name]: [term] } }) }, term),
              aat && h("a", { class: "aat", href: aat, target: "_blank", rel: "noopener noreferrer", "aria-label": t("tags.aat", { term }), title: t("tags.aat", { term }) }, "AAT", icon("out")),
              h("span", { class: "count" }, percent(score)),
              h("span", { class: "meter", "aria-hidden": "true" }, h("i")),
            ),
          ),
        ),
        h("p", { class: "standing", "data-decision": decision?.decision ?? "machine" }, standing(decision, name, work)),
        extra?.(name),
      );
    }),
  );
}
