import { h } from "./dom.js";
/** @param {import("./app").Context} context */
export function createMap(context) { void context; return { element: h("section", { class: "view map" }), update() {} }; }
