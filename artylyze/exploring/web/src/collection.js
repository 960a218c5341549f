/** A collection: its index, and columns, works, texts, neighbours, colours and thumbnails, each read when it is first needed. */

import { similarity } from "./spelling.js";

/** @typedef {import("./types").Column} Column */
/** @typedef {import("./types").Index} Index */
/** @typedef {import("./types").Work} Work */
/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./types").Source} Source */
/** @typedef {ReturnType<typeof createCollection>} Collection */

const WORKS = 250;
const TEXTS = 20000;
const NEIGHBOURS = 4096;
const NOBODY = 0xffffffff;
const KEPT_CHUNKS = 120;
/** Works that are named where an id is not there, and how alike theirs must be. */
const MOST_ALIKE = 3;
const LEAST_ALIKE = 0.3;

/** @type {Record<string, new (bytes: ArrayBuffer) => Column>} */
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int16: Int16Array, float32: Float32Array };

/**
 * Files that were read, the latest ones kept.
 * @template T
 * @param {number} most
 * @param {(key: string) => Promise<T>} read
 */
function kept(most, read) {
  /** @type {Map<string, Promise<T>>} */
  const entries = new Map();
  return (/** @type {string} */ key) => {
    let entry = entries.get(key);
    if (entry) {
      entries.delete(key);
    } else {
      entry = read(key);
      entry.catch(() => entries.delete(key));
      if (entries.size >= most) entries.delete(/** @type {string} */ (entries.keys().next().value));
    }
    entries.set(key, entry);
    return entry;
  };
}

/**
 * @param {Source} source
 * @param {Index} index
 */
export function createCollection(source, index) {
  const { n } = index;
  const dtypes = new Map(index.columns.map(({ name, dtype }) => [name, dtype]));
  for (const facet of index.facets) [facet.title, facet.name] = [facet.name, facet.column];
  const facets = new Map(index.facets.map((facet) => [facet.name, facet]));
  const artist = index.facets.find(({ kind, title }) => kind === "metadata" && title.toLowerCase() === "artist");
  /** @type {Map<string, Column>} */
  const columns = new Map();
  /** @type {Map<number, Work[]>} */
  const loaded = new Map();
  /** @type {Int8Array | null} */
  let colors = null;

  const readColumn = kept(1000, async (name) => {
    const made = columns.get(name);
    if (made) return made;
    const values = new ARRAYS[dtypes.get(name) ?? "uint8"](await source.bytes(`data/columns/${name}.bin`));
    columns.set(name, values);
    return values;
  });
  const readTerms = kept(1000, async (name) => {
    const facet = /** @type {Facet} */ (facets.get(name));
    facet.terms ??= /** @type {string[]} */ (await source.json(`data/terms/${name}.json`));
    return facet.terms;
  });
  const readWorks = kept(KEPT_CHUNKS, async (key) => {
    /** @type {Work[]} */
    const works = await source.json(`data/works/${key}.json`);
    if (loaded.size >= KEPT_CHUNKS) loaded.delete(/** @type {number} */ (loaded.keys().next().value));
    loaded.set(Number(key), works);
    return works;
  });
  const readTexts = kept(1000, async (key) => /** @type {string[]} */ (await source.json(`data/text/${key}.json`)));
  const readNeighbours = kept(32, async (key) => new Uint32Array(await source.bytes(`data/neighbours/${key}.bin`)));
  const readColors = kept(1, async () => (colors = new Int8Array(await source.bytes("data/colors.bin"))));

  /** The number of the file that a work of an id lies in, if it is there: ids ascend with the rows, so that this reads few files. @param {string} id */
  async function fileOf(id) {
    let low = 0;
    let high = Math.ceil(n / WORKS) - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((await work(middle * WORKS)).id <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @param {number} row */
  const work = async (row) => (await readWorks(String(Math.floor(row / WORKS))))[row % WORKS];

  return {
    index,
    source,
    n,
    local: source.local,
    facets,
    /** The facet of artists, if there is one. */
    artist,
    /** @param {string} name */
    has: (name) => dtypes.has(name),
    /** @param {string} name @returns {Promise<Column>} */
    column: (name) => readColumn(name),
    /** A column that has been read already. @param {string} name @returns {Column | undefined} */
    ready: (name) => columns.get(name),
    /** @param {string} name @returns {Promise<string[]>} */
    terms: (name) => readTerms(name),
    /** Add a column that the page made, and its facet. @param {Facet} facet @param {Column} values */
    put: (facet, values) => {
      columns.set(facet.column, values);
      dtypes.set(facet.column, "uint8");
      if (!facets.has(facet.name)) {
        facets.set(facet.name, facet);
        index.facets.push(facet);
      }
    },
    /** Code of a term of a facet, 0 where it has none. @param {string} name @param {string} term */
    code: (name, term) => (facets.get(name)?.terms?.indexOf(term) ?? -1) + 1,
    work,
    /** A work whose file has been read already. @param {number} row */
    known: (row) => loaded.get(Math.floor(row / WORKS))?.[row % WORKS],
    /** Normalised texts of all works, in their order. @returns {Promise<string[][]>} */
    texts: () => Promise.all(Array.from({ length: Math.ceil(n / TEXTS) }, (_, k) => readTexts(String(k)))),
    /** Rows of the nearest works, nearest first. @param {number} row @returns {Promise<number[]>} */
    neighbours: async (row) => {
      const k = index.neighbours;
      if (!k) return [];
      const near = await readNeighbours(String(Math.floor(row / NEIGHBOURS)));
      const start = (row % NEIGHBOURS) * k;
      return Array.from(near.subarray(start, start + k)).filter((other) => other !== NOBODY);
    },
    /** Five dominant colours a work: int8 L, a, b, and the share as a uint8. */
    colors: () => readColors("all"),
    readyColors: () => colors,
    /** The row of an id. @param {string} id @param {number} [hint] */
    find: async (id, hint) => {
      if (hint !== undefined && hint >= 0 && hint < n && (await work(hint)).id === id) return hint;
      const file = await fileOf(id);
      const place = (await readWorks(String(file))).findIndex((one) => one.id === id);
      return place < 0 ? -1 : file * WORKS + place;
    },
    /** Rows of works whose id or record is spelled most like one that is not there, among those that would lie beside it. @param {string} id @returns {Promise<number[]>} */
    alike: async (id) => {
      const file = await fileOf(id);
      return (await readWorks(String(file)))
        .map((one, place) => ({ row: file * WORKS + place, like: Math.max(similarity(id, one.id), similarity(id, one.record ?? "")) }))
        .filter(({ like }) => like >= LEAST_ALIKE)
        .sort((a, b) => b.like - a.like)
        .slice(0, MOST_ALIKE)
        .map(({ row }) => row);
    },
  };
}
