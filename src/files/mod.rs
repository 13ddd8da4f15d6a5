//! Files of whoever runs the broker: no more of one is read than anybody writes, and one is replaced whole or not at all.
//!
//! It does not know what is in them.

mod read;
mod replace;
mod turn;

pub(crate) use read::{NotRead, read_bounded, read_whole};
pub(crate) use replace::{OWNER_ONLY, beside, folder_of, replace, sync_folder, write_new};
pub(crate) use turn::turn_in;
