/** The large image of a work: IIIF or a plain picture that can be zoomed, or its thumbnail where neither can be had. */

import { fill, h, icon, painted } from "./dom.js";
import { script } from "./source.js";
import { t } from "./words.js";

/** @typedef {import("./app").Context} Context */
/** @typedef {import("./types").Work} Work */

/** @param {Context} context */
export function createViewer({ thumbs }) {
  const canvas = h("canvas", { class: "poster", "aria-hidden": "true" });
  const deep = h("div", { class: "deep" });
  const note = h("p", { class: "gone", hidden: true });
  const buttons = h(
    "div",
    { class: "zoom" },
    ...[
      ["plus", "zoom.in", () => by(1.5)],
      ["minus", "zoom.out", () => by(1 / 1.5)],
      ["fit", "zoom.fit", () => viewer?.viewport.goHome()],
    ].map(([name, key, act]) => h("button", { type: "button", "aria-label": t(String(key)), title: t(String(key)), on: { click: act } }, icon(String(name)))),
  );
  const element = h("div", { class: "viewer", role: "img" }, canvas, deep, note);
  const frame = h("div", { class: "frame" }, element, buttons);
  /** @type {any} */
  let viewer = null;
  let asked = 0;

  /** @param {number} factor */
  function by(factor) {
    viewer?.viewport.zoomBy(factor);
    viewer?.viewport.applyConstraints();
  }

  function close() {
    viewer?.destroy();
    viewer = null;
    fill(deep);
    frame.removeAttribute("data-zoom");
  }

  /** @param {string} key */
  function failed(key) {
    note.hidden = false;
    note.textContent = t(key);
    close();
  }

  return {
    element: frame,
    close,
    /** @param {Work} work @param {number} row */
    async show(work, row) {
      const mine = ++asked;
      close();
      note.hidden = true;
      element.setAttribute("aria-label", t("zoom.image", { title: work.title || work.record || work.id }));
      canvas.width = canvas.height = 0;
      if (!thumbs.has(row)) {
        failed("work.unreadable");
        return;
      }
      canvas.style.setProperty("--aspect", String(thumbs.aspect(row)));
      thumbs.draw(canvas, row, 128);
      if (!work.iiif && !work.image) {
        failed("zoom.none");
        return;
      }
      await painted(); // the work with its thumbnail is seen before the large image is begun
      if (!window.ARTYLYZE_ZOOM) await script("zoom.js");
      if (mine !== asked) return;
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      viewer = window.ARTYLYZE_ZOOM({
        element: deep,
        tileSources: work.iiif ?? { type: "image", url: work.image },
        drawer: "canvas",
        crossOriginPolicy: false,
        showNavigationControl: false,
        animationTime: still ? 0 : 0.6,
        immediateRender: still,
        maxZoomPixelRatio: 3,
        minZoomImageRatio: 0.9,
        gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      });
      viewer.addHandler("open", () => frame.setAttribute("data-zoom", ""));
      viewer.addHandler("open-failed", () => setTimeout(() => failed("zoom.gone"), 0));
    },
  };
}
