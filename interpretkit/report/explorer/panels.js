/* Panels: a map over its photo, all in one view, with the cell that is pointed at. */

const photos = new Map();
const panels = new Set();
let hidden = false;

function photoOf(map) {
  const uri = imageOf.get(map.image).photos[map.model] || '';
  if (!uri) return null;
  if (!photos.has(uri)) {
    const picture = new Image();
    picture.src = uri;
    picture.decode().then(() => repaint('panels'), () => {});
    photos.set(uri, picture);
    if (photos.size > KEPT) photos.delete(photos.keys().next().value);
  }
  const picture = photos.get(uri);
  return picture.complete && picture.naturalWidth ? picture : null;
}

/* Returns a canvas that shows one channel of a map; `of` are its numbers. */
function panel(of, channel, label) {
  const canvas = made('canvas', { className: 'map', tabIndex: -1 });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  const [, , down] = of.map.rows.slice(-2)[0];
  const [, , across] = of.map.rows.slice(-2)[1];
  canvas.style.aspectRatio = across + ' / ' + down;
  canvas.shown = { of, channel };
  panels.add(canvas);
  followPointer(canvas);
  return canvas;
}

function forgetPanels(inside) {
  for (const canvas of panels) if (!canvas.isConnected || inside.contains(canvas)) panels.delete(canvas);
}

function sliceOf(of) {
  if (of.depth === 1) return 0;
  return state.slice === '' ? strongestSlice(of) : clamped(Number(state.slice), 0, of.depth - 1);
}

function strongestSlice(of) {
  if (of.strongest === undefined) {
    const sums = Array.from({ length: of.depth }, (_, z) => {
      let sum = 0;
      for (let at = 0; at < of.height * of.width; at++) {
        const value = valueAt(of, 0, Math.floor(at / of.width), at % of.width, z);
        sum += Number.isNaN(value) ? 0 : Math.abs(value);
      }
      return sum;
    });
    of.strongest = sums.indexOf(greatest(sums));
  }
  return of.strongest;
}

function paintPanel(canvas) {
  const { of, channel } = canvas.shown;
  const wide = Math.round(canvas.clientWidth * (devicePixelRatio || 1));
  const high = Math.round(canvas.clientHeight * (devicePixelRatio || 1));
  if (!wide || !high) return;
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext('2d');
  const { size, y, x } = view();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, wide, high);
  context.setTransform(size * wide, 0, 0, size * high, -x * size * wide, -y * size * high);
  const picture = photoOf(of.map);
  const opacity = picture ? Number(state.opacity) / 100 : 1;
  if (picture) {
    context.filter = state.photo === 'grey' ? 'grayscale(1)' : 'none';
    context.imageSmoothingEnabled = true;
    context.drawImage(picture, 0, 0, 1, 1);
    context.filter = 'none';
  }
  context.globalAlpha = hidden ? 0 : opacity;
  context.imageSmoothingEnabled = false;
  paintMap(context, of, channel, Boolean(picture));
  context.globalAlpha = 1;
  frameCell(context, of, 2 / (size * wide), 2 / (size * high));
}

function paintMap(context, of, channel, over) {
  const z = sliceOf(of), limits = limitsOf(of, channel, state.scale);
  if (state.between === 'linear') {
    context.drawImage(paintedSmoothly(of, channel, z, limits, 192, over), 0, 0, 1, 1);
    return;
  }
  const cells = paintedCells(of, channel, z, limits, over);
  const [down, across] = [0, 1].map((axis) => of.map.rows.slice(-2)[axis][2]);
  if (isEven(of)) {
    context.drawImage(cells, 0, 0, 1, 1);
    return;
  }
  // Cells that do not tile the input: the first and the last of a line go on to its edge.
  for (let y = 0; y < of.height; y++) {
    const [top, bottom] = edgesOf(of, 0, y).map((edge) => edge / down);
    for (let x = 0; x < of.width; x++) {
      const [left, right] = edgesOf(of, 1, x).map((edge) => edge / across);
      context.drawImage(cells, x, y, 1, 1, left, top, right - left, bottom - top);
    }
  }
}

function isEven(of) {
  return [0, 1].every((axis) => {
    const [first, step, pixels] = of.map.rows.slice(-2)[axis];
    const cells = axis ? of.width : of.height;
    return Math.abs(first - step / 2) < 1e-6 && Math.abs(step * cells - pixels) < 1e-6;
  });
}

function frameCell(context, of, wide, high) {
  const place = point();
  if (!place) return;
  const cell = cellAt(of, place);
  const [top, bottom] = edgesOf(of, 0, cell.y).map((edge) => edge / of.map.rows.slice(-2)[0][2]);
  const [left, right] = edgesOf(of, 1, cell.x).map((edge) => edge / of.map.rows.slice(-2)[1][2]);
  for (const [colour, out] of [['#000', 0], ['#fff', 1]]) {
    context.fillStyle = colour;
    const [dx, dy] = [wide * (out + 0.5), high * (out + 0.5)];
    context.fillRect(left - dx, top - dy, right - left + 2 * dx, high);
    context.fillRect(left - dx, bottom + dy - high, right - left + 2 * dx, high);
    context.fillRect(left - dx, top - dy, wide, bottom - top + 2 * dy);
    context.fillRect(right + dx - wide, top - dy, wide, bottom - top + 2 * dy);
  }
}

function placeOn(canvas, event) {
  const box = canvas.getBoundingClientRect(), { size, y, x } = view();
  const down = y + (event.clientY - box.top) / box.height / size;
  const across = x + (event.clientX - box.left) / box.width / size;
  return [clamped(down, 0, 0.99999), clamped(across, 0, 0.99999)];
}

function followPointer(canvas) {
  let held = null;
  canvas.addEventListener('pointerdown', (event) => {
    held = { at: placeOn(canvas, event), moved: false };
    pointAt(held.at);
    repaint('panels');
  });
  canvas.addEventListener('pointermove', (event) => {
    const place = placeOn(canvas, event);
    if (held && event.buttons && view().size > 1) {
      const { size, y, x } = view();
      zoomTo(size, y + held.at[0] - place[0], x + held.at[1] - place[1]);
    } else {
      pointAt(place);
    }
    repaint('panels');
  });
  canvas.addEventListener('pointerup', () => {
    held = null;
    keep();
  });
  canvas.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomAround(placeOn(canvas, event), Math.exp(-event.deltaY / 300));
  }, { passive: false });
  canvas.addEventListener('dblclick', () => {
    zoomTo(1, 0, 0);
    keep();
    repaint('panels');
  });
}

function zoomAround(place, factor) {
  const { size, y, x } = view();
  const wanted = clamped(size * factor, 1, 32), kept = size / wanted;
  zoomTo(wanted, place[0] - (place[0] - y) * kept, place[1] - (place[1] - x) * kept);
  keep();
  repaint('panels');
}

/* Everything is drawn once in a frame, however often it was asked for. */
const waiting = new Set();

function repaint(...parts) {
  if (!waiting.size) requestAnimationFrame(paintWaiting);
  for (const part of parts) waiting.add(part);
}

function paintWaiting() {
  const parts = new Set(waiting);
  waiting.clear();
  if (parts.has('atlas')) paintAtlas();
  if (parts.has('panels')) {
    for (const canvas of panels) if (canvas.isConnected) paintPanel(canvas);
    readOut();
  }
}

function made(kind, properties = {}, ...inside) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...inside);
  return element;
}
