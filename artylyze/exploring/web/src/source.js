/** Reads the files of a collection: fetched from the server of the page, or, where the page was opened as a file, from data/inline.js. */

/** @typedef {import("./types").Source} Source */

/**
 * Append a classic script to the page and wait until it has run.
 * @param {string} path
 * @returns {Promise<void>}
 */
export function script(path) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = path;
    element.onload = () => resolve();
    element.onerror = () => reject(new Error(path));
    document.head.append(element);
  });
}

/**
 * @param {string} path
 * @returns {Promise<Response>}
 */
async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

/**
 * @param {string} text Base64.
 * @returns {ArrayBuffer}
 */
function decoded(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes.buffer;
}

/**
 * @returns {Promise<Source>} Rejects where the page was opened as a file and its data are not there as a script.
 */
export async function openSource() {
  if (location.protocol !== "file:") {
    return { local: false, json: async (path) => (await get(path)).json(), bytes: async (path) => (await get(path)).arrayBuffer() };
  }
  await script("data/inline.js");
  const files = window.ARTYLYZE_DATA ?? {};
  /** @param {string} path */
  const read = (path) => {
    if (!(path in files)) throw new Error(path);
    return files[path];
  };
  return { local: true, json: async (path) => read(path), bytes: async (path) => decoded(read(path)) };
}
