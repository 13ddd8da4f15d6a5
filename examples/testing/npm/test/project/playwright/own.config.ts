// No global setup: a broker for each worker, or that of the environment.

export { common as default } from './common';
