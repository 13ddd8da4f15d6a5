//! Looks at the files of the certificates from time to time. What they hold counts, wherever their paths lead at the
//! moment: Kubernetes and certbot put new links in place of old ones, others write into the file.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::certificates::Certificates;

/// How often the files are looked at. A new certificate counts when two looks have found the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// How often it is said that a certificate expires.
const WARNING_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes new certificates from their files, for ever.
pub(crate) async fn watch(certificates: Arc<Certificates>) {
    let mut warned = Instant::now();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let looking = Arc::clone(&certificates);
        let warn = warned.elapsed() >= WARNING_INTERVAL;
        if warn {
            warned = Instant::now();
        }
        // On a thread of its own: a disk may take its time.
        let looked = tokio::task::spawn_blocking(move || {
            looking.look();
            if warn {
                looking.warn_of_expiry(SystemTime::now());
            }
        });
        if looked.await.is_err() {
            return;
        }
    }
}
