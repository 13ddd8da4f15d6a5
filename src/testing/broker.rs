//! The broker of a test, on threads of its own.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::config::Config;
use crate::pipe::Pipe;
use crate::server::{Server, StartError};

/// A running broker. Dropping it closes its connections with 4200 and waits until it has stopped.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// A broker that is to have pipes.
pub struct BrokerBuilder {
    server: Server,
}

impl Broker {
    /// Starts a broker. Whatever port the configuration names, it takes a free one.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Broker::builder(config).start()
    }

    /// A broker that is to have pipes.
    #[must_use]
    pub fn builder(mut config: Config) -> BrokerBuilder {
        config.server.port = 0;
        BrokerBuilder { server: Server::new(config) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl BrokerBuilder {
    /// Adds a pipe to the app with this id.
    #[must_use]
    pub fn pipe(mut self, app_id: impl Into<String>, pipe: impl Pipe) -> Self {
        self.server = self.server.pipe(app_id, pipe);
        self
    }

    /// Starts it. Connections are accepted as soon as this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(self) -> Result<Broker, StartError> {
        let bound = self.server.bind()?;
        let address = bound.address();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(bound.run(async {
                // A dropped sender means the same as a sent word.
                let _ = stopped.await;
            }))
        });
        Ok(Broker { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic in the broker's thread has been printed; a second one here would hide it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
