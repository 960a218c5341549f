/** Filters and counts over columns: plain loops over typed arrays, so that a click on a facet is answered at once. */

import { LEAST, nearness } from "./colour.js";
import { alike, normalised } from "./spelling.js";

/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Column} Column */
/** @typedef {import("./collection").Collection} Collection */
/** @typedef {ReturnType<typeof createEngine>} Engine */

/** Name under which works without any term are chosen in a facet. */
export const NONE = "(none)";
export const UNKNOWN_YEAR = -32768;
const NO_WORD = /[^\p{L}\p{N}]+/u;

/**
 * The part of a state that says which works are shown.
 * @param {State} state
 */
export function filtersOf(state) {
  return JSON.stringify([state.facets, state.scores, state.years, state.text.trim(), state.colour, state.picked]);
}

/**
 * @param {Collection} collection
 * @param {() => Uint8Array} picked The mask of the selection.
 */
export function createEngine(collection, picked) {
  const { n } = collection;
  const everything = Uint32Array.from({ length: n }, (_, row) => row);
  /** How many filters a work fails, and the number of the last of them. */
  const fails = new Uint8Array(n);
  const which = new Uint8Array(n);
  let rows = everything;
  /** @type {Map<string, number>} Number of each facet's filter. */
  let numbers = new Map();
  /** @type {{text: string, mask: Uint8Array, best: Float32Array, some: boolean} | null} */
  let texts = null;
  /** @type {Set<string> | null} Words of all works. */
  let vocabulary = null;
  /** @type {{colour: string, near: Float32Array} | null} */
  let tones = null;

  /** @param {string} text */
  async function matchTexts(text) {
    if (texts?.text === text) return;
    const chunks = await collection.texts();
    vocabulary ??= new Set(chunks.flatMap((chunk) => [...new Set(chunk.flatMap((one) => one.split(NO_WORD)))]));
    const spellings = normalised(text).split(/\s+/).filter(Boolean).map((word) => [word, ...alike(word, vocabulary ?? [])]);
    const whole = chunks.flat();
    const matched = spellings.map((words) => Uint8Array.from(whole, (one) => Number(words.some((word) => one.includes(word)))));
    const weights = matched.map((has) => Math.log((n + 1) / (has.reduce((sum, one) => sum + one, 0) + 0.5)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const best = new Float32Array(n);
    const mask = new Uint8Array(n);
    let full = false;
    for (let row = 0; row < n; row++) {
      let words = 0;
      matched.forEach((has, k) => {
        words += has[row];
        best[row] += has[row] ? weights[k] / total : 0;
      });
      mask[row] = words;
      full ||= words === matched.length;
    }
    const least = full ? matched.length : 1;
    for (let row = 0; row < n; row++) mask[row] = Number(mask[row] >= least);
    texts = { text, mask, best, some: !full && mask.includes(1) };
  }

  /** @param {string} colour */
  async function matchColour(colour) {
    if (tones?.colour === colour) return;
    tones = { colour, near: nearness(await collection.colors(), colour) };
  }

  /** @param {Column} column @param {Uint8Array} allowed @param {number} number */
  function failCodes(column, allowed, number) {
    for (let row = 0; row < n; row++) {
      if (!allowed[column[row]]) {
        fails[row]++;
        which[row] = number;
      }
    }
  }

  /** @param {(row: number) => boolean} passes @param {number} number */
  function failWhere(passes, number) {
    for (let row = 0; row < n; row++) {
      if (!passes(row)) {
        fails[row]++;
        which[row] = number;
      }
    }
  }

  return {
    everything,
    fails,
    get rows() {
      return rows;
    },
    nearness: () => tones?.near ?? null,
    /** How well each work has the words of the text that was matched last, 0 to 1: rare words count more. */
    matches: () => texts?.best ?? null,
    /** Whether no work has all words of a text, so that those with some of them pass. @param {State} state */
    some: (state) => texts?.text === state.text.trim() && texts.some,

    /** Read what the filters of a state need. @param {State} state */
    async prepare(state) {
      const columns = Object.keys(state.facets).map((name) => collection.facets.get(name)?.column);
      for (const task of Object.keys(state.scores)) columns.push(`${task}_score`);
      if (state.years) columns.push("year");
      await Promise.all([
        ...columns.map((name) => (name && collection.has(name) ? collection.column(name) : null)),
        ...Object.keys(state.facets).map((name) => (collection.facets.has(name) ? collection.terms(name) : null)),
        state.text.trim() && collection.index.text ? matchTexts(state.text.trim()) : null,
        state.colour && collection.index.colors ? matchColour(state.colour) : null,
      ]);
    },

    /** Apply the filters of a state for which all has been read. @param {State} state @returns {Uint32Array} Rows that pass, ascending. */
    run(state) {
      fails.fill(0);
      numbers = new Map();
      let number = 0;
      for (const [name, terms] of Object.entries(state.facets)) {
        const facet = collection.facets.get(name);
        const column = facet && collection.ready(facet.column);
        if (!column || !facet.terms) continue;
        const allowed = new Uint8Array(facet.terms.length + 1);
        for (const term of terms) {
          const code = collection.code(name, term);
          if (code || term === NONE) allowed[code] = 1;
        }
        numbers.set(name, ++number);
        failCodes(column, allowed, number);
      }
      for (const [task, score] of Object.entries(state.scores)) {
        const column = collection.ready(`${task}_score`);
        const least = Math.round(score * 255);
        if (column) failWhere((row) => column[row] >= least, ++number);
      }
      const year = state.years && collection.ready("year");
      if (year && state.years) {
        const [from, to] = [state.years[0] ?? UNKNOWN_YEAR + 1, state.years[1] ?? 32767];
        numbers.set("years", ++number);
        failWhere((row) => year[row] >= from && year[row] <= to, number);
      }
      const { mask } = texts ?? {};
      if (state.text.trim() && mask) failWhere((row) => mask[row] === 1, ++number);
      const { near } = tones ?? {};
      if (state.colour && near) failWhere((row) => near[row] >= LEAST, ++number);
      const chosen = picked();
      if (state.picked) failWhere((row) => chosen[row] === 1, ++number);

      if (!number) return (rows = everything);
      let count = 0;
      const passing = new Uint32Array(n);
      for (let row = 0; row < n; row++) if (!fails[row]) passing[count++] = row;
      return (rows = passing.slice(0, count));
    },

    /**
     * Works of each code of a facet among those that pass all other filters.
     * @param {string} name
     * @returns {Uint32Array | null} By code, with 0 first; null where the column has not been read.
     */
    counts(name) {
      const facet = collection.facets.get(name);
      const column = facet && collection.ready(facet.column);
      if (!column || !facet.terms) return null;
      const counts = new Uint32Array(facet.terms.length + 1);
      tally(column, numbers.get(name) ?? 0, counts);
      return counts;
    },

    /** Works of each year, first of them given, among those that pass all other filters. @param {number} first @param {number} last */
    years(first, last) {
      const column = collection.ready("year");
      const counts = new Uint32Array(last - first + 1);
      if (!column) return counts;
      const own = numbers.get("years") ?? 0;
      for (let row = 0; row < n; row++) {
        if (fails[row] === 0 || (fails[row] === 1 && which[row] === own)) {
          const at = column[row] - first;
          if (at >= 0 && at < counts.length) counts[at]++;
        }
      }
      return counts;
    },
  };

  /** @param {Column} column @param {number} own @param {Uint32Array} counts */
  function tally(column, own, counts) {
    for (let row = 0; row < n; row++) {
      if (fails[row] === 0 || (fails[row] === 1 && which[row] === own)) counts[column[row]]++;
    }
  }
}
