/** What the explorer reads and keeps. Rows are numbers 0..n-1 of works; codes 1.. stand for terms, 0 for none. */

export type Column = Uint8Array | Uint16Array | Uint32Array | Int16Array | Float32Array;

export interface Facet {
  /** Its column, by which it is known here: the names in the index may recur. */
  name: string;
  /** Its name in the index. */
  title: string;
  kind: "task" | "metadata" | "cluster" | "error" | "review" | "decision";
  terms: string[] | null;
  column: string;
  /** Works of each term, parallel to the terms. */
  counts: number[];
}

export interface Index {
  version: number;
  title: string;
  n: number;
  created: string;
  model_id: string | null;
  served: boolean;
  token: string | null;
  snapshot: string | null;
  columns: { name: string; dtype: string }[];
  facets: Facet[];
  tasks: { name: string; terms: string[] }[];
  clusters: { k: number; names: string[]; sizes: number[]; typical: number[][] } | null;
  duplicates: boolean;
  neighbours: number;
  colors: boolean;
  thumbs: number[];
  text: boolean;
  notes?: string[];
  projection: { method: string; trustworthiness: number | null } | null;
  languages: string[];
}

export type Tag = [term: string, score: number, aat: string | null];

export interface Work {
  id: string;
  record: string | null;
  uri: string;
  title: string | null;
  artist: string | null;
  date: string | null;
  width: number | null;
  height: number | null;
  format: string | null;
  status: string;
  error: string | null;
  warning: string | null;
  validator?: string | null;
  tags: Record<string, Tag[]>;
  review: Record<string, boolean>;
  metadata: Record<string, unknown>;
  image: string | null;
  iiif: string | null;
  influences?: [cluster: number, responsibility: number][] | null;
  duplicates?: [row: number, reason: string, score: number][] | null;
}

/** What the address says after its #. */
export interface State {
  view: string;
  /** Id of the work that is open. */
  work: string | null;
  facets: Record<string, string[]>;
  scores: Record<string, number>;
  years: [number | null, number | null] | null;
  text: string;
  colour: string | null;
  /** Id of the work whose like are shown. */
  like: string | null;
  /** Only works of the selection. */
  picked: boolean;
  sort: string;
  size: string;
  task: string | null;
  camera: string | null;
}

export type Verdict = "accept" | "correct" | "reject" | "unsure" | "undo";

export interface Decision {
  image_id: string;
  row: number | null;
  validator: string | null;
  model_id: string | null;
  task: string;
  suggestion: string | null;
  score: number | null;
  decision: Verdict;
  term: string | null;
  reviewer: string | null;
  time: string;
  note: string | null;
}

export interface Source {
  /** Whether the page was opened as a file. */
  local: boolean;
  json(path: string): Promise<any>;
  bytes(path: string): Promise<ArrayBuffer>;
}

declare global {
  interface Window {
    ARTYLYZE_DATA?: Record<string, any>;
    ARTYLYZE_ZOOM?: any;
  }
}
