/* What is shown: one object, which the address of the page mirrors, so that a link shows the same again. */

const start = {
  image: data.images.length ? data.images[0].id : '',
  find: '', sort: '', falling: '',
  scale: 'channel', opacity: '70', between: 'nearest', photo: 'grey',
  stack: '', channel: '0', order: 'index', filter: '', slice: '',
  pins: '', zoom: '', point: '',
};
const state = { ...start };

function link() {
  const said = Object.keys(start).filter((key) => state[key] !== start[key]);
  return '#explorer?' + said.map((key) => key + '=' + encodeURIComponent(state[key])).join('&');
}

function keep() {
  try {
    history.replaceState(null, '', link());
  } catch {
    /* A sandboxed frame has no history. */
  }
}

/* Returns whether the address is one of the explorer. */
function restore() {
  Object.assign(state, start);
  const [name, said = ''] = location.hash.slice(1).split('?');
  for (const part of said.split('&')) {
    const [key, value = ''] = part.split('=');
    if (key in start) state[key] = decodeURIComponent(value);
  }
  if (!imageOf.has(state.image)) state.image = start.image;
  return name === 'explorer';
}

function view() {
  const [size = 1, y = 0, x = 0] = state.zoom ? state.zoom.split(',').map(Number) : [];
  return { size, y, x };
}

function zoomTo(size, y, x) {
  const factor = clamped(size, 1, 32);
  const corner = [y, x].map((at) => clamped(at, 0, 1 - 1 / factor));
  state.zoom = factor === 1 ? '' : [factor, ...corner].map((value) => Number(value.toFixed(4))).join(',');
}

function point() {
  return state.point ? state.point.split(',').map(Number) : null;
}

function pointAt(place) {
  state.point = place ? place.map((value) => Number(value.toFixed(4))).join(',') : '';
}

function pinned() {
  return state.pins ? state.pins.split(',').map((text) => {
    const [name, channel = '0'] = text.split(':');
    return { map: byName.get(name), channel: Number(channel) };
  }).filter((pin) => pin.map) : [];
}
