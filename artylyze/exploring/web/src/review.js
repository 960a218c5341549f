import { h } from "./dom.js";
/** @param {import("./app").Context} context */
export function createReview(context) { void context; return { element: h("section", { class: "view review" }), update() {} }; }
