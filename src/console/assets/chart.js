// A chart of one hour: lines that one can point at, or walk through by the arrow keys.

import { clock, make } from './page.js';

const [WIDTH, HEIGHT] = [600, 160];

/**
 * @param {{ title: string, series: { name: string, values: number[] }[], times: number[], words: (value: number) => string }} what
 */
export function chart({ title, series, times, words }) {
  const last = times.length - 1;
  const top = Math.max(1e-9, ...series.flatMap(({ values }) => values));
  const x = (index) => (last <= 0 ? WIDTH : (index / last) * WIDTH);
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - 12);
  const lines = series.map(({ values }, number) => {
    const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    return [
      number === 0 && make('svg:polygon.area', { points: `0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}` }),
      make(`svg:polyline.line.line-${number}`, { points }),
    ];
  });
  const cursor = make('svg:line.cursor', { y1: 0, y2: HEIGHT, visibility: 'hidden' });
  const picture = make('svg:svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, lines, cursor);
  const told = make('p.told', { 'aria-live': 'polite' });
  const summary = `${title}: ${series.map(({ name, values }) => `${name} now ${words(values.at(-1) ?? 0)}, at most ${words(Math.max(0, ...values))}`).join('; ')}`;
  const plot = make('div.plot', { tabIndex: 0, role: 'img', 'aria-label': `${summary}. Arrow keys walk through the hour.` }, picture);
  let at = last;

  const show = (index) => {
    at = Math.max(0, Math.min(last, index));
    cursor.setAttribute('x1', x(at));
    cursor.setAttribute('x2', x(at));
    cursor.setAttribute('visibility', 'visible');
    told.textContent = `${clock(times[at])}  ${series.map(({ name, values }) => `${name} ${words(values[at])}`).join(', ')}`;
  };
  const rest = () => {
    cursor.setAttribute('visibility', 'hidden');
    told.textContent = '';
  };
  plot.addEventListener('pointermove', ({ clientX }) => {
    const { left, width } = plot.getBoundingClientRect();
    if (last >= 0 && width) show(Math.round(((clientX - left) / width) * last));
  });
  plot.addEventListener('pointerleave', rest);
  plot.addEventListener('blur', rest);
  plot.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || last < 0) return;
    event.preventDefault();
    show(Number.isFinite(step) ? at + step : (step < 0 ? 0 : last));
  });

  return make('figure.chart.panel', {},
    make('figcaption', {}, make('h2', { textContent: title }), make('ul.legend', {}, series.map(({ name, values }, number) => (
      make(`li.line-${number}`, {}, make('span', { textContent: name }), make('strong', { textContent: words(values.at(-1) ?? 0) })))))),
    plot, make('div.axis', {}, make('span', { textContent: last > 0 ? clock(times[0]) : '' }), told, make('span', { textContent: last >= 0 ? clock(times[last]) : '' })));
}
