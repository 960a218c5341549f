/** Clusters: each with its name, size and typical works. */

import { fill, h } from "./dom.js";
import { strip } from "./strip.js";
import { t } from "./words.js";

const TYPICAL = 8;

/** @param {import("./app").Context} context */
export function createClusters(context) {
  const { collection, engine, store } = context;
  const list = h("ul", { class: "cards", role: "list" });
  const none = h("p", { class: "nothing", hidden: true });
  const element = h("section", { class: "view clusters", tabindex: "-1" }, list, none);

  return {
    element,
    async update() {
      const { clusters } = collection.index;
      if (!clusters) {
        none.hidden = false;
        fill(none, t("clusters.none"));
        return;
      }
      await collection.column("cluster");
      const counts = engine.counts("cluster") ?? [0, ...clusters.sizes];
      const shown = clusters.names.map((name, k) => ({ name, k, works: counts[k + 1] ?? 0 })).filter(({ works }) => works > 0);
      shown.sort((a, b) => b.works - a.works);
      none.hidden = shown.length > 0;
      if (!shown.length) fill(none, t("gallery.nothing"));
      const { cluster: _, ...others } = store.get().facets;
      fill(
        list,
        ...shown.map(({ name, k, works }) => {
          const typical = clusters.typical[k] ?? [];
          const passing = typical.filter((row) => !engine.fails[row]);
          return h(
            "li",
            { class: "card" },
            h("h3", {}, h("a", { href: store.link({ view: "gallery", facets: { ...others, cluster: [name] } }) }, name)),
            h("p", { class: "count" }, t("works", { n: works })),
            strip(context, (passing.length ? passing : typical).slice(0, TYPICAL), { height: 84, captions: false }),
          );
        }),
      );
    },
  };
}
