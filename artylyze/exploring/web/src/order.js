/** Orders of works: each work gets a key of 16 bits, and keys are sorted by counting, equal ones in the order of rows. */

import { UNKNOWN_YEAR } from "./engine.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./collection").Collection} Collection */
/** @typedef {import("./engine").Engine} Engine */

const LAST = 65535;

/**
 * @param {Uint32Array} rows
 * @param {Uint16Array} keys By row.
 * @returns {Uint32Array} The rows, smallest key first.
 */
export function sorted(rows, keys) {
  const starts = new Uint32Array(LAST + 2);
  for (let i = 0; i < rows.length; i++) starts[keys[rows[i]] + 1]++;
  for (let key = 1; key < starts.length; key++) starts[key] += starts[key - 1];
  const result = new Uint32Array(rows.length);
  for (let i = 0; i < rows.length; i++) result[starts[keys[rows[i]]]++] = rows[i];
  return result;
}

/**
 * Orders that a collection has: collection, score:TASK, date, artist, cluster, colour; likeness where a work is given, words where a text is.
 * @param {Collection} collection
 * @param {State} state
 */
export function orders(collection, state) {
  const { index, facets } = collection;
  return [
    ...(state.like ? ["likeness"] : []),
    ...(state.text.trim() ? ["words"] : []),
    "collection",
    ...index.tasks.filter(({ name }) => collection.has(`${name}_score`)).map(({ name }) => `score:${name}`),
    ...(collection.has("year") ? ["date"] : []),
    ...(collection.artist ? ["artist"] : []),
    ...(facets.has("cluster") ? ["cluster"] : []),
    ...(index.colors ? ["colour"] : []),
  ];
}

/** The order of a state, where it names none. @param {State} state */
export function usual(state) {
  if (state.like) return "likeness";
  if (state.colour) return "colour";
  return state.text.trim() ? "words" : "collection";
}

/**
 * @param {Collection} collection
 * @param {Engine} engine
 * @param {State} state
 * @param {number} like Row of the work to be like, or -1.
 * @returns {Promise<Uint16Array | null>} A key for each row, or null for the order of rows.
 */
export async function keysOf(collection, engine, state, like) {
  const sort = orders(collection, state).includes(state.sort) ? state.sort : usual(state);
  const keys = new Uint16Array(collection.n);
  if (sort.startsWith("score:")) {
    const task = sort.slice("score:".length);
    const [scores, codes] = await Promise.all([collection.column(`${task}_score`), collection.column(task)]);
    for (let row = 0; row < keys.length; row++) keys[row] = codes[row] ? 255 - scores[row] : LAST;
  } else if (sort === "date") {
    const years = await collection.column("year");
    for (let row = 0; row < keys.length; row++) keys[row] = years[row] === UNKNOWN_YEAR ? LAST : years[row] - UNKNOWN_YEAR;
  } else if (sort === "artist" || sort === "cluster") {
    const name = sort === "artist" ? (collection.artist?.name ?? sort) : sort;
    const [terms, codes] = await Promise.all([collection.terms(name), collection.column(name)]);
    const ranks = sort === "artist" ? alphabetical(terms) : Uint16Array.from({ length: terms.length + 1 }, (_, k) => (k ? k : LAST));
    for (let row = 0; row < keys.length; row++) keys[row] = ranks[codes[row]];
  } else if (sort === "words") {
    const best = engine.matches();
    if (!best) return null;
    for (let row = 0; row < keys.length; row++) keys[row] = Math.round((1 - best[row]) * (LAST - 1));
  } else if (sort === "likeness" && like >= 0) {
    await byLikeness(collection, like, keys);
  } else if (sort === "colour") {
    const colors = await collection.colors();
    const near = state.colour ? engine.nearness() : null;
    if (near) for (let row = 0; row < keys.length; row++) keys[row] = Math.round((1 - near[row]) * (LAST - 1));
    else byHue(colors, keys);
  } else {
    return null;
  }
  return keys;
}

/** @param {string[]} terms @returns {Uint16Array} Place of each code in the alphabet, 0 last. */
function alphabetical(terms) {
  const { compare } = new Intl.Collator(undefined, { sensitivity: "base" });
  const places = terms.map((_, k) => k).sort((a, b) => compare(terms[a], terms[b]));
  const ranks = new Uint16Array(terms.length + 1);
  ranks[0] = LAST;
  places.forEach((k, rank) => (ranks[k + 1] = Math.min(rank, LAST - 1)));
  return ranks;
}

/** The work itself, its nearest works, then the others by distance on the map. @param {Collection} collection @param {number} like @param {Uint16Array} keys */
async function byLikeness(collection, like, keys) {
  const [x, y, near] = await Promise.all([collection.column("x"), collection.column("y"), collection.neighbours(like)]);
  for (let row = 0; row < keys.length; row++) keys[row] = 100 + Math.min(65000, Math.hypot(x[row] - x[like], y[row] - y[like]) * 0.7);
  near.forEach((row, rank) => (keys[row] = rank + 1));
  keys[like] = 0;
}

/** Hues around the circle, then greys from dark to light, by the largest of the dominant colours. @param {Int8Array} colors @param {Uint16Array} keys */
function byHue(colors, keys) {
  for (let row = 0; row < keys.length; row++) {
    const [l, a, b] = [colors[row * 20], colors[row * 20 + 1], colors[row * 20 + 2]];
    if (Math.hypot(a, b) < 8) keys[row] = 40000 + l * 200;
    else keys[row] = Math.round(((Math.atan2(b, a) + Math.PI) / (2 * Math.PI)) * 30000);
  }
}
