import { posix } from "node:path";

/** Path inside src/ (`engine/step.ts`) to its text. */
export type SourceTree = ReadonlyMap<string, string>;

export interface Import {
  from: string;
  /** Path inside src/, or `wasm` for a module of the control plane. */
  to: string;
  typeOnly: boolean;
  /** The line before says `// upward type: <reason>`. */
  marked: boolean;
}

/** Downward order; folders of one row are siblings. */
const ROWS: readonly (readonly string[])[] = [
  ["main"],
  ["cli"],
  ["api"],
  ["engine"],
  ["scheduler", "model", "kvcache"],
  ["native"],
];
/** Anybody may import these; they import only each other. */
const LEAVES = ["text", "config", "errors"];
/** Types that the layers share: plain data, so that lower layers may name them. */
const CONTRACTS = ["engine/types.ts"];
const API_SCHEMA = /^api\/(schemas?\/.*|[\w-]*schemas?)\.ts$/;

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/gm;
const DYNAMIC = /\bimport\(\s*["']([^"']+)["']\s*\)/g;
const MARK = /\/\/ upward type: \S.*\n$/;

/** Every import between the tree's files; packages and node's modules are left out. */
export function importsOf(tree: SourceTree): Import[] {
  const imports: Import[] = [];
  for (const [from, text] of tree) {
    const add = (specifier: string, typeOnly: boolean, at: number) => {
      if (!specifier.startsWith(".")) return;
      const to = resolveSpecifier(from, specifier);
      imports.push({ from, to, typeOnly, marked: MARK.test(text.slice(0, at)) });
    };
    for (const match of text.matchAll(STATEMENT)) add(match[2]!, match[1] !== undefined, match.index);
    for (const match of text.matchAll(DYNAMIC)) add(match[1]!, false, match.index);
  }
  return imports;
}

function resolveSpecifier(from: string, specifier: string): string {
  if (specifier.endsWith(".wasm")) return "wasm";
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts");
}

/** Each import that goes the wrong way, as a line for people. */
export function upwardImports(imports: readonly Import[]): string[] {
  return imports.flatMap((edge) => {
    const reason = whyRefused(edge);
    return reason === null ? [] : [`${edge.from} imports ${edge.to}: ${reason}`];
  });
}

function whyRefused({ from, to, typeOnly, marked }: Import): string | null {
  const fromLayer = layerOf(from);
  const toLayer = layerOf(to);
  for (const [path, layer] of [
    [from, fromLayer],
    [to, toLayer],
  ] as const) {
    if (rowOf(layer) < 0 && !LEAVES.includes(layer) && layer !== "gateway" && layer !== "wasm") {
      return `${path} belongs to no layer`;
    }
  }
  if (fromLayer === toLayer) return null;
  if (fromLayer === "gateway") {
    if (toLayer === "errors" || toLayer === "wasm" || API_SCHEMA.test(to)) return null;
    return "the gateway may import only API schemas, errors and the WASM";
  }
  if (toLayer === "gateway") return "nothing of a node may import the gateway";
  if (LEAVES.includes(toLayer) || toLayer === "wasm") return null;
  if (typeOnly && (marked || CONTRACTS.includes(to))) return null;
  if (LEAVES.includes(fromLayer)) return `${fromLayer} is a leaf and may import only ${LEAVES.join(", ")}`;
  return rowOf(fromLayer) <= rowOf(toLayer) ? null : `${toLayer} lies above ${fromLayer}`;
}

function layerOf(path: string): string {
  const first = path.split("/")[0]!.replace(/\.ts$/, "");
  return first.startsWith("config-") ? "config" : first;
}

function rowOf(layer: string): number {
  return ROWS.findIndex((row) => row.includes(layer));
}

/** Cycles of files, and of sibling folders, each as `a -> b -> a`. Imports of types alone make none: they vanish. */
export function importCycles(imports: readonly Import[]): string[] {
  const values = imports.filter((edge) => !edge.typeOnly);
  const folders = values.map(({ from, to }) => ({ from: layerOf(from), to: layerOf(to) }));
  const siblings = folders.filter(({ from, to }) => from !== to && rowOf(from) === rowOf(to) && rowOf(from) >= 0);
  return [...cyclesOf(values), ...cyclesOf(siblings)];
}

function cyclesOf(edges: readonly { from: string; to: string }[]): string[] {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of edges) next.set(from, (next.get(from) ?? new Set()).add(to));
  const cycles: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (node: string) => {
    const start = path.indexOf(node);
    if (start >= 0) cycles.push([...path.slice(start), node].join(" -> "));
    if (start >= 0 || done.has(node)) return;
    path.push(node);
    for (const to of next.get(node) ?? []) visit(to);
    path.pop();
    done.add(node);
  };
  for (const node of next.keys()) visit(node);
  return cycles;
}
