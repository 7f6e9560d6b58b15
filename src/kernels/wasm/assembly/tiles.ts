// How rows of x are cut into tiles, which meet a panel of weights together, and tiles into groups, which meet a chunk of all panels
// before the next chunk begins. A tile has four rows, but the last has two at least, since a single row with a panel costs as much:
// five rows are three and two, 1.2x. Rows of x lie tile by tile, so whoever arranges or quantises them asks here too.

/** Tiles of a group. Eight rows of x take 8 kB of a chunk, a quarter of the first-level cache. */
export const GROUP: i32 = 2;

/** Rows of a tile and of a group at most. */
const TILE_ROWS: i32 = 4;
const GROUP_ROWS: i32 = TILE_ROWS * GROUP;

@inline
export function tilesOf(rows: i32): i32 {
  return (rows + 3) >> 2;
}

/** The first row of a tile, `rows` for the one after the last. */
@inline
export function firstOf(tile: i32, rows: i32): i32 {
  return tile === tilesOf(rows) ? rows : max(0, min(4 * tile, rows - 2));
}

/**
 * What the scratch space holds: a place for the outputs of a panel that is not whole, the sums before the first chunk, those of
 * a tile of floats before their lanes are added, and the sums of every panel that wait for the next chunk.
 */
@inline
export function zerosOf(scratch: usize, panel: i32): usize {
  return scratch + <usize>((GROUP_ROWS * panel) << 2);
}

/** Zeros for a tile to begin with: where a tile asks whether there are sums, V8 loads its first pair apart, and joins nothing of it (q8_0 1.2x). */
export function clearZeros(scratch: usize, panel: i32): void {
  memory.fill(zerosOf(scratch, panel), 0, <usize>((TILE_ROWS * panel) << 2));
}

/** Four lanes of every sum of a tile. */
@inline
export function lanesOf(scratch: usize, panel: i32): usize {
  return zerosOf(scratch, panel) + <usize>((TILE_ROWS * panel) << 2);
}

/**
 * Sums lie panel by panel. In y their rows would be a power of two apart more often than not and displace each other: 1.15x.
 */
@inline
export function sumsOf(scratch: usize, index: i32, height: i32, panel: i32): usize {
  return lanesOf(scratch, panel) + <usize>((panel * (4 * TILE_ROWS + index * height)) << 2);
}
