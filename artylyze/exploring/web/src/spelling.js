/** How words are spelled: without accents and case, and how alike two of them are. The same rules as those of `searching/words.py`. */

/** Similarity from which a word counts as another spelling, and from which it does where no word is nearer. */
const SIMILAR = 0.7;
const PERHAPS = 0.5;
const SHORTEST = 4;
const MOST = 24;

/** @type {Record<string, string>} Letters that have no accent to lose. */
const PLAIN = { ß: "ss", ø: "o", ł: "l", đ: "d", ð: "d", þ: "th", æ: "ae", œ: "oe", ı: "i" };

/**
 * Text without accents, in lower case, as the collection's texts are kept.
 * @param {string} text
 */
export function normalised(text) {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return plain.replace(/[ßøłđðþæœı]/g, (letter) => PLAIN[letter]);
}

/** A text with the spaces that its groups of three letters begin and end with. @param {string} text */
const padded = (text) => `  ${text} `;

/** @param {string} text */
function trigrams(text) {
  const whole = padded(text);
  return [...new Set(Array.from({ length: whole.length - 2 }, (_, k) => whole.slice(k, k + 3)))];
}

/** Twice the groups of three letters that two texts share, over those of both. @param {string[]} groups Of the one. @param {string} other */
function shared(groups, other) {
  const whole = padded(other);
  return (2 * groups.filter((three) => whole.includes(three)).length) / (groups.length + other.length + 1);
}

/** How alike two texts are spelled, 0 to 1. @param {string} one @param {string} other */
export function similarity(one, other) {
  return Math.min(1, shared(trigrams(normalised(one)), normalised(other)));
}

/**
 * Words that are spelled like one, the most alike first; none for short words and numbers, since one number is as unlike as any other.
 * @param {string} word Normalised.
 * @param {Iterable<string>} vocabulary Normalised words.
 * @returns {string[]}
 */
export function alike(word, vocabulary) {
  if (word.length < SHORTEST || /\d/.test(word)) return [];
  const groups = trigrams(word);
  /** @type {[string, number][]} */
  const near = [];
  let least = PERHAPS;
  for (const other of vocabulary) {
    if (other.includes(word)) least = SIMILAR;
    const [a, b] = [word.length + 1, other.length + 1];
    if ((2 * Math.min(a, b)) / (a + b) < least) continue; // too long or too short to share enough
    const like = shared(groups, other);
    if (like >= PERHAPS) near.push([other, like]);
  }
  return near
    .filter(([, like]) => like >= least)
    .sort((one, other) => other[1] - one[1])
    .slice(0, MOST)
    .map(([other]) => other);
}
