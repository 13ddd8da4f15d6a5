//! The engine over a real `redis-server`, which the tests start themselves.

mod engine;
mod hostile;
mod process;
mod refusals;

use engine::OneRedis;

crate::cluster::contract::contract!(OneRedis);
