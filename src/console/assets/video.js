// A video channel: its tracks with what comes of each, and how late its viewers are sent what they see. Live while it is open.

import { get, of } from './api.js';
import { bytes, count, duration, empty, fill, link, make, many, meter, refill, silentNodes, table, watched } from './page.js';

const EVERY_MS = 1000;

/** What viewers see, in words behind how many they are. */
const SEE = { full: 'in the full rendition', small: 'in the small one', waiting: 'waiting for a key frame', still: 'wanting no frames' };

/** From which lateness on the broker does something about it. */
const TONES = [[250, 'good'], [500, 'wait'], [Infinity, 'bad']];

/** A panel of a channel's tracks and viewers, and what ends it. */
export function videoPanel(app, name, { status }) {
  const tracks = make('div.tracks', {}, make('p.hint', { textContent: 'Loading…' }));
  const lateness = make('div.column');
  const latest = make('div');
  const silent = make('div');
  const details = make('details', { hidden: true }, make('summary', { textContent: 'Those who are latest' }), latest);
  const element = make('section.panel', { 'aria-label': 'Video' }, make('h2', { textContent: 'Video' }), silent, tracks, lateness, details);
  const stop = watched(tracks, EVERY_MS, 'The tracks are not to be had', async () => {
    const told = await get(of(app, 'channels', name, 'video'));
    fill(silent, silentNodes(told));
    refill(tracks, told.tracks.length ? told.tracks.map(trackElement) : empty('Nobody films here at present.'),
      told.tracks.length ? meter('Kept in the cache', told.cache.bytes, told.cache.bytes_limit, `${bytes(told.cache.bytes)} of ${bytes(told.cache.bytes_limit)}`) : null);
    fill(lateness, ...latenessOf(told.viewers));
    details.hidden = told.viewers.latest.length === 0;
    refill(latest, table(['Connection', 'Late by', 'Waiting for it', 'State', ...(status?.cluster ? ['Node'] : [])], told.viewers.latest.map(({ socket_id: id, late_ms: late, waiting_bytes: waiting, sees, node_name: node }) => [
      link(['connections', id], id), duration(late), bytes(waiting), SEE[sees] ?? sees, ...(status?.cluster ? [node] : [])]), 'Those who are latest'));
  });
  return { element, stop };
}

function trackElement({ event, track, kind, holder, cache_bytes: kept, renditions, node_name: node }) {
  const most = Math.max(1, ...renditions.map(({ bytes_per_second: rate }) => rate ?? 0));
  return make('article.track', { 'aria-label': `Track ${event} ${track}` },
    make('h3', {}, make('code', { textContent: track ? `${event} / ${track}` : event }), make('span.kind', { textContent: kind })),
    make('p.hint', {}, ...heldBy(holder, node), `, for ${duration(holder.held_ms)}; ${bytes(kept)} kept`),
    make('ul.renditions', {}, renditions.map((rendition) => renditionElement(rendition, kind, most))));
}

function heldBy({ kind, socket_id: id, user_id: user, node: elsewhere }, node) {
  const at = node ? ` at ${node}` : '';
  const who = user ? [' (', link(['users', user], user), ')'] : [];
  if (kind === 'client') return ['Filmed by ', link(['connections', id], id), ...who, at];
  return [kind === 'backend' ? `Sent by a backend or hook${at}` : `Filmed at node ${elsewhere}`, ...who];
}

function renditionElement(told, kind, most) {
  const { rendition, alive, newest_ms: newest, codec, media_type: type, width, height, sample_rate: hertz, sound_channels: channels } = told;
  const isSound = kind === 'sound';
  const size = [width && `${width} × ${height}`, hertz && `${count(hertz / 1000)} kHz`, channels && (channels === 1 ? 'mono' : channels === 2 ? 'stereo' : `${channels} channels`)].filter(Boolean).join(', ');
  const rate = told.bytes_per_second === null ? null : `${bitrate(told.bytes_per_second)}, ${count(told.frames_per_second)} ${isSound ? 'pieces' : 'frames'}/s`;
  const words = alive ? rate ?? 'not measured yet' : `stands still for ${duration(Math.round(newest / 1000) * 1000)}`;
  const key = told.key_frame_ms === null ? null : `Key frame ${duration(Math.round(told.key_frame_ms / 100) * 100)} ago${told.key_frame_interval_ms === null ? '' : `, ${duration(Math.round(told.key_frame_interval_ms / 10) * 10)} after the one before`}`;
  return make('li', {},
    meter(isSound ? 'sound' : rendition, alive ? told.bytes_per_second ?? 0 : 0, most, words, alive ? 'good' : 'wait'),
    make('p.hint', {}, [size, codec && make('code', { textContent: codec, title: type }), key, told.kept_frames > 0 && !isSound && `${many(told.kept_frames, 'frame')} kept`]
      .filter(Boolean).flatMap((part, index) => (index ? [' · ', part] : [part]))));
}

/** Bits a second, as those who film reckon. */
function bitrate(bytesPerSecond) {
  const kilobits = (bytesPerSecond * 8) / 1000;
  return kilobits < 1000 ? `${count(kilobits)} kbit/s` : `${count(kilobits / 1000)} Mbit/s`;
}

function latenessOf({ count: viewers, without_frames: without, bands, see, whole }) {
  const most = Math.max(1, ...bands.map((band) => band.viewers));
  const states = Object.entries(see).filter(([, often]) => often > 0).map(([state, often]) => `${count(often)} ${SEE[state] ?? state}`);
  const label = (until, index) => (until === null ? `over ${duration(bands[index - 1].until_ms)}` : `up to ${duration(until)}`);
  return [
    make('h3', { textContent: 'Viewers, by how late they are' }),
    make('p.hint', { textContent: [`${many(viewers, 'viewer')}${states.length ? `: ${states.join(', ')}` : ''}`, without ? `${many(without, 'subscriber')} without frames` : null, whole ? null : 'not all of them could be looked at in time'].filter(Boolean).join('; ') }),
    viewers ? make('ol.bands', {}, bands.map(({ until_ms: until, viewers: here }, index) => make('li', {},
      meter(label(until, index), here, most, many(here, 'viewer'), TONES.find(([bound]) => (until ?? Infinity) <= bound)[1])))) : null,
  ];
}
