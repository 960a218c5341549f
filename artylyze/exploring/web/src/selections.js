import { h } from "./dom.js";
/** @param {import("./app").Context} context */
export function createSelections(context) { void context; return { element: h("section", { class: "view selections" }), update() {} }; }
