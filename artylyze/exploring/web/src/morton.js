/** Works along a curve that fills the map: those of a square of the map are neighbours, so that a view is read from few ranges. */

/** @param {number} value 16 bits. @returns {number} Its bits, a zero between each two. */
function spread(value) {
  let bits = value;
  bits = (bits | (bits << 8)) & 0x00ff00ff;
  bits = (bits | (bits << 4)) & 0x0f0f0f0f;
  bits = (bits | (bits << 2)) & 0x33333333;
  return (bits | (bits << 1)) & 0x55555555;
}

/** Code of a square: bits of x and y by turns. @param {number} x @param {number} y */
export const code = (x, y) => (spread(x) | (spread(y) << 1)) >>> 0;

/**
 * @param {import("./types").Column} x 0..65535
 * @param {import("./types").Column} y 0..65535
 * @param {(row: number) => boolean} placed Whether a work lies on the map.
 * @returns {{rows: Uint32Array, keys: Uint32Array}} Rows in the order of their codes, equal ones ascending, and the codes.
 */
export function along(x, y, placed) {
  const n = x.length;
  let rows = new Uint32Array(n);
  let count = 0;
  for (let row = 0; row < n; row++) if (placed(row)) rows[count++] = row;
  rows = rows.slice(0, count);
  const codes = new Uint32Array(n);
  for (let i = 0; i < count; i++) codes[rows[i]] = code(x[rows[i]], y[rows[i]]);
  for (const shift of [0, 16]) {
    const starts = new Uint32Array(65537);
    for (let i = 0; i < count; i++) starts[((codes[rows[i]] >>> shift) & 0xffff) + 1]++;
    for (let k = 1; k < 65537; k++) starts[k] += starts[k - 1];
    const sorted = new Uint32Array(count);
    for (let i = 0; i < count; i++) sorted[starts[(codes[rows[i]] >>> shift) & 0xffff]++] = rows[i];
    rows = sorted;
  }
  const keys = new Uint32Array(count);
  for (let i = 0; i < count; i++) keys[i] = codes[rows[i]];
  return { rows, keys };
}

/** First place whose key is at least so much. @param {Uint32Array} keys @param {number} key */
export function lower(keys, key) {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Of each cell of a square the work of the lowest row, so that the first atlases serve most of the map.
 * @param {{rows: Uint32Array, keys: Uint32Array}} works
 * @param {number} level Of the square: the map is 2^level squares wide.
 * @param {number} square Its code.
 * @param {number} cells Level of the cells, level..16.
 * @param {Uint8Array} fails 0 where a work passes the filters.
 * @returns {number[]}
 */
export function chosen({ rows, keys }, level, square, cells, fails) {
  const width = 2 ** (2 * (16 - level));
  const end = lower(keys, (square + 1) * width);
  const shift = 2 * (16 - cells);
  const result = [];
  let [cell, best] = [-1, -1];
  for (let i = lower(keys, square * width); i < end; i++) {
    const row = rows[i];
    if (fails[row]) continue;
    const mine = shift === 32 ? 0 : keys[i] >>> shift;
    if (mine !== cell) {
      if (best >= 0) result.push(best);
      [cell, best] = [mine, row];
    } else if (row < best) {
      best = row;
    }
  }
  if (best >= 0) result.push(best);
  return result;
}
