/** The state of the page, kept in its address after the #, so that a view can be sent. */

/** @typedef {import("./types").State} State */

export const VIEWS = ["gallery", "map", "clusters", "timeline", "review", "selections"];
export const SIZES = ["s", "m", "l", "xl"];

/** @returns {State} */
export function initial() {
  return {
    view: "gallery",
    work: null,
    facets: {},
    scores: {},
    years: null,
    text: "",
    colour: null,
    like: null,
    picked: false,
    sort: "",
    size: "m",
    task: null,
    camera: null,
  };
}

/**
 * @param {string} hash With or without its #.
 * @returns {State}
 */
export function parse(hash) {
  const state = initial();
  for (const [key, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const [kind, name] = [key.slice(0, 2), key.slice(2)];
    if (kind === "f." && name) (state.facets[name] ??= []).push(value);
    else if (kind === "s." && name && Number(value) > 0) state.scores[name] = Math.min(1, Number(value));
    else if (key === "view" && VIEWS.includes(value)) state.view = value;
    else if (key === "years") state.years = years(value);
    else if (key === "q") state.text = value;
    else if (key === "colour" && /^[0-9a-f]{6}$/i.test(value)) state.colour = value.toLowerCase();
    else if (key === "selected") state.picked = value === "1";
    else if (key === "size" && SIZES.includes(value)) state.size = value;
    else if (key === "work" || key === "like" || key === "sort" || key === "task" || key === "camera") state[key] = value;
  }
  return state;
}

/**
 * @param {string} value As 1600-1700, either end may be missing.
 * @returns {State["years"]}
 */
function years(value) {
  const match = /^(-?\d+)?\.\.(-?\d+)?$/.exec(value);
  if (!match || (!match[1] && !match[2])) return null;
  return [match[1] ? Number(match[1]) : null, match[2] ? Number(match[2]) : null];
}

/**
 * @param {State} state
 * @returns {string} The address after the #, empty for the initial state.
 */
export function format(state) {
  const plain = initial();
  const words = new URLSearchParams();
  if (state.view !== plain.view) words.set("view", state.view);
  for (const [name, terms] of Object.entries(state.facets)) for (const term of terms) words.append(`f.${name}`, term);
  for (const [name, score] of Object.entries(state.scores)) if (score > 0) words.set(`s.${name}`, String(score));
  if (state.years) words.set("years", `${state.years[0] ?? ""}..${state.years[1] ?? ""}`);
  if (state.text) words.set("q", state.text);
  if (state.colour) words.set("colour", state.colour);
  if (state.like) words.set("like", state.like);
  if (state.picked) words.set("selected", "1");
  if (state.sort) words.set("sort", state.sort);
  if (state.size !== plain.size) words.set("size", state.size);
  if (state.task) words.set("task", state.task);
  if (state.camera) words.set("camera", state.camera);
  if (state.work) words.set("work", state.work);
  return words.toString();
}

/** @typedef {ReturnType<typeof createStore>} Store */

/** @param {(state: State) => void} changed Called after every change, also by the browser's back and forward. */
export function createStore(changed) {
  let state = parse(location.hash);
  window.addEventListener("hashchange", () => {
    if (location.hash.replace(/^#/, "") === format(state)) return;
    state = parse(location.hash);
    changed(state);
  });
  return {
    get: () => state,
    /**
     * @param {Partial<State>} patch
     * @param {{replace?: boolean}} [options] replace: without a step to go back to.
     */
    set: (patch, options = {}) => {
      state = { ...state, ...patch };
      const address = `#${format(state)}`;
      if (address !== (location.hash || "#")) {
        if (options.replace) history.replaceState(null, "", address);
        else history.pushState(null, "", address);
      }
      changed(state);
    },
    /** The address of a changed state, for links. @param {Partial<State>} patch */
    link: (patch) => `#${format({ ...state, ...patch })}`,
  };
}
