/* Maps as numbers: read from the page when they are first looked at, and forgotten when many others have been. */

const KEPT = 60;
const data = JSON.parse(document.getElementById('explorer-data').textContent);
const byName = new Map(data.maps.map((map) => [nameOf(map), map]));
const imageOf = new Map(data.images.map((image) => [image.id, image]));
const loaded = new Map();

function nameOf(map) {
  return [map.step, map.key, map.image].map(encodeURIComponent).join('/');
}

function mapsOf(image, stack) {
  return data.maps.filter((map) => map.image === image && map.stack === stack);
}

function titleOf(map) {
  return map.step + ' · ' + map.key;
}

function decoded(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
}

/* Returns the numbers of a map: each value is scale[channel] * (number - zero[channel]); `hole` is not finite. */
async function numbersOf(map) {
  const name = nameOf(map);
  const had = loaded.get(name);
  loaded.delete(name);
  const asked = had || read(map);
  loaded.set(name, asked);
  for (const other of loaded.keys()) {
    if (loaded.size <= KEPT) break;
    loaded.delete(other);
  }
  return asked;
}

async function read(map) {
  const text = document.getElementById('explorer-block-' + map.block).textContent.trim();
  const buffer = await inflated(decoded(text));
  const channels = map.shape[0];
  const height = map.shape[map.shape.length - 2];
  const width = map.shape[map.shape.length - 1];
  const depth = map.shape.length > 3 ? map.shape[1] : 1;
  const Kind = map.bits === 8 ? Uint8Array : Uint16Array;
  const found = {
    map, channels, depth, height, width,
    cells: depth * height * width,
    scale: new Float64Array(buffer, 0, channels),
    zero: new Float64Array(buffer, 8 * channels, channels),
    numbers: new Kind(buffer, 16 * channels),
    hole: 2 ** map.bits - 1,
  };
  return Object.assign(found, statistics(found));
}

function valueAt(of, channel, y, x, z = 0) {
  const number = of.numbers[channel * of.cells + (z * of.height + y) * of.width + x];
  return number === of.hole ? NaN : of.scale[channel] * (number - of.zero[channel]);
}

function statistics(of) {
  const low = new Float64Array(of.channels);
  const high = new Float64Array(of.channels);
  const mean = new Float64Array(of.channels);
  const holes = new Float64Array(of.channels);
  for (let channel = 0; channel < of.channels; channel++) {
    let least = Infinity, greatest = -Infinity, sum = 0, known = 0;
    const end = (channel + 1) * of.cells;
    for (let place = channel * of.cells; place < end; place++) {
      const number = of.numbers[place];
      if (number === of.hole) continue;
      if (number < least) least = number;
      if (number > greatest) greatest = number;
      sum += number;
      known++;
    }
    const as = (number) => of.scale[channel] * (number - of.zero[channel]);
    low[channel] = known ? as(least) : NaN;
    high[channel] = known ? as(greatest) : NaN;
    mean[channel] = known ? as(sum / known) : NaN;
    holes[channel] = of.cells - known;
  }
  return { low, high, mean, holes };
}

/* The cell that is nearest to the pixel at a place on the input: y and x from 0 to 1. */
function cellAt(of, place) {
  const rows = of.map.rows.slice(-2);
  const [y, x] = [0, 1].map((axis) => {
    const [first, step, pixels] = rows[axis];
    const cells = axis ? of.width : of.height;
    const middle = Math.floor(place[axis] * pixels) + 0.5;
    return clamped(Math.floor((middle - first) / step + 0.5 + 1e-9), 0, cells - 1);
  });
  return { y, x };
}

/* From where to where a cell goes on its axis, in pixels of the input; those at the border go on to the edge. */
function edgesOf(of, axis, cell) {
  const [first, step, pixels] = of.map.rows.slice(-2)[axis];
  const cells = axis ? of.width : of.height;
  const start = cell === 0 ? 0 : first + (cell - 0.5) * step;
  const end = cell === cells - 1 ? pixels : first + (cell + 0.5) * step;
  return [clamped(start, 0, pixels), clamped(end, 0, pixels)];
}

function clamped(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function written(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return 'not finite';
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(3) : String(Number(value.toPrecision(4)));
}

/* A channel on a grid of so many cells, each the mean of what lies in it. */
function averaged(of, channel, height, width, z = 0) {
  const found = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0, weight = 0;
      for (const [row, part] of parts(of.height, height, y)) {
        for (const [column, share] of parts(of.width, width, x)) {
          sum += part * share * valueAt(of, channel, row, column, z);
          weight += part * share;
        }
      }
      found[y * width + x] = sum / weight;
    }
  }
  return found;
}

function parts(fine, coarse, cell) {
  const start = cell * fine / coarse, end = (cell + 1) * fine / coarse;
  const found = [];
  for (let at = Math.floor(start + 1e-9); at < end - 1e-9; at++) {
    found.push([at, Math.min(at + 1, end) - Math.max(at, start)]);
  }
  return found;
}

function ranked(values) {
  const order = [...values.keys()].sort((first, second) => values[first] - values[second]);
  const ranks = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let at = start; at < end; at++) ranks[order[at]] = (start + end - 1) / 2;
    start = end;
  }
  return ranks;
}

/* Spearman's rank correlation; NaN where a map is constant or not finite. */
function correlation(first, second) {
  if (first.some(Number.isNaN) || second.some(Number.isNaN)) return NaN;
  const one = ranked(first), other = ranked(second), middle = (first.length - 1) / 2;
  let together = 0, own = 0, others = 0;
  for (let at = 0; at < one.length; at++) {
    together += (one[at] - middle) * (other[at] - middle);
    own += (one[at] - middle) ** 2;
    others += (other[at] - middle) ** 2;
  }
  return own && others ? together / Math.sqrt(own * others) : NaN;
}

function commonGrid(first, second) {
  return [Math.min(first.height, second.height), Math.min(first.width, second.width)];
}
