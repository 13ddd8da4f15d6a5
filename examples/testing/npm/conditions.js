// What a test can wait for, as the control API has it. They are described in index.d.ts.

const AT_LEAST_ONE = { at_least: 1 };

export const subscribers = (channel, count) => ({ type: 'subscribers', channel, count });

export const members = (channel, expected) => ({
  type: 'members',
  channel,
  ...(Array.isArray(expected) ? { user_ids: expected } : { count: expected }),
});

export const signedIn = (userId, connections = AT_LEAST_ONE) => ({ type: 'signed_in', user_id: userId, connections });

export const connections = (count) => ({ type: 'connections', count });

export const event = (filter) => ({ type: 'event', ...written(filter) });

export const delivered = (filter) => ({ type: 'delivered', ...written(filter) });

export const resumed = (filter) => ({ type: 'resumed', ...written(filter) });

export const webhook = (filter) => ({ type: 'webhook', ...written(filter) });

export const refused = (filter) => ({ type: 'refused', ...written(filter) });

export const logged = (filter, count = AT_LEAST_ONE, { after, sockets } = {}) => ({
  type: 'logged',
  filter: written(filter),
  count,
  ...(after === undefined ? {} : { after }),
  ...(sockets === undefined ? {} : { sockets }),
});

export const nothing = (forMs, filter, { after } = {}) => ({
  type: 'nothing',
  for_ms: forMs,
  filter: written(filter),
  ...(after === undefined ? {} : { after }),
});

/** The filter as the control API has it: `data` is a list of expectations. */
export function written({ data, ...rest } = {}) {
  return data === undefined ? rest : { ...rest, data: expectations(data) };
}

function expectations(data) {
  if (Array.isArray(data)) return data;
  if (typeof data !== 'object' || data === null) return [{ equals: data }];
  return Object.entries(data).map(([path, equals]) => ({ path, equals }));
}
