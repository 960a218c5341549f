/** CIELAB (D65) of colours, and how much of a work is near a colour. */

/** Radius in CIELAB beyond which a colour counts for nothing. */
export const RADIUS = 32;
/** Least nearness of works that are shown for a colour. */
export const LEAST = 0.18;

/**
 * @param {string} hex Six hexadecimal digits.
 * @returns {[number, number, number]} L 0..100, a and b.
 */
export function labOf(hex) {
  const [r, g, b] = [0, 2, 4].map((at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
  });
  const [x, y, z] = [
    (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
    0.2126 * r + 0.7152 * g + 0.0722 * b,
    (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
  ].map((value) => (value > (6 / 29) ** 3 ? Math.cbrt(value) : (value * 841) / 108 + 4 / 29));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/**
 * @param {number} l
 * @param {number} a
 * @param {number} b
 * @returns {[number, number, number]} sRGB, 0..1, clipped.
 */
export function rgbOf(l, a, b) {
  const y = (l + 16) / 116;
  const [X, Y, Z] = [y + a / 500, y, y - b / 200].map((value) => (value > 6 / 29 ? value ** 3 : ((value - 4 / 29) * 108) / 841));
  const [x, z] = [X * 0.95047, Z * 1.08883];
  const linear = [3.2406 * x - 1.5372 * Y - 0.4986 * z, -0.9689 * x + 1.8758 * Y + 0.0415 * z, 0.0557 * x - 0.204 * Y + 1.057 * z];
  const [red, green, blue] = linear.map((value) => {
    const clipped = Math.min(1, Math.max(0, value));
    return clipped > 0.0031308 ? 1.055 * clipped ** (1 / 2.4) - 0.055 : 12.92 * clipped;
  });
  return [red, green, blue];
}

/**
 * Nearness of each work to a colour, 0..1: shares of its dominant colours, each weighted by how near it lies in CIELAB.
 * @param {Int8Array} colors n x 5 x 4.
 * @param {string} hex
 * @returns {Float32Array} (n,)
 */
export function nearness(colors, hex) {
  const [l, a, b] = labOf(hex);
  const shares = new Uint8Array(colors.buffer, colors.byteOffset, colors.length);
  const result = new Float32Array(colors.length / 20);
  for (let row = 0, at = 0; row < result.length; row++) {
    let sum = 0;
    for (let k = 0; k < 5; k++, at += 4) {
      const dl = colors[at] - l;
      const da = colors[at + 1] - a;
      const db = colors[at + 2] - b;
      const squared = dl * dl + da * da + db * db;
      if (squared < RADIUS * RADIUS) sum += shares[at + 3] * (1 - Math.sqrt(squared) / RADIUS);
    }
    result[row] = sum / 255;
  }
  return result;
}
