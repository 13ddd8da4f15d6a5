//! The settings of development mode's conveniences: `[development]`.

use std::path::PathBuf;

use crate::auth::EncryptionMasterKey;

/// `[development]`: conveniences for trying the broker out. They give anyone who can reach the broker the
/// rights of the first app's backend, so they are off by default; development mode turns them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevelopmentConfig {
    /// Serves the example pages at `/`, with the first app's credentials filled in.
    pub pages: bool,
    /// Serves `/dev/auth`, `/dev/user-auth` and `/dev/config.json`: they sign whatever they are asked to.
    pub auth_endpoints: bool,
    /// What `/dev/auth` derives the keys of encrypted channels from; `None` derives it from the first app's secret.
    pub encryption_master_key: Option<EncryptionMasterKey>,
    /// A `pusher.min.js` to serve to the example pages, in place of one found in `node_modules` or on the CDN.
    pub pusher_js: Option<PathBuf>,
}
