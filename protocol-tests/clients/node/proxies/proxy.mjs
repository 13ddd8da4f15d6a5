// A proxy of Debian's in front of brokers, run with the file that docs/operations.md shows for it.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { promisify } from 'node:util';

const OPERATIONS = new URL('../../../../docs/operations.md', import.meta.url);
const HOST = '127.0.0.1';
/** What the document's files say, and what a test puts in its place. */
const SHOWN = {
  brokers: ['127.0.0.1:6001', '127.0.0.1:6002'],
  certificate: '/etc/ssl/realtime.example.com',
  timeout: '100s',
};
const START_DEADLINE_MS = 20_000;
const APACHE_MODULES = '/usr/lib/apache2/modules';

/** Each kind: the language of its block in the document, where it listens in it, and what is to be around it. */
export const KINDS = {
  nginx: {
    block: 'nginx',
    listens: [/listen 443 /, (port) => `listen ${HOST}:${port} `],
    // Started by root, it would give its workers another user, who has no rights here.
    around: (file, folder) => `
      ${process.getuid() === 0 ? 'user root;' : ''}
      worker_processes 2;
      pid ${folder}/nginx.pid;
      error_log stderr warn;
      events {}
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n')}
        ${file}
      }`,
    command: (file, folder) => ['nginx', '-p', folder, '-e', 'stderr', '-c', file, '-g', 'daemon off;'],
  },
  haproxy: {
    block: 'haproxy',
    listens: [/bind :443 /, (port) => `bind ${HOST}:${port} `],
    around: (file) => `global\n    maxconn 2000\n${file}`,
    command: (file) => ['haproxy', '-db', '-f', file],
  },
  caddy: {
    block: 'caddyfile',
    listens: [/^realtime\.example\.com /m, (port) => `https://${HOST}:${port} `],
    around: (file) => `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${file}`,
    command: (file) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
  },
};

/**
 * Starts a proxy of this kind in front of `brokers`, one or two, and ends it with the test.
 *
 * @param {{ timeout?: string, change?: (file: string) => string, certified?: string }} [options]  `timeout` is in place of the
 *   time-outs that the document has; `change` makes another file of the document's, when all else is in it; `certified` is
 *   the path of a certificate without its ending, in place of a new one;
 *   `end` is the signal that ends it, where it would wait for what clients have left
 * @returns {Promise<{ host: string, port: number }>}
 */
export async function startProxy(t, kind, brokers, { timeout = SHOWN.timeout, change = (file) => file, certified, end } = {}) {
  const { block, listens, around, command } = KINDS[kind];
  const folder = await mkdtemp(join(tmpdir(), `heliostat-${kind}-`));
  t.after(() => rm(folder, { recursive: true }));
  const shownTo = certified ?? await certificate(await authority(folder), folder);
  const port = await freePort();

  let text = await shown(block);
  const replace = (what, by) => {
    if (text.search(what) < 0) throw new Error(`docs/operations.md has no ${what} in its ${block} block`);
    text = text.replaceAll(what, by);
  };
  replace(new RegExp(listens[0], 'gm'), listens[1](port));
  replace(SHOWN.certificate, shownTo);
  if (brokers.length > 1) replace(new RegExp(`#(.*${SHOWN.brokers[1]})`, 'g'), '$1');
  brokers.forEach((broker, n) => replace(SHOWN.brokers[n], `${broker.host}:${broker.port}`));
  if (kind !== 'caddy') replace(SHOWN.timeout, timeout);
  const file = join(folder, 'proxy.conf');
  await writeFile(file, `${around(change(text), folder)}\n`);
  return run(t, command(file, folder), folder, port, end);
}

