//! The engine over real servers, which the tests start themselves.

mod engine;
mod hostile;
mod member;
mod process;
mod ready;
mod refusals;
mod sentinels;
mod shards;
mod strain;
mod streams;
mod tls;
mod trouble;

use engine::OneRedis;

crate::cluster::contract::contract!(OneRedis);
