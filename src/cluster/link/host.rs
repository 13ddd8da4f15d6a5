//! Hosts the engine of this process to one other process.

use std::io;

use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::adapter::{Adapter, EngineError, Link};
use super::super::inbox::{Words, inbox};
use super::super::local::{LocalAdapter, LocalEngine};
use super::stream::{read_message, write_message};
use super::words::{EngineAnswer, EngineAsk, LinkReply, LinkRequest};

/// Answers that wait for the other process to read. While so many do, nothing more is asked of the engine for it.
const MOST_ANSWERS: usize = 1024;

/// Serves the engine to whoever is at the other end, until that goes or says what cannot be understood. What others say waits for
/// it in an inbox of so many words and bytes; what does not fit is dropped there.
///
/// # Errors
/// Why it has ended, if the other end has not closed it.
pub(crate) async fn serve(
    engine: &LocalEngine,
    stream: UnixStream,
    (max_words, max_bytes): (usize, usize),
) -> io::Result<()> {
    let (heard, words) = inbox(max_words, max_bytes);
    let adapter = engine.join(heard);
    let (from, to) = stream.into_split();
    let (answers, answered) = mpsc::channel(MOST_ANSWERS);
    let link = adapter.link();
    tokio::select! {
        read = hear(adapter, BufReader::new(from), answers) => read,
        written = say(BufWriter::new(to), link, words, answered) => written,
    }
}

async fn hear(
    adapter: LocalAdapter,
    mut from: BufReader<tokio::net::unix::OwnedReadHalf>,
    answers: mpsc::Sender<LinkReply>,
) -> io::Result<()> {
    while let Some(message) = read_message(&mut from).await? {
        let request = LinkRequest::decode(&message)
            .map_err(|_| io::Error::other("the other process says what cannot be understood"))?;
        let LinkRequest { number, asked } = request;
        let answer = carry_out(&adapter, asked).await;
        if number > 0 && answers.send(LinkReply::Answer { number, answer }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Does what is asked. The engine is this process's own, so it does so at once.
async fn carry_out(adapter: &LocalAdapter, asked: EngineAsk) -> EngineAnswer {
    let (ticket, done) = oneshot::channel();
    match asked {
        EngineAsk::Publish { subject, bytes } => {
            if adapter.publish(&subject, bytes, Some(ticket.into())).is_err() {
                return EngineAnswer::Failed(EngineError::Away);
            }
        }
        EngineAsk::Remember { subject, bytes, expiry } => {
            if adapter.publish_and_remember(&subject, bytes, expiry, Some(ticket.into())).is_err() {
                return EngineAnswer::Failed(EngineError::Away);
            }
        }
        EngineAsk::Subscribe { subject } => adapter.subscribe(&subject, Some(ticket.into())),
        EngineAsk::Unsubscribe { subject } => {
            adapter.unsubscribe(&subject);
            return EngineAnswer::Done;
        }
        EngineAsk::Recall { subject } => {
            return adapter.recall(&subject).await.map_or_else(EngineAnswer::Failed, EngineAnswer::Recalled);
        }
        EngineAsk::Restore { subject, bytes, expiry, over } => {
            let restored = adapter.restore(&subject, bytes, expiry, over).await;
            return restored.map_or_else(EngineAnswer::Failed, |is_done| EngineAnswer::Restored { is_done });
        }
        EngineAsk::NoteMiss { subject, expiry } => {
            let noted = adapter.note_miss(&subject, expiry).await;
            return noted.map_or_else(EngineAnswer::Failed, |is_first| EngineAnswer::Missed { is_first });
        }
    }
    match done.await {
        Ok(Ok(())) => EngineAnswer::Done,
        Ok(Err(error)) => EngineAnswer::Failed(error),
        Err(_) => EngineAnswer::Failed(EngineError::Away),
    }
}

/// Says what there is to say. What was handed out before something was answered is said before the answer.
async fn say(
    mut to: BufWriter<tokio::net::unix::OwnedWriteHalf>,
    mut link: watch::Receiver<Link>,
    mut words: Words,
    mut answers: mpsc::Receiver<LinkReply>,
) -> io::Result<()> {
    let first = reply_of(&link.borrow_and_update());
    write_message(&mut to, &first.encode()).await?;
    loop {
        to.flush().await?;
        let last = tokio::select! {
            Some(word) = words.next() => LinkReply::of(word),
            Some(answer) = answers.recv() => answer,
            Ok(()) = link.changed() => reply_of(&link.borrow_and_update()),
            else => return Ok(()),
        };
        // Of words there may be many.
        let mut is_word = matches!(last, LinkReply::Word { .. });
        if !is_word {
            while let Some(word) = words.try_next() {
                write_message(&mut to, &LinkReply::of(word).encode()).await?;
            }
        }
        write_message(&mut to, &last.encode()).await?;
        while is_word {
            match words.try_next() {
                Some(word) => write_message(&mut to, &LinkReply::of(word).encode()).await?,
                None => is_word = false,
            }
        }
    }
}

fn reply_of(link: &Link) -> LinkReply {
    match link {
        Link::Up { engine, .. } => LinkReply::Engine(engine.0.to_string()),
        Link::Away { reason, .. } => LinkReply::Away(reason.to_string()),
    }
}
