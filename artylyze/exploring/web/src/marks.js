/** Draws the marks of the map with WebGL: one quad a work, with its thumbnail from a texture into which thumbnails are copied as they are needed. */

/** @typedef {import("./thumbs").Thumbs} Thumbs */

/**
 * @typedef {object} Marks
 * @property {number} count
 * @property {Uint32Array} rows
 * @property {Float32Array} places x and y of each, 0..1.
 * @property {number} pixels Longest side of a mark on the screen.
 * @property {(row: number) => boolean} selected
 * @property {(row: number) => [number, number, number]} colour Where there is no thumbnail yet, 0..1.
 */

/** @typedef {{x: number, y: number, scale: number}} Camera Centre on the map, 0..1, and CSS pixels a map. */
/** @typedef {{draw(camera: Camera, marks: Marks, fresh: boolean): void, resize(width: number, height: number, ratio: number): void}} Renderer */

const WIDTH = 4096;
const HEIGHT = 2048;
const FLOATS = 8;

const VERTEX = `#version 300 es
precision highp float;
in vec2 place; in vec2 shape; in float slot; in vec3 look;
uniform vec2 centre; uniform float scale; uniform vec2 view; uniform float pixels; uniform float side;
out vec2 uv; out vec2 inner; flat out float drawn; flat out vec3 tint; flat out float marked;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1 & 1);
  vec2 size = shape * pixels;
  vec2 point = (place - centre) * scale + (corner - 0.5) * size;
  gl_Position = vec4(point * 2. / view * vec2(1., -1.), 0., 1.);
  float across = ${WIDTH}. / side;
  vec2 cell = vec2(mod(max(slot, 0.), across), floor(max(slot, 0.) / across));
  uv = (cell * side + 0.5 + corner * (shape * side - 1.)) / vec2(${WIDTH}., ${HEIGHT}.);
  inner = (min(corner, 1. - corner)) * size;
  inner = vec2(min(inner.x, inner.y), 0.);
  drawn = slot; marked = step(2., look.r); tint = vec3(mod(look.r, 2.), look.gb);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 uv; in vec2 inner; flat in float drawn; flat in vec3 tint; flat in float marked;
uniform sampler2D pictures; uniform vec3 accent;
out vec4 colour;
void main() {
  vec3 shown = drawn < 0. ? tint : texture(pictures, uv).rgb;
  colour = vec4(marked > 0.5 && inner.x < 2.5 ? accent : shown, 1.);
}`;

const COPY_VERTEX = `#version 300 es
precision highp float;
in vec2 from; in vec2 to;
uniform float side; uniform float own; uniform vec2 atlas;
out vec2 uv;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1 & 1);
  uv = (from + corner * own) / atlas;
  gl_Position = vec4((to + corner * side) / vec2(${WIDTH}., ${HEIGHT}.) * 2. - 1., 0., 1.);
}`;

const COPY_FRAGMENT = `#version 300 es
precision highp float;
in vec2 uv; uniform sampler2D source; out vec4 colour;
void main() { colour = vec4(texture(source, uv).rgb, 1.); }`;

/**
 * @param {WebGL2RenderingContext} gl
 * @param {string} vertex
 * @param {string} fragment
 */
function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) ?? "shader");
  return made;
}

/**
 * A drawing of quads, whose four corners share their attributes. They are not drawn as instances: software OpenGL draws each instance
 * on its own, which took 40 ms for 800 marks.
 * @param {WebGL2RenderingContext} gl
 * @param {WebGLProgram} shader
 * @param {[string, number][]} attributes Name and number of floats.
 */
function quads(gl, shader, attributes) {
  const vertices = gl.createVertexArray();
  gl.bindVertexArray(vertices);
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  const floats = attributes.reduce((sum, [, size]) => sum + size, 0);
  let offset = 0;
  for (const [name, size] of attributes) {
    const at = gl.getAttribLocation(shader, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, gl.FLOAT, false, floats * 4, offset);
    offset += size * 4;
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  let corners = new Float32Array(0);
  let count = 0;
  /** @type {Map<string, WebGLUniformLocation | null>} */
  const uniforms = new Map();

  /** Make room for so many quads: two triangles each, of the corners 0, 1, 2 and 2, 1, 3. @param {number} most */
  function grow(most) {
    const indices = new Uint32Array(most * 6);
    for (let i = 0; i < most; i++) [0, 1, 2, 2, 1, 3].forEach((corner, k) => (indices[i * 6 + k] = i * 4 + corner));
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
    corners = new Float32Array(most * 4 * floats);
  }

  return {
    /** @param {string} name */
    uniform(name) {
      if (!uniforms.has(name)) uniforms.set(name, gl.getUniformLocation(shader, name));
      return uniforms.get(name) ?? null;
    },
    /** @param {Float32Array} values The attributes of each quad. */
    upload(values) {
      gl.bindVertexArray(vertices);
      count = values.length / floats;
      if (corners.length < count * 4 * floats) grow(count * 2);
      for (let i = 0; i < count * 4; i++) for (let k = 0; k < floats; k++) corners[i * floats + k] = values[(i >> 2) * floats + k];
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, corners.subarray(0, count * 4 * floats), gl.DYNAMIC_DRAW);
    },
    use() {
      gl.useProgram(shader);
      gl.bindVertexArray(vertices);
    },
    /** Draw the quads that were uploaded last. */
    draw: () => gl.drawElements(gl.TRIANGLES, count * 6, gl.UNSIGNED_INT, 0),
  };
}

