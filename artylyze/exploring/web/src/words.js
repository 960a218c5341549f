/** The words of the page, in the reader's language. */

import de from "../strings/de.json";
import en from "../strings/en.json";
import fr from "../strings/fr.json";

/** @type {Record<string, Record<string, string>>} */
const SHIPPED = { en, de, fr };
const KEY = "artylyze:language";

let language = "en";
/** @type {Record<string, string>} */
let strings = en;
let plural = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");
let percents = new Intl.NumberFormat("en", { style: "percent" });

/** Languages of the page. @param {string[]} languages Those of the collection. */
function best(languages) {
  const wanted = [localStorage.getItem(KEY), ...navigator.languages];
  for (const one of wanted) {
    const short = one?.slice(0, 2).toLowerCase();
    if (short && languages.includes(short)) return short;
  }
  return languages[0] ?? "en";
}

/**
 * Choose the language: the one chosen before, or that of the browser. Strings come from strings/LANGUAGE.json beside the page, so that they can be
 * changed there; those of the build stand in where that is not there or lacks some.
 * @param {string[]} languages
 * @param {import("./types").Source} source
 */
export async function speak(languages, source) {
  language = best(languages);
  strings = { ...en, ...SHIPPED[language] };
  if (!source.local) {
    try {
      strings = { ...strings, ...(await source.json(`strings/${language}.json`)) };
    } catch {
      // the strings of the build are there
    }
  }
  plural = new Intl.PluralRules(language);
  numbers = new Intl.NumberFormat(language);
  percents = new Intl.NumberFormat(language, { style: "percent" });
  document.documentElement.lang = language;
}

/** @param {string} chosen */
export function choose(chosen) {
  localStorage.setItem(KEY, chosen);
}

export const spoken = () => language;

/**
 * A string of the page. `{name}` stands for a value; a key with a number `n` may have the forms KEY.one and KEY.other.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const form = typeof values.n === "number" ? (strings[`${key}.${plural.select(values.n)}`] ?? strings[`${key}.other`]) : undefined;
  const text = form ?? strings[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return typeof value === "number" ? numbers.format(value) : (value ?? whole);
  });
}

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** @param {number | null} share 0..1, or null for none. */
export const percent = (share) => (share === null ? "" : percents.format(share));

/**
 * The name of a facet or column, translated where the page knows it.
 * @param {string} name
 * @returns {string}
 */
export function label(name) {
  const known = strings[`facet.${name}`];
  if (known) return known;
  const words = name.replace(/^metadata\./, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * The name of a facet: a task, its review flag and a column of the collection's own may have the same name in the index.
 * @param {import("./types").Facet} facet
 */
export function facetLabel({ kind, title, column }) {
  if (kind === "review" || kind === "decision") return t(`facet._${kind}`, { task: label(title) });
  if (kind === "metadata" && ["genre", "style"].includes(title) && column !== title) return t("facet._record", { name: label(title) });
  return label(title);
}

/**
 * A term of a facet, translated where it is the page's own and not the collection's.
 * @param {string} kind Of the facet.
 * @param {string} term
 */
export function termLabel(kind, term) {
  if (term === "(none)") return t("term.none");
  if (kind === "warning") return term.split(", ").map((one) => strings[`term.${one}`] ?? one).join(", ");
  return ["review", "decision", "error"].includes(kind) ? (strings[`term.${term}`] ?? term) : term;
}
