/** Elements: text is only ever text. */

/** @typedef {Node | string | number | null | undefined | false} Child */

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "indeterminate"]);

/**
 * Make an element. Properties: `on` maps events to listeners, `style` maps custom or CSS properties, true and false set and leave out
 * an attribute; everything else is an attribute.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, properties);
  element.append(...flat(children));
  return element;
}

/**
 * @param {HTMLElement | SVGElement} element
 * @param {Record<string, any>} properties
 */
export function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, /** @type {any} */ (listener));
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, String(text));
    else if (PROPERTIES.has(name)) /** @type {any} */ (element)[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function flat(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
}

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} Paths of icons in a box of 20 by 20. */
const ICONS = {
  close: "M5 5l10 10M15 5L5 15",
  left: "M12.5 4.5L7 10l5.5 5.5",
  right: "M7.5 4.5L13 10l-5.5 5.5",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
  filter: "M3 5h14M6 10h8M8.5 15h3",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  lasso: "M10 4c4 0 7 1.8 7 4.4S14 13 10 13c-1.2 0-2.300-.2-3.300-.5M6.700 12.500C4.400 11.700 3 10.200 3 8.400 3 5.800 6 4 10 4M6.700 12.500c1 .9.9 2.500-.7 3.500",
  search: "M8.500 14a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zM12.600 12.600L17 17",
  theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  undo: "M7 5L3.500 8.500 7 12M4 8.500h7.500a4 4 0 0 1 0 8H9",
  out: "M8 5H5v10h10v-3M11 4h5v5M16 4l-7 7",
};

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  assign(svg, { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true", focusable: "false" });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Call at most once in a frame.
 * @param {() => void} task
 */
export function framed(task) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      task();
    });
  };
}

/** Wait until the next frame has been drawn. @returns {Promise<void>} */
export function painted() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

/**
 * Call once nothing asked again for so many milliseconds.
 * @param {number} milliseconds
 * @param {() => void} task
 */
export function settled(milliseconds, task) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(task, milliseconds);
  };
}

/**
 * Offer a file to keep.
 * @param {string} name
 * @param {Blob} content
 */
export function download(name, content) {
  const link = h("a", { href: URL.createObjectURL(content), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
