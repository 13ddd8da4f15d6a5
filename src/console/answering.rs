//! Answers what the consoles of other nodes ask of this one. They have let in whoever asks them; each asks of one node what is
//! that node's alone.

use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tracing::info;

use super::Console;
use super::answer::ConsoleError;
use super::elsewhere::{self, NodeRequest};
use super::everywhere::{AskedOfApp, OVERVIEW, STATE};
use super::pauses::PAUSES;
use super::payloads::PAYLOADS;
use crate::auth::request::Query;
use crate::channel::NodeId;
use crate::cluster::questions::{ANSWER_BYTES, MOST_TO_ANSWER, NodeAnswer, PutQuestion};

/// Questions that are answered at once. Further ones wait.
const ANSWERED_AT_ONCE: usize = 8;

impl Console {
    /// Answers what the consoles of other nodes ask, until it is dropped, and asks them what an operator has said there.
    pub(crate) async fn answer_nodes(self: Arc<Self>) {
        let Some(cluster) = self.others.cluster() else { return };
        let (put, mut questions) = mpsc::channel(MOST_TO_ANSWER);
        cluster.answer_by(put);
        let room = Arc::new(Semaphore::new(ANSWERED_AT_ONCE));
        let answering = async {
            while let Some(question) = questions.recv().await {
                // It is never closed.
                let turn = Arc::clone(&room).acquire_owned().await;
                let console = Arc::clone(&self);
                actix_web::rt::spawn(async move {
                    console.answer_node(question).await;
                    drop(turn);
                });
            }
        };
        // What is said while this node does not hear it, it asks for.
        tokio::join!(self.learn_pauses(), answering);
    }

    async fn answer_node(&self, question: PutQuestion) {
        let PutQuestion { from, asked, reply } = question;
        let told = match serde_json::from_slice(&asked) {
            Ok(request) => self.carry_out_for(from, &request).await,
            Err(error) => Err(ConsoleError::parameter("a question", "a request", error)),
        };
        let mut answer = elsewhere::written(&told);
        if answer.len() > ANSWER_BYTES {
            let status = StatusCode::INSUFFICIENT_STORAGE;
            let sentence = format!("its answer has more than {ANSWER_BYTES} bytes");
            answer = elsewhere::written(&Err(ConsoleError::Refused(status, sentence)));
        }
        reply.answer(NodeAnswer::Told(answer.into()));
    }

    /// What another node's console asks of this node.
    async fn carry_out_for(&self, node: NodeId, request: &NodeRequest) -> Result<Value, ConsoleError> {
        let NodeRequest { app, path, query, body } = request;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (app, path.as_slice(), body) {
            (None, [OVERVIEW], None) => return self.own_overview(&Query::parse(query)),
            (None, [STATE], None) => return Ok(self.own_state()),
            (None, [PAUSES], None) => return Ok(self.pauses_for(node, query)),
            (None, [PAYLOADS, seq, from], None) => return self.payload_part(seq, from),
            _ => {}
        }
        let app = self.app(app.as_deref().unwrap_or_default())?;
        let asked = AskedOfApp { app: &app, path: &path, query };
        let told = match body {
            None => self.of_this_node(&asked).await?,
            Some(body) => {
                info!(%node, app = app.id(), path = path.join("/"), "asked by the console of another node");
                self.act_on_this_node(&asked, body).await?
            }
        };
        told.ok_or_else(|| ConsoleError::NotFound(path.join("/")))
    }
}
