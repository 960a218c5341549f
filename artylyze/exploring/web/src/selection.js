/** The works that are selected: a mask, and named selections kept by the browser. */

/** @typedef {import("./collection").Collection} Collection */
/** @typedef {ReturnType<typeof createSelection>} Selection */
/** @typedef {{name: string, time: string, snapshot: string | null, rows: number[], ids: string[]}} Saved */

const KEY = "artylyze:selections";
/** Works of a saved selection whose ids are kept, so that it can be read again after the collection has changed. */
export const WITH_IDS = 2000;

/** @returns {Saved[]} */
export function savedSelections() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {Collection} collection */
export function createSelection(collection) {
  const mask = new Uint8Array(collection.n);
  let count = 0;
  /** @type {(() => void)[]} */
  const listeners = [];
  const changed = () => listeners.forEach((listener) => listener());
  /** @param {number} row @param {boolean} on */
  const put = (row, on) => {
    if (mask[row] === Number(on)) return;
    mask[row] = Number(on);
    count += on ? 1 : -1;
  };
  const rows = () => {
    const result = new Uint32Array(count);
    for (let row = 0, k = 0; k < count; row++) if (mask[row]) result[k++] = row;
    return result;
  };

  return {
    mask,
    get count() {
      return count;
    },
    rows,
    /** @param {number} row */
    has: (row) => mask[row] === 1,
    /** @param {number} row */
    toggle(row) {
      put(row, !mask[row]);
      changed();
    },
    /** @param {Iterable<number>} some @param {boolean} [on] */
    add(some, on = true) {
      for (const row of some) put(row, on);
      changed();
    },
    clear() {
      mask.fill(0);
      count = 0;
      changed();
    },
    /** @param {() => void} listener */
    listen: (listener) => listeners.push(listener),
    /** Keep the selection under a name; one of that name is replaced. @param {string} name */
    async save(name) {
      const chosen = Array.from(rows());
      const ids = chosen.length > WITH_IDS ? [] : await Promise.all(chosen.map(async (row) => (await collection.work(row)).id));
      const kept = savedSelections().filter((one) => one.name !== name);
      kept.push({ name, time: new Date().toISOString(), snapshot: collection.index.snapshot, rows: chosen, ids });
      localStorage.setItem(KEY, JSON.stringify(kept));
      changed();
    },
    /** Select the works of a saved selection. @param {Saved} saved @returns {Promise<number>} How many of its works are not in the collection. */
    async open(saved) {
      let found = saved.rows.filter((row) => row < collection.n);
      if (saved.snapshot !== collection.index.snapshot) {
        found = (await Promise.all(saved.ids.map((id, k) => collection.find(id, saved.rows[k])))).filter((row) => row >= 0);
      }
      mask.fill(0);
      count = 0;
      for (const row of found) put(row, true);
      changed();
      return saved.rows.length - found.length;
    },
    /** @param {string} name */
    forget(name) {
      localStorage.setItem(KEY, JSON.stringify(savedSelections().filter((one) => one.name !== name)));
      changed();
    },
  };
}
