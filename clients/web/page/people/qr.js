// A QR code (ISO/IEC 18004) of up to 106 bytes: version 6, level M, byte mode. One size holds a work site's code.

const SIZE = 41;
const BLOCKS = 4, DATA_IN_BLOCK = 27, CHECK_IN_BLOCK = 16;
const MOST = BLOCKS * DATA_IN_BLOCK - 2;
const LEVEL_M = 0b00;

// The field GF(256) with x^8 + x^4 + x^3 + x^2 + 1.
const POWER = new Uint8Array(255), LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) {
  POWER[i] = x;
  LOG[x] = i;
  x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? POWER[(LOG[a] + LOG[b]) % 255] : 0);

/** The rows of the code, each a list of true for dark. Raises RangeError for a text that is too long. */
export function qr(text) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > MOST) throw new RangeError(`at most ${MOST} bytes, not ${bytes.length}`);
  const { cells, fixed } = frame();
  lay(cells, fixed, withChecks(codewords(bytes)));
  const masked = MASKS.map((mask, number) => {
    const made = cells.map((row, y) => row.map((dark, x) => (fixed[y][x] ? dark : dark !== mask(x, y))));
    writeFormat(made, number);
    return made;
  });
  const costs = masked.map(penalty);
  return masked[costs.indexOf(Math.min(...costs))];
}

/** Mode, length, the bytes, an end, and padding. */
function codewords(bytes) {
  const bits = [0, 1, 0, 0, ...bitsOf(bytes.length, 8), ...[...bytes].flatMap((byte) => bitsOf(byte, 8)), 0, 0, 0, 0];
  const words = [];
  for (let i = 0; i < bits.length; i += 8) words.push(bits.slice(i, i + 8).reduce((word, bit) => (word << 1) | bit, 0));
  for (let pad = 0xec; words.length < BLOCKS * DATA_IN_BLOCK; pad ^= 0xec ^ 0x11) words.push(pad);
  return words;
}

const bitsOf = (number, length) => Array.from({ length }, (_, i) => (number >> (length - 1 - i)) & 1);

/** The blocks with their Reed-Solomon check words, interleaved. */
function withChecks(words) {
  let generator = [1];
  for (let i = 0; i < CHECK_IN_BLOCK; i++) {
    const next = [...generator, 0];
    generator.forEach((factor, at) => { next[at + 1] ^= times(factor, POWER[i]); });
    generator = next;
  }
  const data = Array.from({ length: BLOCKS }, (_, i) => words.slice(i * DATA_IN_BLOCK, (i + 1) * DATA_IN_BLOCK));
  const checks = data.map((block) => {
    const rest = [...block, ...new Array(CHECK_IN_BLOCK).fill(0)];
    for (let i = 0; i < DATA_IN_BLOCK; i++) {
      const lead = rest[i];
      generator.forEach((factor, at) => { rest[i + at] ^= times(factor, lead); });
    }
    return rest.slice(DATA_IN_BLOCK);
  });
  const mixed = (blocks) => blocks[0].flatMap((_, at) => blocks.map((block) => block[at]));
  return [...mixed(data), ...mixed(checks)];
}

/** What does not hang on the text: finders, timing, alignment, and the room for the format. */
function frame() {
  const cells = Array.from({ length: SIZE }, () => new Array(SIZE).fill(false));
  const fixed = cells.map((row) => [...row]);
  const set = (x, y, dark) => {
    if (x < 0 || y < 0 || x >= SIZE || y >= SIZE) return;
    cells[y][x] = dark;
    fixed[y][x] = true;
  };
  for (let i = 0; i < SIZE; i++) { set(i, 6, i % 2 === 0); set(6, i, i % 2 === 0); }
  for (const [cx, cy] of [[3, 3], [SIZE - 4, 3], [3, SIZE - 4]]) square(set, cx, cy, 4, (ring) => ring !== 2 && ring !== 4);
  square(set, SIZE - 7, SIZE - 7, 2, (ring) => ring !== 1);
  for (let i = 0; i < 9; i++) {
    for (const [x, y] of [[8, i], [i, 8]]) if (!fixed[y][x]) set(x, y, false);
    if (i < 8) { set(SIZE - 1 - i, 8, false); set(8, SIZE - 1 - i, i === 7); }
  }
  return { cells, fixed };
}

function square(set, cx, cy, reach, dark) {
  for (let dy = -reach; dy <= reach; dy++)
    for (let dx = -reach; dx <= reach; dx++) set(cx + dx, cy + dy, dark(Math.max(Math.abs(dx), Math.abs(dy))));
}

/** The words' bits in the free cells: two columns at a time from the right, up and down in turn. */
function lay(cells, fixed, words) {
  const bits = words.flatMap((word) => bitsOf(word, 8));
  let at = 0, up = true;
  for (let right = SIZE - 1; right > 0; right -= 2) {
    if (right === 6) right -= 1;
    for (let i = 0; i < SIZE; i++) {
      const y = up ? SIZE - 1 - i : i;
      for (const x of [right, right - 1]) if (!fixed[y][x]) cells[y][x] = bits[at++] === 1;
    }
    up = !up;
  }
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0, (x, y) => y % 2 === 0, (x) => x % 3 === 0, (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0, (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** Level and mask with their check bits (BCH 15, 5), twice. */
function writeFormat(cells, mask) {
  const data = (LEVEL_M << 3) | mask;
  let rest = data << 10;
  for (let i = 14; i >= 10; i--) if ((rest >> i) & 1) rest ^= 0x537 << (i - 10);
  const bits = ((data << 10) | rest) ^ 0x5412;
  for (let i = 0; i < 15; i++) {
    const dark = ((bits >> i) & 1) === 1;
    const up = i < 6 ? i : i < 8 ? i + 1 : SIZE - 15 + i;
    cells[up][8] = dark;
    const left = i < 8 ? SIZE - 1 - i : i < 9 ? 7 : 14 - i;
    cells[8][left] = dark;
  }
}

/** How hard it is to read (section 7.8.3): runs, squares, what looks like a finder, and too much of one colour. */
function penalty(cells) {
  const columns = cells.map((_, x) => cells.map((row) => row[x]));
  let cost = 0, darks = 0;
  for (const line of [...cells, ...columns]) {
    const text = line.map(Number).join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) cost += run.length - 2;
    for (let i = 0; i < SIZE - 10; i++) if (/^(0000)?1011101(0000)?$/.test(text.slice(i, i + 11))) cost += 40;
  }
  for (let y = 0; y < SIZE; y++)
    for (let x = 0; x < SIZE; x++) {
      darks += cells[y][x];
      if (x && y && cells[y][x] === cells[y - 1][x] && cells[y][x] === cells[y][x - 1] && cells[y][x] === cells[y - 1][x - 1]) cost += 3;
    }
  return cost + 10 * Math.floor(Math.abs((100 * darks) / SIZE ** 2 - 50) / 5);
}