/** The least that passes requests on, and nothing of `Host`: what a proxy does that nobody has told more. */
const PLAIN = {
  nginx: {
    text: (port, broker) => `server { listen ${HOST}:${port}; location / { proxy_pass http://${broker}; } }`,
    around: KINDS.nginx.around,
    command: KINDS.nginx.command,
  },
  apache: {
    text: (port, broker) => `Listen ${HOST}:${port}\nProxyPass / http://${broker}/`,
    around: (text, folder) => `
      ServerName ${HOST}
      PidFile ${folder}/apache.pid
      DefaultRuntimeDir ${folder}
      ErrorLog ${folder}/error.log
      ${['mpm_event', 'authz_core', 'proxy', 'proxy_http'].map((name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`).join('\n')}
      ${text}`,
    command: (file, folder) => ['apache2', '-d', folder, '-f', file, '-DFOREGROUND'],
  },
};

/** Connections are passed on as they come, after a header of the PROXY protocol that names their client. */
for (const header of ['send-proxy', 'send-proxy-v2']) {
  PLAIN[header] = {
    text: (port, broker) => `
      defaults
        mode tcp
        timeout connect 5s
        timeout client 60s
        timeout server 60s
      listen all
        bind ${HOST}:${port}
        server broker ${broker} ${header}`,
    around: KINDS.haproxy.around,
    command: KINDS.haproxy.command,
  };
}

/** As many have it: connections to the broker are kept, and each request claims to be an upgrade. */
PLAIN['upgrading-nginx'] = {
  ...PLAIN.nginx,
  text: (port, broker) => `
    upstream broker { server ${broker}; keepalive 16; }
    server {
      listen ${HOST}:${port};
      location / {
        proxy_pass http://broker;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
      }
    }`,
};

/** Starts a proxy of this kind, of those that are as they are by default or often, in front of a broker, and ends it with the test. */
export async function startPlainProxy(t, kind, broker) {
  const { text, around, command } = PLAIN[kind];
  const folder = await mkdtemp(join(tmpdir(), `heliostat-${kind}-`));
  t.after(() => rm(folder, { recursive: true }));
  const port = await freePort();
  const file = join(folder, 'proxy.conf');
  await writeFile(file, `${around(text(port, `${broker.host}:${broker.port}`), folder)}\n`);
  return run(t, command(file, folder), folder, port);
}

async function run(t, [program, ...args], folder, port, end = 'SIGTERM') {
  const child = spawn(program, args, {
    // Debian keeps two of them where only root looks; Caddy writes into its user's home.
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (part) => (log = (log + part).slice(-10_000)));
  }
  const ended = once(child, 'close');
  ended.catch(() => {});
  const lastResort = () => child.kill('SIGKILL');
  process.once('exit', lastResort);
  t.after(async () => {
    child.kill(end);
    await ended;
    process.off('exit', lastResort);
  });
  await listening(port, child, () => log);
  return { host: HOST, port };
}

/** Starts HAProxy with this configuration, which listens at `port`, and ends it with the test. */
export async function startHaproxy(t, folder, text, port) {
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, text);
  return run(t, KINDS.haproxy.command(file), folder, port);
}

/** The block of this language in the document; there is one. */
async function shown(language) {
  const blocks = [...(await readFile(OPERATIONS, 'utf8')).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  const [found, ...more] = blocks.filter(([, of]) => of === language);
  if (!found || more.length > 0) throw new Error(`docs/operations.md has ${found ? 'several blocks' : 'no block'} of ${language}`);
  return found[2];
}

/**
 * Makes an authority for certificates in this folder.
 *
 * @returns {Promise<string>}  the path of its own, without its ending
 */
export async function authority(folder) {
  const path = join(folder, 'authority');
  await openssl(['req', '-x509', ...NEW_KEY, '-days', '2', '-subj', '/CN=heliostat tests', '-keyout', `${path}.key`, '-out', `${path}.crt`]);
  return path;
}

/**
 * Has the authority make a certificate in this folder: for an address or a name, valid until then, as `YYYYMMDDHHMMSSZ`.
 *
 * @returns {Promise<string>}  its path without `.crt`; beside it are its key, and both together as `.pem`
 */
export async function certificate(by, folder, { subject = `IP:${HOST}`, until = '20990101000000Z', name = 'certificate' } = {}) {
  const path = join(folder, name);
  // A list of its own: two at once would write over each other's.
  await writeFile(`${path}.cnf`, `
    [ca]
    default_ca = own
    [own]
    database = ${path}.txt
    new_certs_dir = ${folder}
    rand_serial = yes
    default_md = sha256
    policy = names
    copy_extensions = copy
    [names]
    commonName = supplied`);
  await writeFile(`${path}.txt`, '');
  await openssl(['req', '-new', ...NEW_KEY, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${subject}`, '-keyout', `${path}.key`, '-out', `${path}.csr`]);
  await openssl([
    'ca', '-batch', '-notext', '-config', `${path}.cnf`, '-cert', `${by}.crt`, '-keyfile', `${by}.key`,
    '-startdate', '20200101000000Z', '-enddate', until, '-in', `${path}.csr`, '-out', `${path}.crt`,
  ]);
  await writeFile(`${path}.pem`, await readFile(`${path}.crt`, 'utf8') + await readFile(`${path}.key`, 'utf8'));
  return path;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

const openssl = (args) => promisify(execFile)('openssl', args);

/** A port that nobody has at this moment: none of the proxies tells which one it took. */
export async function freePort() {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Knocks until somebody opens. */
async function listening(port, child, log) {
  const deadline = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const socket = connect(port, HOST);
    const open = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (open) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${child.spawnfile} ended at its start\n${log()}`);
    if (performance.now() > deadline) throw new Error(`${child.spawnfile} does not listen\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
