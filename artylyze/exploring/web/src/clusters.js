import { h } from "./dom.js";
/** @param {import("./app").Context} context */
export function createClusters(context) { void context; return { element: h("section", { class: "view clusters" }), update() {} }; }
