/* Channels of one layer: an atlas of all, in any order, and the chosen one over the photo. */

const GAP = 4, NAME = 14, TILE = 72;
let stack = null;
let order = [];
let columns = {};

async function showStack() {
  const stacks = mapsOf(state.image, true);
  const box = document.getElementById('explorer-channels');
  box.hidden = !stacks.length;
  if (!stacks.length) {
    stack = null;
    return;
  }
  const wanted = stacks.find((map) => map.step + '/' + map.key === state.stack) || stacks[0];
  const choice = document.getElementById('explorer-stack');
  choice.replaceChildren(...stacks.map((map) => made('option', { value: map.step + '/' + map.key, textContent: titleOf(map) })));
  choice.value = wanted.step + '/' + wanted.key;
  stack = await numbersOf(wanted);
  columns = await columnsOf(stack);
  const orders = document.getElementById('explorer-order');
  orders.replaceChildren(...['index', ...Object.keys(columns)].map((name) => made('option', { value: name, textContent: name })));
  if (state.order !== 'index' && !(state.order in columns)) state.order = 'index';
  orders.value = state.order;
  arrange();
  showChannel();
}

/* What channels can be ordered by: their values, the tables of all steps, and how they correlate with each map. */
async function columnsOf(of) {
  const found = { max: of.high, min: of.low, mean: of.mean };
  for (const [name, values] of Object.entries(of.map.columns || {})) {
    found[name] = Float64Array.from(values, (value) => (value === null ? NaN : value));
  }
  for (const map of mapsOf(of.map.image, false)) {
    const other = await numbersOf(map);
    if (other.depth > 1 || of.depth > 1) continue;
    const [height, width] = commonGrid(of, other);
    const wanted = averaged(other, 0, height, width);
    found['rank correlation with ' + titleOf(map)] = Float64Array.from({ length: of.channels },
      (_, channel) => correlation(averaged(of, channel, height, width), wanted));
  }
  return found;
}

/* Which channels a filter leaves: numbers and ranges `417, 20-40`, and bounds of columns `max>3`; all must hold. */
function filtered(of) {
  const parts = state.filter.trim().split(/[\s,]+/).filter(Boolean);
  const spans = parts.map((part) => part.match(/^(\d+)(?:-(\d+))?$/)).filter(Boolean);
  const bounds = parts.map((part) => part.match(/^([\w.]+)([<>])(-?[\d.eE+-]+)$/)).filter((found) => found && found[1] in columns);
  const inSpan = (channel) => !spans.length
    || spans.some(([, from, to]) => channel >= Number(from) && channel <= Number(to ?? from));
  const inBounds = (channel) => bounds.every(([, name, sign, limit]) => (
    sign === '>' ? columns[name][channel] > Number(limit) : columns[name][channel] < Number(limit)));
  const unknown = parts.filter((part) => !spans.some(([all]) => all === part) && !bounds.some(([all]) => all === part));
  document.getElementById('explorer-filter').setCustomValidity(unknown.length ? 'not understood: ' + unknown.join(' ') : '');
  return [...Array(of.channels).keys()].filter((channel) => inSpan(channel) && inBounds(channel));
}

function arrange() {
  order = filtered(stack);
  const by = columns[state.order];
  if (by) {
    const known = (channel) => Number.isNaN(by[channel]);
    order.sort((first, second) => (known(first) - known(second)) || by[second] - by[first] || first - second);
  }
  if (document.getElementById('explorer-rising').checked) order.reverse();
  document.getElementById('explorer-count').textContent = order.length + ' of ' + stack.channels + ' channels, '
    + stack.height + '×' + stack.width + ' cells';
  const space = document.getElementById('explorer-space');
  space.style.height = Math.ceil(order.length / inARow()) * (TILE + NAME + GAP) + 'px';
  repaint('atlas');
}

function inARow() {
  return Math.max(1, Math.floor(document.getElementById('explorer-atlas').clientWidth / (TILE + GAP)));
}

