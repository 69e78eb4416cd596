/* The table of images, and all maps of the chosen one side by side. */

let shown = [];

function shownNumbers() {
  return shown;
}

const COLUMNS = {
  image: (image) => image.id,
  label: (image) => image.label ?? '',
  found: (image) => Object.values(image.found).map((each) => each.label).join(' / '),
  probability: (image) => Object.values(image.found).map((each) => each.probability ?? NaN)[0] ?? NaN,
  checks: (image) => image.checks.length,
};

function listImages() {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (image) => [image.id, image.label ?? '', image.disputed ? 'disputed' : '',
    ...Object.values(image.found).map((each) => each.label),
    ...image.checks.map((check) => check.step + ' ' + check.check + ' ' + check.status)].join(' ').toLowerCase();
  const found = data.images.filter((image) => words.every((word) => text(image).includes(word)));
  if (state.sort in COLUMNS) {
    const of = COLUMNS[state.sort];
    found.sort((first, second) => compared(of(first), of(second)));
    if (state.falling) found.reverse();
  }
  document.getElementById('explorer-images').replaceChildren(...found.map(imageRow));
  document.getElementById('explorer-found').textContent = found.length + ' of ' + data.images.length + ' images';
  for (const head of document.querySelectorAll('#explorer-list th button')) {
    const order = head.dataset.sort !== state.sort ? 'none' : state.falling ? 'descending' : 'ascending';
    head.parentElement.setAttribute('aria-sort', order);
  }
}

function compared(first, second) {
  if (typeof first === 'string') return first.localeCompare(second, undefined, { numeric: true });
  return (Number.isNaN(first) - Number.isNaN(second)) || first - second;
}

function imageRow(image) {
  const row = made('tr');
  const photo = Object.values(image.photos)[0];
  const choose = made('button', { type: 'button', textContent: image.id, onclick: () => chooseImage(image.id) });
  choose.setAttribute('aria-pressed', String(image.id === state.image));
  const thumbnail = made('td');
  if (photo) thumbnail.append(made('img', { src: photo, alt: '', loading: 'lazy', width: 40 }));
  const found = Object.values(image.found);
  const likely = found.map((each) => (each.probability === null ? '–' : each.probability.toFixed(3)));
  const labels = made('td', { textContent: found.map((each) => each.label).join(' / ') });
  if (image.disputed) labels.append(' ', made('span', { className: 'badge warn', textContent: 'disputed' }));
  const checks = made('td');
  for (const status of ['fail', 'warn']) {
    const of = image.checks.filter((check) => check.status === status);
    if (of.length) checks.append(made('span', { className: 'badge ' + status, textContent: of.length + ' ' + status }), ' ');
  }
  if (image.id === state.image) row.className = 'chosen';
  row.append(thumbnail, made('td', {}, choose), made('td', { textContent: image.label ?? '–' }), labels,
    made('td', { className: 'n', textContent: likely.join(' / ') }), checks);
  return row;
}

async function chooseImage(id) {
  state.image = id;
  keep();
  listImages();
  await Promise.all([showMaps(), showStack()]);
}

async function showMaps() {
  const maps = mapsOf(state.image, false);
  const numbers = await Promise.all(maps.map(numbersOf));
  if (maps.length && maps[0].image !== state.image) return;
  shown = numbers;
  const box = document.getElementById('explorer-maps');
  forgetPanels(box);
  box.replaceChildren(...numbers.map(mapFigure));
  document.getElementById('explorer-image').textContent = state.image;
  const checks = imageOf.get(state.image).checks.map((check) => made('li', {},
    made('span', { className: 'badge ' + check.status, textContent: check.status }),
    ' ' + check.step + ', ' + check.check + ': ' + check.text));
  document.getElementById('explorer-checks').replaceChildren(...checks);
  document.getElementById('explorer-slices').hidden = !numbers.some((of) => of.depth > 1);
  repaint('panels');
}

function mapFigure(of) {
  const { map } = of;
  const judged = imageOf.get(map.image).checks.filter((check) => check.step === map.step);
  const worst = judged.some((check) => check.status === 'fail') ? 'fail' : judged.length ? 'warn' : '';
  const title = made('b', { textContent: titleOf(map) });
  const value = made('output', { className: 'value' });
  const pin = made('button', { type: 'button', textContent: 'pin', onclick: () => addPin(map, 0) });
  pin.setAttribute('aria-label', 'Pin ' + titleOf(map));
  const caption = made('figcaption', {}, title);
  if (worst) caption.append(' ', made('span', { className: 'badge ' + worst, textContent: worst }));
  caption.append(' ', pin, made('br'), value, made('br'), made('small', { textContent: map.target }));
  const figure = made('figure', {}, panel(of, 0, titleOf(map) + ' of ' + map.image), scaleBar(of, 0), caption);
  figure.reads = { of, channel: 0, value };
  return figure;
}

function scaleBar(of, channel) {
  const bar = made('canvas', { className: 'bar', width: 256, height: 1 });
  bar.setAttribute('aria-hidden', 'true');
  const ends = made('span', { className: 'ends' });
  const box = made('div', { className: 'scale' }, bar, ends);
  box.paint = () => {
    const [low, high] = limitsOf(of, channel, state.scale);
    const context = bar.getContext('2d');
    const picture = context.createImageData(256, 1);
    new Uint32Array(picture.data.buffer).set(paletteOf(of, low < 0));
    context.putImageData(picture, 0, 0);
    ends.replaceChildren(made('span', { textContent: written(low) }), made('span', { textContent: written(high) }));
  };
  box.paint();
  return box;
}

function paintBars() {
  for (const bar of document.querySelectorAll('#explorer .scale')) bar.paint();
}

/* Writes what each map has where the pointer is: the value, how exact it is, and the cell. */
function readOut() {
  const place = point();
  for (const figure of document.querySelectorAll('#explorer figure')) {
    if (!figure.reads) continue;
    const { of, channel, value } = figure.reads;
    value.textContent = place ? readAt(of, channel, place) : 'greatest ' + written(of.high[channel]);
  }
}

function readAt(of, channel, place) {
  const { y, x } = cellAt(of, place);
  const value = valueAt(of, channel, y, x, sliceOf(of));
  const exact = Number.isNaN(value) ? '' : ' ± ' + (of.scale[channel] / 2).toExponential(0);
  const [top, bottom] = edgesOf(of, 0, y), [left, right] = edgesOf(of, 1, x);
  const slice = of.depth > 1 ? ', slice ' + sliceOf(of) : '';
  return written(value) + exact + ' at row ' + y + ', column ' + x + slice + ' (pixels ' + written(top) + '–' + written(bottom)
    + ', ' + written(left) + '–' + written(right) + ')';
}
