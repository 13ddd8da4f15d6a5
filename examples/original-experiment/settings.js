// Where the broker is, and which app this is: those of heliostat's development mode unless the environment says otherwise.

const { PIPE_HOST = '127.0.0.1', PIPE_PORT = '6001', PIPE_APP_ID = '1001', PIPE_KEY = 'app-key' } = process.env;

export const broker = { host: PIPE_HOST, port: Number(PIPE_PORT) };
export const app = { id: PIPE_APP_ID, key: PIPE_KEY, secret: process.env.PIPE_SECRET ?? 'app-secret' };
/** Where the two pages are served; 0 takes any free port. */
export const pagesPort = Number(process.env.PAGES_PORT ?? 9000);
