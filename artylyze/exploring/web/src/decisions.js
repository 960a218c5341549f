/** Decisions of reviewers: kept by the browser, sent to the server where there is one, and laid over the machine's tags. The latest of a work and task wins. */

/** @typedef {import("./types").Decision} Decision */
/** @typedef {import("./types").Verdict} Verdict */
/** @typedef {import("./types").Facet} Facet */
/** @typedef {import("./collection").Collection} Collection */
/** @typedef {ReturnType<typeof createDecisions>} Decisions */

const REVIEWER = "artylyze:reviewer";
export const CHECKED = ["human", "rejected", "unsure"];
const CODES = /** @type {Record<Verdict, number>} */ ({ accept: 1, correct: 1, reject: 2, unsure: 3, undo: 0 });

export const reviewer = () => localStorage.getItem(REVIEWER);
/** @param {string} name */
export const signAs = (name) => localStorage.setItem(REVIEWER, name);

/** @param {Collection} collection */
export function createDecisions(collection) {
  const { index } = collection;
  const key = `artylyze:decisions:${index.title}`;
  /** @type {Decision[]} Made here, oldest first. */
  let own = [];
  /** @type {Set<string>} Those of them that the server has not got yet, by time, image and task. */
  const unsent = new Set();
  /** @type {Map<string, Decision>} */
  const latest = new Map();
  /** @type {Map<string, number>} The machine's code of a work whose code was replaced, by task and row. */
  const machine = new Map();
  /** @type {Decision[]} Made since the page was opened, for undo. */
  const steps = [];
  /** @type {(() => void)[]} */
  const listeners = [];
  const changed = () => listeners.forEach((listener) => listener());
  let failed = false;

  /** @param {Decision} one */
  const name = (one) => `${one.task}\n${one.image_id}`;
  /** @param {Decision} one */
  const identity = (one) => `${one.time}\n${name(one)}`;

  /** Lay a decision over the columns. @param {Decision} one @param {boolean} [forced] */
  function apply(one, forced = false) {
    const before = latest.get(name(one));
    if (!forced && before && before.time > one.time) return;
    latest.set(name(one), one);
    if (one.row === null || one.row < 0) return;
    const checked = collection.ready(`${one.task}_decision`);
    if (checked) checked[one.row] = CODES[one.decision];
    const codes = collection.ready(one.task);
    if (!codes) return;
    const place = `${one.task}\n${one.row}`;
    if (!machine.has(place)) machine.set(place, codes[one.row]);
    const suggested = /** @type {number} */ (machine.get(place));
    if (one.decision === "correct" && one.term) codes[one.row] = collection.code(one.task, one.term) || suggested;
    else codes[one.row] = one.decision === "reject" ? 0 : suggested;
  }

  function keep() {
    localStorage.setItem(key, JSON.stringify(own));
  }

  async function send() {
    if (!index.served || !unsent.size) return;
    const decisions = own.filter((one) => unsent.has(identity(one)));
    try {
      const response = await fetch("api/decisions", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Artylyze-Token": index.token ?? "" },
        body: JSON.stringify({ decisions }),
      });
      failed = !response.ok;
      if (response.ok) for (const one of decisions) unsent.delete(identity(one));
    } catch {
      failed = true;
    }
    localStorage.setItem(`${key}:unsent`, JSON.stringify([...unsent]));
    changed();
  }

  /** @param {Decision} one */
  async function add(one) {
    own.push(one);
    unsent.add(identity(one));
    apply(one, true);
    keep();
    changed();
    await send();
  }

  return {
    /** @param {() => void} listener */
    listen: (listener) => listeners.push(listener),
    /** Read the columns of tasks and all decisions, and lay these over those. Call before counts of tasks are needed. */
    async load() {
      for (const { name: task } of index.tasks) {
        /** @type {Facet} */
        const facet = { name: `${task}_decision`, title: task, kind: "decision", terms: CHECKED, column: `${task}_decision`, counts: [0, 0, 0] };
        if (!collection.has(facet.column)) collection.put(facet, new Uint8Array(collection.n));
      }
      own = JSON.parse(localStorage.getItem(key) ?? "[]");
      for (const one of JSON.parse(localStorage.getItem(`${key}:unsent`) ?? "[]")) unsent.add(one);
      /** @type {Decision[]} */
      let theirs = [];
      try {
        theirs = await collection.source.json(index.served ? "api/decisions" : "data/decisions.json");
      } catch {
        // written before there were decisions
      }
      const all = [...theirs, ...own].sort((a, b) => (a.time < b.time ? -1 : 1));
      if (!all.length) return;
      const tasks = new Set(all.map(({ task }) => task).filter((task) => collection.has(task)));
      await Promise.all([...tasks].flatMap((task) => [collection.column(task), collection.column(`${task}_decision`), collection.terms(task)]));
      for (const one of all) {
        const row = await collection.find(one.image_id, one.row ?? undefined);
        apply({ ...one, row }, true);
      }
      changed();
      void send();
    },
    /** The decision that counts, if any. @param {string} id @param {string} task @returns {Decision | null} */
    latest(id, task) {
      const one = latest.get(`${task}\n${id}`);
      return one && one.decision !== "undo" ? one : null;
    },
    /**
     * @param {number} row
     * @param {string} task
     * @param {Verdict} decision
     * @param {string | null} [term] The right term, for correct.
     * @param {string | null} [note]
     */
    async record(row, task, decision, term = null, note = null) {
      await Promise.all([collection.column(task), collection.column(`${task}_decision`), collection.terms(task)]);
      const work = await collection.work(row);
      const [suggestion, score] = work.tags[task]?.[0] ?? [null, null];
      /** @type {Decision} */
      const one = {
        image_id: work.id,
        row,
        validator: work.validator ?? null,
        model_id: index.model_id,
        task,
        suggestion,
        score,
        decision,
        term: decision === "accept" ? suggestion : term,
        reviewer: reviewer(),
        time: now(),
        note,
      };
      const before = latest.get(name(one));
      steps.push({ ...one, decision: before?.decision ?? "undo", term: before?.term ?? null, note: before?.note ?? null });
      await add(one);
    },
    /** Take the last decision back. @returns {Promise<Decision | null>} What it was of. */
    async undo() {
      const step = steps.pop();
      if (!step) return null;
      await add({ ...step, decision: "undo", term: null, note: null, time: now() });
      if (step.decision !== "undo") await add({ ...step, time: now() });
      return step;
    },
    get undoable() {
      return steps.length > 0;
    },
    get count() {
      return own.length;
    },
    get unsent() {
      return index.served ? unsent.size : 0;
    },
    get failed() {
      return failed;
    },
    /** All decisions made in this browser, as a file. */
    file: () => new Blob([`${JSON.stringify({ snapshot: index.snapshot, decisions: own }, null, 1)}\n`], { type: "application/json" }),
  };
}

let last = 0;

/** The time, later than any before. @returns {string} */
function now() {
  last = Math.max(Date.now(), last + 1);
  return new Date(last).toISOString();
}