/** @param {WebGL2RenderingContext} gl @param {number} width @param {number} height */
function texture(gl, width, height) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  if (width) gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.LINEAR);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  return made;
}

/**
 * Slots of a texture, one a thumbnail of a side; the longest unused are given away first.
 * @param {WebGL2RenderingContext} gl
 * @param {number} side
 */
function createSlots(gl, side) {
  const picture = texture(gl, WIDTH, HEIGHT);
  const target = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, target);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture, 0);
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  const across = WIDTH / side;
  const most = across * (HEIGHT / side);
  /** @type {Map<number, {slot: number, filled: boolean}>} By row, the longest unused first. */
  const taken = new Map();
  return {
    picture,
    target,
    across,
    /** @param {number} row */
    get: (row) => taken.get(row),
    /** Slots for rows that are on the screen. @param {Uint32Array} rows @param {number} count */
    claim(rows, count) {
      const now = new Set();
      for (let i = 0; i < Math.min(count, most); i++) {
        const entry = taken.get(rows[i]);
        now.add(rows[i]);
        if (!entry) continue;
        taken.delete(rows[i]);
        taken.set(rows[i], entry);
      }
      for (const row of now) {
        if (taken.has(row)) continue;
        let slot = taken.size;
        if (slot >= most) {
          const [oldest, entry] = /** @type {[number, {slot: number, filled: boolean}]} */ (taken.entries().next().value);
          if (now.has(oldest)) return;
          slot = entry.slot;
          taken.delete(oldest);
        }
        taken.set(row, { slot, filled: false });
      }
    },
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Thumbs} thumbs
 * @param {() => void} again Called when a thumbnail has come.
 * @param {() => [number, number, number]} accent
 * @returns {Renderer | null} Null where there is no WebGL 2.
 */
