/* What the reader does: pins, exports, keys, choices. */

function addPin(map, channel) {
  const text = nameOf(map) + ':' + channel;
  const had = state.pins ? state.pins.split(',') : [];
  if (had.includes(text) || had.length >= 8) return;
  state.pins = [...had, text].join(',');
  keep();
  showPins();
}

function removePin(place) {
  state.pins = state.pins.split(',').filter((_, at) => at !== place).join(',');
  keep();
  showPins();
}

/* Pinned maps stand beside each other in one view; each says how it correlates with the first. */
async function showPins() {
  const pins = pinned();
  const numbers = await Promise.all(pins.map((pin) => numbersOf(pin.map)));
  const box = document.getElementById('explorer-pins');
  forgetPanels(box);
  box.replaceChildren(...pins.map((pin, place) => pinFigure(pin, numbers[place], place, pins[0], numbers[0])));
  document.getElementById('explorer-pinned').hidden = !pins.length;
  repaint('panels');
}

function pinFigure(pin, of, place, first, numbers) {
  const name = titleOf(pin.map) + (pin.map.stack ? ', channel ' + pin.channel : '') + ' of ' + pin.map.image;
  const value = made('output', { className: 'value' });
  const remove = made('button', { type: 'button', textContent: 'unpin', onclick: () => removePin(place) });
  const save = made('button', { type: 'button', textContent: 'NPY', onclick: () => saveArray(of, pin.channel) });
  const caption = made('figcaption', {}, made('b', { textContent: name }), ' ', remove, ' ', save, made('br'), value);
  if (place && of.depth === 1 && numbers.depth === 1) {
    const [height, width] = commonGrid(of, numbers);
    const rho = correlation(averaged(of, pin.channel, height, width), averaged(numbers, first.channel, height, width));
    const alike = 'rank correlation with the first: ' + (Number.isNaN(rho) ? 'undefined' : rho.toFixed(3));
    caption.append(made('br'), made('span', { className: 'rho', textContent: alike }));
  }
  const figure = made('figure', {}, panel(of, pin.channel, name), scaleBar(of, pin.channel), caption);
  figure.reads = { of, channel: pin.channel, value };
  return figure;
}

function save(name, parts, type) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  made('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function fileName(of, channel, ending) {
  const said = [of.map.step, of.map.key, of.map.image, ...(of.map.stack ? [channel] : [])].join('-');
  return said.replace(/[^\w.-]+/g, '_') + ending;
}

/* The values of one channel as numpy stores them. */
function saveArray(of, channel) {
  const shape = of.depth > 1 ? [of.depth, of.height, of.width] : [of.height, of.width];
  const head = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape.join(', ') + "), }";
  const padded = head.padEnd(117) + '\n';
  const values = new Float32Array(of.cells);
  for (let at = 0; at < of.cells; at++) {
    const plane = at % (of.height * of.width);
    values[at] = valueAt(of, channel, Math.floor(plane / of.width), plane % of.width, Math.floor(at / (of.height * of.width)));
  }
  const magic = new Uint8Array([0x93, 78, 85, 77, 80, 89, 1, 0, 118, 0]);
  save(fileName(of, channel, '.npy'), [magic, padded, values], 'application/octet-stream');
}

function saveTable() {
  if (!stack) return;
  const names = Object.keys(columns);
  const quoted = (text) => '"' + text.replaceAll('"', '""') + '"';
  const lines = [['channel', ...names.map(quoted)].join(',')];
  for (const channel of order) {
    lines.push([channel, ...names.map((name) => (Number.isNaN(columns[name][channel]) ? '' : columns[name][channel]))].join(','));
  }
  save(fileName(stack, '', '.csv'), [lines.join('\n') + '\n'], 'text/csv');
}

async function copyText(text, button) {
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'copied';
  } catch {
    window.prompt('Copy this', text);
  }
  setTimeout(() => { button.textContent = was; }, 1500);
}

function pythonLine() {
  const of = stack ? stack.map : mapsOf(state.image, false)[0];
  const said = JSON.stringify;
  const channel = of.stack ? ', ' + state.channel : '';
  return 'ik.open_run(' + said(data.run.id) + ').result(' + said(of.step) + ', image=' + said(of.image) + ').maps['
    + said(of.key) + '].values[0' + channel + ']';
}

