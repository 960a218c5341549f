import { h } from "./dom.js";
/** @param {import("./app").Context} context */
export function createTimeline(context) { void context; return { element: h("section", { class: "view timeline" }), update() {} }; }