export function createRenderer(canvas, thumbs, again, accent) {
  const gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true, powerPreference: "low-power" });
  if (!gl) return null;
  const marks = quads(gl, program(gl, VERTEX, FRAGMENT), [["place", 2], ["shape", 2], ["slot", 1], ["look", 3]]);
  const copies = quads(gl, program(gl, COPY_VERTEX, COPY_FRAGMENT), [["from", 2], ["to", 2]]);
  const scratch = texture(gl, 0, 0);
  /** @type {Map<number, ReturnType<typeof createSlots>>} By side. */
  const sides = new Map();
  let values = new Float32Array(0);
  let [width, height, ratio, stale] = [1, 1, 1, true];

  /** Copy the thumbnails of rows out of their atlas. @param {HTMLImageElement} image @param {number} side @param {number[]} rows */
  function copy(image, side, rows) {
    const slots = sides.get(side);
    if (!gl || !slots) return;
    const wanted = rows.filter((row) => slots.get(row)?.filled === false);
    if (!wanted.length) return;
    const places = new Float32Array(wanted.length * 4);
    wanted.forEach((row, i) => {
      const entry = /** @type {{slot: number, filled: boolean}} */ (slots.get(row));
      const from = thumbs.cell(row, side);
      entry.filled = true;
      places.set([from.x, from.y, (entry.slot % slots.across) * side, Math.floor(entry.slot / slots.across) * side], i * 4);
    });
    gl.bindTexture(gl.TEXTURE_2D, scratch);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    copies.upload(places);
    copies.use();
    gl.bindFramebuffer(gl.FRAMEBUFFER, slots.target);
    gl.viewport(0, 0, WIDTH, HEIGHT);
    gl.uniform1f(copies.uniform("side"), side);
    gl.uniform1f(copies.uniform("own"), side);
    gl.uniform2f(copies.uniform("atlas"), image.naturalWidth, image.naturalHeight);
    copies.draw();
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    stale = true;
    again();
  }

  /** Ask for the atlases of works on the screen that lack their thumbnail, the most useful last, for the last is read first. @param {Marks} shown @param {number} side */
  function ask(shown, side) {
    const slots = /** @type {ReturnType<typeof createSlots>} */ (sides.get(side));
    /** @type {Map<string, number[]>} */
    const lacking = new Map();
    for (let i = 0; i < shown.count; i++) {
      const row = shown.rows[i];
      if (slots.get(row)?.filled !== false || !thumbs.has(row)) continue;
      const { path } = thumbs.cell(row, side);
      const rows = lacking.get(path);
      if (rows) rows.push(row);
      else lacking.set(path, [row]);
    }
    for (const rows of [...lacking.values()].sort((a, b) => a.length - b.length)) {
      const wanted = () => sides.get(side) === slots && current === shown && canvas.isConnected;
      thumbs.withAtlas(thumbs.cell(rows[0], side), wanted, (image) => copy(image, side, rows));
    }
  }

  /** @type {Marks | null} */
  let current = null;

  return {
    resize(wide, tall, pixelRatio) {
      [width, height, ratio] = [wide, tall, pixelRatio];
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(tall * ratio);
    },
    draw(camera, shown, fresh) {
      const side = thumbs.sideFor(shown.pixels * ratio);
      if (!sides.has(side) && side) sides.set(side, createSlots(gl, side));
      const slots = sides.get(side);
      if (fresh && slots) {
        current = shown;
        slots.claim(shown.rows, shown.count);
        ask(shown, side);
        stale = true;
      }
      if (stale) {
        if (values.length < shown.count * FLOATS) values = new Float32Array(shown.count * FLOATS * 2);
        for (let i = 0; i < shown.count; i++) {
          const row = shown.rows[i];
          const entry = slots?.get(row);
          const [w, h] = thumbs.sizeOf(row);
          const longest = Math.max(w, h, 1);
          const [red, green, blue] = shown.colour(row);
          const at = i * FLOATS;
          values[at] = shown.places[i * 2];
          values[at + 1] = shown.places[i * 2 + 1];
          values[at + 2] = w / longest || 1;
          values[at + 3] = h / longest || 1;
          values[at + 4] = entry?.filled ? entry.slot : -1;
          values[at + 5] = red * 0.999 + (shown.selected(row) ? 2 : 0);
          values[at + 6] = green;
          values[at + 7] = blue;
        }
        marks.upload(values.subarray(0, shown.count * FLOATS));
        stale = false;
      }
      marks.use();
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D, slots?.picture ?? null);
      gl.uniform2f(marks.uniform("centre"), camera.x, camera.y);
      gl.uniform1f(marks.uniform("scale"), camera.scale);
      gl.uniform2f(marks.uniform("view"), width, height);
      gl.uniform1f(marks.uniform("pixels"), shown.pixels);
      gl.uniform1f(marks.uniform("side"), side || 1);
      gl.uniform3f(marks.uniform("accent"), ...accent());
      marks.draw();
    },
  };
}

/**
 * The same with a plain canvas: for pages opened as files, whose pictures WebGL may not read, and for browsers without WebGL.
 * @param {HTMLCanvasElement} canvas
 * @param {Thumbs} thumbs
 * @param {() => void} again
 * @param {() => [number, number, number]} accent
 * @returns {Renderer}
 */
export function createPlainRenderer(canvas, thumbs, again, accent) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {Map<string, HTMLImageElement | null>} */
  const atlases = new Map();
  let [width, height, ratio] = [1, 1, 1];
  /** @param {[number, number, number]} rgb */
  const css = (rgb) => `rgb(${rgb.map((value) => Math.round(value * 255)).join(" ")})`;
  return {
    resize(wide, tall, pixelRatio) {
      [width, height, ratio] = [wide, tall, pixelRatio];
      canvas.width = Math.round(wide * ratio);
      canvas.height = Math.round(tall * ratio);
    },
    draw(camera, shown) {
      const side = thumbs.sideFor(shown.pixels * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      for (let i = 0; i < shown.count; i++) {
        const row = shown.rows[i];
        const where = thumbs.cell(row, side || 32);
        const scale = shown.pixels / (side || 32);
        const [w, h] = [where.width * scale, where.height * scale];
        const x = (shown.places[i * 2] - camera.x) * camera.scale + (width - w) / 2;
        const y = (shown.places[i * 2 + 1] - camera.y) * camera.scale + (height - h) / 2;
        if (x > width || y > height || x + w < 0 || y + h < 0) continue;
        const image = atlases.get(where.path);
        if (image) {
          context.drawImage(image, where.x, where.y, where.width, where.height, x, y, w, h);
        } else {
          context.fillStyle = css(shown.colour(row));
          context.fillRect(x, y, w, h);
          if (image === undefined && side) {
            atlases.set(where.path, null);
            thumbs.withAtlas(where, () => true, (loaded) => (atlases.set(where.path, loaded), again()));
          }
        }
        if (shown.selected(row)) {
          context.strokeStyle = css(accent());
          context.lineWidth = 3;
          context.strokeRect(x, y, w, h);
        }
      }
    },
  };
}