/* Draws the tiles that are in sight, and no others. */
function paintAtlas() {
  const box = document.getElementById('explorer-atlas');
  if (!stack || !box.clientWidth) return;
  const canvas = document.getElementById('explorer-tiles'), dense = devicePixelRatio || 1;
  canvas.width = Math.round(box.clientWidth * dense);
  canvas.height = Math.round(box.clientHeight * dense);
  canvas.style.width = box.clientWidth + 'px';
  canvas.style.height = box.clientHeight + 'px';
  const context = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  context.scale(dense, dense);
  context.imageSmoothingEnabled = false;
  context.font = '11px sans-serif';
  context.textBaseline = 'top';
  const across = inARow(), high = TILE + NAME + GAP;
  const first = Math.floor(box.scrollTop / high), last = Math.ceil((box.scrollTop + box.clientHeight) / high);
  for (let place = first * across; place < Math.min(last * across, order.length); place++) {
    const channel = order[place];
    const x = (place % across) * (TILE + GAP), y = Math.floor(place / across) * high - box.scrollTop;
    const cells = paintedCells(stack, channel, sliceOf(stack), limitsOf(stack, channel, state.scale));
    context.drawImage(cells, x, y, TILE, TILE);
    if (stack.low[channel] === stack.high[channel]) crossOut(context, x, y);
    if (channel === Number(state.channel)) {
      context.strokeStyle = style.getPropertyValue('--link');
      context.lineWidth = 3;
      context.strokeRect(x + 1.5, y + 1.5, TILE - 3, TILE - 3);
    }
    context.fillStyle = style.getPropertyValue('--soft');
    const by = columns[state.order];
    context.fillText(channel + (by ? ' · ' + written(by[channel]) : ''), x, y + TILE + 1, TILE);
  }
}

function crossOut(context, x, y) {
  context.strokeStyle = '#ffffff';
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + TILE, y + TILE);
  context.moveTo(x + TILE, y);
  context.lineTo(x, y + TILE);
  context.stroke();
}

function tileAt(event) {
  const box = document.getElementById('explorer-atlas'), canvas = document.getElementById('explorer-tiles');
  const edge = canvas.getBoundingClientRect();
  const column = Math.floor((event.clientX - edge.left) / (TILE + GAP));
  const row = Math.floor((event.clientY - edge.top + box.scrollTop) / (TILE + NAME + GAP));
  return column < inARow() ? order[row * inARow() + column] : undefined;
}

function chooseChannel(channel) {
  state.channel = String(channel);
  keep();
  showChannel();
  repaint('atlas');
}

function nextChannel(step) {
  if (!order.length) return;
  const place = clamped(order.indexOf(Number(state.channel)) + step, 0, order.length - 1);
  const box = document.getElementById('explorer-atlas'), high = TILE + NAME + GAP;
  const top = Math.floor(place / inARow()) * high;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + high > box.scrollTop + box.clientHeight) box.scrollTop = top + high - box.clientHeight;
  chooseChannel(order[place]);
}

function showChannel() {
  const channel = clamped(Number(state.channel) || 0, 0, stack.channels - 1);
  state.channel = String(channel);
  const box = document.getElementById('explorer-channel');
  forgetPanels(box);
  const name = titleOf(stack.map) + ', channel ' + channel;
  const value = made('output', { className: 'value' });
  const pin = made('button', { type: 'button', textContent: 'pin', onclick: () => addPin(stack.map, channel) });
  const figure = made('figure', {}, panel(stack, channel, name), scaleBar(stack, channel),
    made('figcaption', {}, made('b', { textContent: name }), ' ', pin, made('br'), value));
  figure.reads = { of: stack, channel, value };
  const rows = Object.entries(columns).map(([key, values]) => {
    const above = values.reduce((count, each) => count + (each > values[channel]), 0);
    const rank = Number.isNaN(values[channel]) ? '–' : (above + 1) + ' of ' + stack.channels;
    return made('tr', {}, made('th', { scope: 'row', textContent: key }),
      made('td', { className: 'n', textContent: written(values[channel]) }), made('td', { className: 'n', textContent: rank }));
  });
  const head = made('tr', {}, made('th', { textContent: 'of this channel' }), made('th', { className: 'n', textContent: 'value' }),
    made('th', { className: 'n', textContent: 'rank' }));
  box.replaceChildren(figure, made('table', {}, made('thead', {}, head), made('tbody', {}, ...rows)));
  repaint('panels');
}