/* Inputs that say one thing of the state, and what is to be done when they change. */
const CHOICES = {
  'explorer-find': ['find', listImages],
  'explorer-scale': ['scale', () => { paintBars(); repaint('atlas', 'panels'); }],
  'explorer-opacity': ['opacity', () => repaint('panels')],
  'explorer-between': ['between', () => repaint('panels')],
  'explorer-photo': ['photo', () => repaint('panels')],
  'explorer-slice': ['slice', () => repaint('atlas', 'panels')],
  'explorer-stack': ['stack', showStack],
  'explorer-order': ['order', () => arrange()],
  'explorer-filter': ['filter', () => arrange()],
};

function wire() {
  for (const [id, [key, act]] of Object.entries(CHOICES)) {
    document.getElementById(id).addEventListener('input', (event) => {
      state[key] = event.target.value;
      keep();
      act();
    });
  }
  for (const button of document.querySelectorAll('#explorer-list th button')) {
    button.addEventListener('click', () => {
      state.falling = state.sort === button.dataset.sort && !state.falling ? '1' : '';
      state.sort = button.dataset.sort;
      keep();
      listImages();
    });
  }
  const on = (id, act) => document.getElementById(id).addEventListener('click', (event) => act(event.currentTarget));
  on('explorer-copy-link', (button) => copyText(location.href.split('#')[0] + link(), button));
  on('explorer-copy-python', (button) => copyText(pythonLine(), button));
  on('explorer-csv', saveTable);
  on('explorer-keys', () => document.getElementById('explorer-help').showModal());
  on('explorer-rising', () => arrange());
  const atlas = document.getElementById('explorer-atlas');
  atlas.addEventListener('scroll', () => repaint('atlas'));
  atlas.addEventListener('click', (event) => {
    const channel = tileAt(event);
    if (channel !== undefined) chooseChannel(channel);
  });
  atlas.addEventListener('keydown', (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: inARow(), ArrowUp: -inARow() };
    if (!(event.key in steps) || !stack) return;
    event.preventDefault();
    nextChannel(steps[event.key]);
  });
  document.getElementById('explorer').addEventListener('keydown', pressed);
  document.getElementById('explorer').addEventListener('keyup', (event) => { if (event.key === 'b') blink(false); });
  addEventListener('resize', () => { if (stack) arrange(); repaint('panels'); });
  addEventListener('hashchange', () => { if (location.hash !== link() && restore()) showAll(); });
}

function pressed(event) {
  const typing = event.target.matches('input[type=search], select, textarea');
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const step = 1 / 64, [y, x] = point() || [0.5, 0.5], moved = (down, across) => {
    pointAt([clamped(y + down, 0, 0.99999), clamped(x + across, 0, 0.99999)]);
    keep();
    repaint('panels');
  };
  const keys = {
    '[': () => nextImage(-1), ']': () => nextImage(1),
    i: () => moved(-step, 0), k: () => moved(step, 0), j: () => moved(0, -step), l: () => moved(0, step),
    '+': () => zoomAround([y, x], 1.5), '-': () => zoomAround([y, x], 1 / 1.5), 0: () => zoomAround([y, x], 1 / 32),
    n: () => cycle('explorer-scale'), u: () => cycle('explorer-between'), g: () => cycle('explorer-photo'),
    b: () => blink(true), '?': () => document.getElementById('explorer-help').showModal(),
    '/': () => document.getElementById('explorer-find').focus(),
  };
  if (!(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
}

function nextImage(step) {
  const listed = [...document.querySelectorAll('#explorer-images button')].map((button) => button.textContent);
  const next = listed[listed.indexOf(state.image) + step];
  if (next !== undefined) chooseImage(next);
}

function cycle(id) {
  const choice = document.getElementById(id);
  choice.selectedIndex = (choice.selectedIndex + 1) % choice.options.length;
  choice.dispatchEvent(new Event('input'));
}

function blink(on) {
  hidden = on;
  repaint('panels');
}

async function showAll() {
  for (const [id, [key]] of Object.entries(CHOICES)) {
    const input = document.getElementById(id);
    if (state[key] !== '') input.value = state[key];
  }
  listImages();
  await showMaps();
  await Promise.all([showStack(), showPins()]);
}

if (typeof DecompressionStream !== 'undefined' && data.maps.length) {
  document.getElementById('explorer').hidden = false;
  restore();
  wire();
  showAll();
}
