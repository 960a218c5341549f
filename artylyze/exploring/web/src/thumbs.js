/** Thumbnails: cells of atlases, drawn on canvases. The latest asked for are read first, and a few atlases are kept. */

/** @typedef {import("./collection").Collection} Collection */
/** @typedef {ReturnType<typeof createThumbs>} Thumbs */

const CELLS = /** @type {Record<number, number>} */ ({ 32: 4096, 64: 1024, 128: 64 });
const AT_ONCE = 4;
/** Bytes of decoded atlases that are kept. */
const KEPT = 160e6;

/**
 * @typedef {object} Cell
 * @property {string} path
 * @property {number} side
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 */

/** @param {Collection} collection */
export function createThumbs(collection) {
  const sides = [...collection.index.thumbs].sort((a, b) => a - b);
  /** @type {Map<string, HTMLImageElement>} */
  const ready = new Map();
  /** @type {Map<string, {side: number, tasks: {wanted: () => boolean, draw: (image: HTMLImageElement) => void}[]}>} */
  const waiting = new Map();
  let running = 0;
  let held = 0;

  /** The smallest side that suffices for so many pixels. @param {number} pixels */
  const sideFor = (pixels) => sides.find((side) => side >= pixels * 0.9) ?? sides[sides.length - 1] ?? 0;

  /** Whether a work has a thumbnail. @param {number} row */
  const has = (row) => sides.length > 0 && (collection.ready("status")?.[row] ?? 0) === 0 && sizeOf(row)[0] > 0;

  /** @param {number} row @returns {[number, number]} Width and height of the image, 0 where unknown. */
  const sizeOf = (row) => [collection.ready("width")?.[row] ?? 0, collection.ready("height")?.[row] ?? 0];

  /** Where a work's thumbnail lies. @param {number} row @param {number} side @returns {Cell} */
  function cell(row, side) {
    const each = CELLS[side];
    const across = Math.sqrt(each);
    const place = row % each;
    const [w, h] = sizeOf(row);
    const scale = side / Math.max(w, h, 1);
    return {
      path: `data/thumbs/${side}/${Math.floor(row / each)}.jpg`,
      side,
      x: (place % across) * side,
      y: Math.floor(place / across) * side,
      width: Math.max(1, Math.round(w * scale)),
      height: Math.max(1, Math.round(h * scale)),
    };
  }

  /**
   * Read an atlas, then call `draw` unless it is no longer wanted.
   * @param {Cell} where
   * @param {() => boolean} wanted
   * @param {(image: HTMLImageElement) => void} draw
   */
  function withAtlas(where, wanted, draw) {
    const image = ready.get(where.path);
    if (image) {
      ready.delete(where.path);
      ready.set(where.path, image);
      draw(image);
      return;
    }
    const entry = waiting.get(where.path) ?? { side: where.side, tasks: [] };
    entry.tasks.push({ wanted, draw });
    waiting.delete(where.path);
    waiting.set(where.path, entry);
    next();
  }

  function next() {
    while (running < AT_ONCE && waiting.size) {
      const path = /** @type {string} */ ([...waiting.keys()].pop());
      const entry = waiting.get(path);
      waiting.delete(path);
      if (!entry?.tasks.some(({ wanted }) => wanted())) continue;
      running++;
      read(path)
        .then((image) => {
          keep(path, image);
          for (const { wanted, draw } of entry.tasks) if (wanted()) draw(image);
        })
        .catch(() => {})
        .finally(() => {
          running--;
          next();
        });
    }
  }

  /** @param {string} path @returns {Promise<HTMLImageElement>} */
  async function read(path) {
    const image = new Image();
    image.decoding = "async";
    image.src = path;
    await image.decode();
    return image;
  }

  /** @param {string} path @param {HTMLImageElement} image */
  function keep(path, image) {
    ready.set(path, image);
    held += image.naturalWidth * image.naturalHeight * 4;
    for (const [oldest, old] of ready) {
      if (held <= KEPT || oldest === path) break;
      ready.delete(oldest);
      held -= old.naturalWidth * old.naturalHeight * 4;
    }
  }

  return {
    sides,
    sideFor,
    has,
    sizeOf,
    cell,
    withAtlas,
    /** Width by height of a work, between 0.45 and 2.4. @param {number} row */
    aspect(row) {
      const [w, h] = sizeOf(row);
      return w && h ? Math.min(2.4, Math.max(0.45, w / h)) : 1;
    },
    /**
     * Draw a work's thumbnail on a canvas, once its atlas is there.
     * @param {HTMLCanvasElement} canvas
     * @param {number} row
     * @param {number} pixels Longest side on the screen.
     */
    draw(canvas, row, pixels) {
      if (!has(row)) {
        canvas.dataset.state = "none";
        return;
      }
      const where = cell(row, sideFor(pixels * Math.min(2, devicePixelRatio)));
      canvas.dataset.state = "waiting";
      withAtlas(
        where,
        () => canvas.isConnected,
        (image) => {
          canvas.width = where.width;
          canvas.height = where.height;
          canvas.getContext("2d", { willReadFrequently: true })?.drawImage(image, where.x, where.y, where.width, where.height, 0, 0, where.width, where.height);
          canvas.dataset.state = "drawn";
        },
      );
    },
  };
}
