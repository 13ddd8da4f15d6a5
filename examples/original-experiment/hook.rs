//! The same backend as a hook in Rust: a program that embeds the broker, hears each camera frame, and stamps it with a
//! number and the time before it goes on to the mirror.
//!
//!     cargo run --example mirror-hook

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use heliostat::pipe::{Context, Data, Failure, OwnedMessage, Pipe, PipeSettings, WhenFull};
use heliostat::{Config, Server};
use serde_json::{Value, json};

/// Forwards what it hears, stamped.
#[derive(Default)]
struct Mirror(AtomicU64);

impl Pipe for Mirror {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        channel == Some("stream") && event == "frame"
    }

    fn settings(&self) -> PipeSettings {
        PipeSettings { when_full: WhenFull::KeepLatest, ..PipeSettings::default() }
    }

    async fn hear(&self, message: OwnedMessage, context: Context<'static>) -> Result<(), Failure> {
        let mut frame: Value = message.json()?;
        let stamp = frame.as_object_mut().ok_or("a frame is an object with a dataUrl")?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        stamp.insert(
            "message".to_owned(),
            json!(format!("Frame {}", self.0.fetch_add(1, Ordering::Relaxed) + 1)),
        );
        stamp.insert("stampedAt".to_owned(), json!(u64::try_from(at)?));
        context.trigger(&context.channel("mirror")?, "frame", &Data::of_text(&frame.to_string()));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::development();
    config.server.port = std::env::var("PORT").map_or(Ok(config.server.port), |port| port.parse())?;
    config.apps[0].pipe.clear();
    let bound = Server::new(config).pipe("1001", Mirror::default()).bind()?;
    println!("heliostat listening on {}", bound.url());
    Ok(actix_web::rt::System::new().block_on(bound.run(std::future::pending()))?)
}
