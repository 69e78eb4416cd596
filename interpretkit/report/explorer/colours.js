/* From values to colours. */

const HOLE = 0xffff00ff;

function palette(letters) {
  const bytes = decoded(letters);
  const colours = new Uint32Array(256);
  for (let at = 0; at < 256; at++) {
    colours[at] = 0xff000000 | bytes[3 * at + 2] << 16 | bytes[3 * at + 1] << 8 | bytes[3 * at];
  }
  return colours;
}

const palettes = Object.fromEntries(Object.entries(data.palettes).map(([name, text]) => [name, palette(text)]));

function paletteOf(of, polarity) {
  return palettes[polarity ? 'coolwarm' : of.map.stack ? 'viridis' : 'inferno'];
}

/* The limits of a scale: of the map itself, of all maps of its step and layer, or of its step, in this image or all. */
function limitsOf(of, channel, scale) {
  let low = scale === 'channel' ? of.low[channel] : least(of.low);
  let high = scale === 'channel' ? of.high[channel] : greatest(of.high);
  if (scale === 'step') {
    for (const other of shownNumbers().filter((each) => each.map.step === of.map.step)) {
      low = Math.min(low, least(other.low));
      high = Math.max(high, greatest(other.high));
    }
  }
  if (low < 0) {
    const reach = Math.max(-low, high);
    return [-reach, reach];
  }
  return [0, Number.isNaN(high) || high === 0 ? 1 : high];
}

function least(values) {
  return values.reduce((low, value) => (value < low ? value : low), Infinity);
}

function greatest(values) {
  return values.reduce((high, value) => (value > high ? value : high), -Infinity);
}

/* A canvas with one pixel for each cell of a channel; `over` a photo, signed values are as opaque as they are great. */
function paintedCells(of, channel, z, limits, over = false) {
  const canvas = document.createElement('canvas');
  canvas.width = of.width;
  canvas.height = of.height;
  const context = canvas.getContext('2d');
  const picture = context.createImageData(of.width, of.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const colours = coloursOf(of, limits, over);
  const factor = 256 / (limits[1] - limits[0]);
  for (let at = 0; at < pixels.length; at++) {
    const value = valueAt(of, channel, Math.floor(at / of.width), at % of.width, z);
    pixels[at] = colourOf(colours, value, limits[0], factor);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

function coloursOf(of, limits, over) {
  const signed = limits[0] < 0, colours = paletteOf(of, signed);
  if (!signed || !over) return colours;
  return colours.map((colour, at) => colour & 0xffffff | Math.min(255, Math.abs(2 * at - 255)) << 24);
}

function colourOf(colours, value, low, factor) {
  return Number.isNaN(value) ? HOLE : colours[clamped(Math.floor((value - low) * factor), 0, 255)];
}

/* A canvas with one pixel for each of so many places on the input, interpolated between the middles of cells. */
function paintedSmoothly(of, channel, z, limits, side, over) {
  const canvas = document.createElement('canvas');
  const [rows, columns] = [0, 1].map((axis) => positions(of, axis, side));
  canvas.width = canvas.height = side;
  const context = canvas.getContext('2d');
  const picture = context.createImageData(side, side);
  const pixels = new Uint32Array(picture.data.buffer);
  const colours = coloursOf(of, limits, over);
  const factor = 256 / (limits[1] - limits[0]);
  for (let y = 0; y < side; y++) {
    const [above, below, down] = rows[y];
    for (let x = 0; x < side; x++) {
      const [left, right, across] = columns[x];
      const top = mixed(valueAt(of, channel, above, left, z), valueAt(of, channel, above, right, z), across);
      const bottom = mixed(valueAt(of, channel, below, left, z), valueAt(of, channel, below, right, z), across);
      pixels[y * side + x] = colourOf(colours, mixed(top, bottom, down), limits[0], factor);
    }
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

function mixed(first, second, share) {
  return share === 0 ? first : first * (1 - share) + second * share;
}

function positions(of, axis, side) {
  const [first, step, pixels] = of.map.rows.slice(-2)[axis];
  const cells = axis ? of.width : of.height;
  return Array.from({ length: side }, (_, at) => {
    const place = clamped(((at + 0.5) * pixels / side - first) / step, 0, cells - 1);
    const before = Math.floor(place);
    return [before, Math.min(before + 1, cells - 1), place - before];
  });
}
