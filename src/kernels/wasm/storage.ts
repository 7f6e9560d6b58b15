// The memories of a backend. Memory 0 has caches, results, tapes, experts and the first matrices; when these have half of it, more
// matrices go to annexes, further memories that only steps over matrices reach (assembly/elsewhere.ts).
import { createMemory, type MemoryOptions, show, type WasmMemory } from './memory.ts';

/** Share of memory 0 that matrices may take, and share of an annex: the rest is for what is computed there. */
const MAIN_SHARE = 1 / 2;
const ANNEX_SHARE = 3 / 4;
/** Where nothing lies, at the start of a memory and between buffers. */
const SPARE = 2 ** 17;

/** Where buffers live. */
export interface Storage {
  readonly main: WasmMemory;
  /** How many annexes there are. */
  annexes(): number;
  /** Memory 0 for 0, else the annex of that number. */
  memoryOf(annex: number): WasmMemory;
  /** A place for a matrix, in an annex when memory 0 has its share. */
  placeMatrix(bytes: number): { readonly annex: number; readonly address: number };
  release(annex: number, address: number): void;
  close(): void;
}

/** Memories that grow to `limit` bytes each; `opened` is told of every new annex, in order. */
export function createStorage(
  { shared, limit }: Pick<MemoryOptions, 'shared' | 'limit'>,
  opened: (annex: WasmMemory) => void,
): Storage {
  const main = createMemory({
    shared,
    limit,
    full: 'caches, results, experts and a share of the other weights; reduce contextLength or maxRows, or the bits of experts',
  });
  const annexes: WasmMemory[] = [];
  const memoryOf = (annex: number) => (annex === 0 ? main : annexes[annex - 1]);
  return {
    main,
    annexes: () => annexes.length,
    memoryOf,
    placeMatrix(bytes) {
      if (main.hasRoom(bytes, MAIN_SHARE * limit))
        return { annex: 0, address: main.allocate(bytes) };
      const most = ANNEX_SHARE * limit;
      let annex = annexes.findIndex((memory) => memory.hasRoom(bytes, most)) + 1;
      if (annex === 0) {
        if (bytes > most - SPARE)
          throw new RangeError(
            `wasm: expected a matrix of at most ${show(most - SPARE)}, got ${show(bytes)}; it cannot be spread over memories`,
          );
        const full = 'matrices and what is computed beside them; reduce maxRows';
        annex = annexes.push(createMemory({ shared, limit, full }));
        opened(annexes[annex - 1]);
      }
      return { annex, address: annexes[annex - 1].allocate(bytes) };
    },
    release(annex, address) {
      memoryOf(annex).release(address);
    },
    close() {
      for (const memory of [main, ...annexes]) memory.close();
    },
  };
}
