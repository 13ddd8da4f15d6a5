//! What the consoles of the other nodes tell. Each is asked over the cluster's bus, and answers of its own node alone; those
//! that do not answer are named.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::answer::ConsoleError;
use super::merged::NodeTag;
use crate::channel::NodeId;
use crate::cluster::ClusterView;
use crate::cluster::questions::{AskedNodes, NodeAnswer};

/// How long the other nodes have to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// How long one has that is to do something by itself: a webhook that it sends takes as long as its endpoint may.
const DONE_WITHIN: Duration = Duration::from_secs(15);

/// Why a node has told nothing whose answer is none.
pub(super) const UNREADABLE: &str = "its answer cannot be read";

/// Requests to the console that ask other nodes at once. Further ones wait.
const ASKED_AT_ONCE: usize = 8;

/// What a node is asked by the console of another one: a request to its console, of which it answers what is its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeRequest {
    /// The app that it is about, if it is about one.
    pub(super) app: Option<String>,
    pub(super) path: Vec<String>,
    pub(super) query: String,
    /// Where something is to be done.
    pub(super) body: Option<Map<String, Value>>,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NodeReply {
    status: u16,
    body: Value,
}

/// What the other nodes have told.
#[derive(Debug, Default)]
pub(super) struct HeardNodes {
    pub(super) told: Vec<(NodeTag, Value)>,
    /// How long each of these took, in the same order.
    pub(super) took: Vec<Duration>,
    /// What speaks against it where it was refused.
    pub(super) refused: Vec<(NodeTag, ConsoleError)>,
    pub(super) silent: Vec<SilentNode>,
}

/// A node that has told nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SilentNode {
    /// `None` if it is not known which one it is.
    node: Option<NodeTag>,
    why: String,
}

impl HeardNodes {
    /// Who refuses tells nothing.
    pub(super) fn without_refusals(mut self) -> Self {
        let refused = std::mem::take(&mut self.refused).into_iter();
        self.silent.extend(refused.map(|(node, why)| SilentNode::new(node, &why.to_string())));
        self
    }
}

impl SilentNode {
    pub(super) fn new(node: NodeTag, why: &str) -> Self {
        SilentNode { node: Some(node), why: why.to_owned() }
    }

    /// The id of the node, if it is known which one it is.
    pub(super) fn id(&self) -> Option<&str> {
        self.node.as_ref().map(|node| node.id.as_str())
    }

    pub(super) fn to_json(&self) -> Value {
        let (id, name) = self.node.as_ref().map(|node| (&node.id, &node.name)).unzip();
        json!({ "node": id, "name": name, "why": self.why })
    }
}

impl fmt::Display for SilentNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node {}: {}", node.name, self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// The other nodes, where this one is one of several.
pub(super) struct OtherNodes {
    cluster: Option<Arc<dyn ClusterView>>,
    /// What this node is called; empty where it is alone.
    own_name: String,
    under_way: Semaphore,
}

impl OtherNodes {
    pub(super) fn new(cluster: Option<Arc<dyn ClusterView>>) -> Self {
        let own_name = cluster.as_ref().map(|cluster| cluster.status().name.to_string()).unwrap_or_default();
        OtherNodes { cluster, own_name, under_way: Semaphore::new(ASKED_AT_ONCE) }
    }

    /// The node among the others.
    pub(super) fn cluster(&self) -> Option<&Arc<dyn ClusterView>> {
        self.cluster.as_ref()
    }

    /// What this node is called; empty where it is alone.
    pub(super) fn own_name(&self) -> String {
        self.own_name.clone()
    }

    /// Asks all other nodes.
    pub(super) async fn ask_all(&self, request: &NodeRequest) -> HeardNodes {
        self.ask(None, request, false, ANSWERED_WITHIN).await
    }

    /// Asks all other nodes until one has told something.
    pub(super) async fn ask_until_told(&self, request: &NodeRequest) -> HeardNodes {
        self.ask(None, request, true, ANSWERED_WITHIN).await
    }

    /// Asks one other node.
    pub(super) async fn hear_one(&self, node: &str, request: &NodeRequest) -> HeardNodes {
        match NodeId::parse(node) {
            Some(id) => self.ask(Some(id), request, true, ANSWERED_WITHIN).await,
            None => HeardNodes::default(),
        }
    }

    /// What one node tells.
    ///
    /// # Errors
    /// If it refuses, or does not answer.
    pub(super) async fn ask_one(&self, node: &str, request: &NodeRequest) -> Result<Value, ConsoleError> {
        let nothing = || ConsoleError::Nothing { what: "node", name: node.to_owned() };
        let id = NodeId::parse(node).ok_or_else(nothing)?;
        let within = if request.body.is_some() { DONE_WITHIN } else { ANSWERED_WITHIN };
        let mut heard = self.ask(Some(id), request, true, within).await;
        if let Some((_, told)) = heard.told.pop() {
            return Ok(told);
        }
        let refused = heard.refused.pop().map(|(_, refused)| refused);
        Err(refused.or_else(|| unheard(&heard.silent)).unwrap_or_else(nothing))
    }

    async fn ask(
        &self,
        of: Option<NodeId>,
        request: &NodeRequest,
        is_one_enough: bool,
        within: Duration,
    ) -> HeardNodes {
        let mut heard = HeardNodes::default();
        let Some(cluster) = &self.cluster else { return heard };
        let Ok(question) = serde_json::to_vec(request) else { return heard };
        // It is never closed.
        let _turn = self.under_way.acquire().await;
        let asked = cluster.ask(of, &Bytes::from(question));
        hear(asked, within, is_one_enough, &mut heard).await;
        if request.body.is_some() {
            heard
                .silent
                .iter_mut()
                .for_each(|node| node.why.push_str("; whether it has done it is not known"));
        }
        heard
    }
}

/// Hears what nodes answer, until all have, or it takes too long, or one has told what is enough.
async fn hear(asked: AskedNodes, within: Duration, is_one_enough: bool, heard: &mut HeardNodes) {
    let AskedNodes { nodes, mut answers, unknown } = asked;
    let began = Instant::now();
    let tag = |(id, name): (NodeId, Arc<str>)| (id, NodeTag { id: id.to_string(), name: name.to_string() });
    let mut left: BTreeMap<NodeId, NodeTag> = nodes.into_iter().map(tag).collect();
    heard.silent.extend(unknown.map(|why| SilentNode { node: None, why: why.to_owned() }));
    while !left.is_empty() {
        let why = match next(&mut answers, (began + within, within)).await {
            Ok((node, answer)) => {
                let Some(node) = left.remove(&node) else { continue };
                match read(answer) {
                    Ok(Ok(told)) => {
                        heard.told.push((node, told));
                        heard.took.push(began.elapsed());
                        if is_one_enough {
                            return;
                        }
                    }
                    Ok(Err(refused)) => heard.refused.push((node, refused)),
                    Err(why) => heard.silent.push(SilentNode::new(node, why)),
                }
                continue;
            }
            Err(why) => why,
        };
        let silent = std::mem::take(&mut left).into_values().map(|node| SilentNode::new(node, &why));
        heard.silent.extend(silent);
    }
}

/// The next answer, or why there is none.
async fn next(
    answers: &mut mpsc::Receiver<(NodeId, NodeAnswer)>,
    (until, within): (Instant, Duration),
) -> Result<(NodeId, NodeAnswer), String> {
    match timeout_at(until, answers.recv()).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("it cannot be reached at present".to_owned()),
        Err(_) => Err(format!("it has not answered within {} s", within.as_secs())),
    }
}

/// What a node tells, or refuses; or why it has told nothing.
fn read(answer: NodeAnswer) -> Result<Result<Value, ConsoleError>, &'static str> {
    let told = match answer {
        NodeAnswer::Told(told) => told,
        NodeAnswer::Nobody => return Err("it has no admin listener"),
        NodeAnswer::Busy => return Err("it is asked too much at once"),
    };
    let reply = serde_json::from_slice(&told);
    let NodeReply { status, body } = reply.map_err(|_| UNREADABLE)?;
    let status = StatusCode::from_u16(status).map_err(|_| UNREADABLE)?;
    if status == StatusCode::OK {
        return Ok(Ok(body));
    }
    Ok(Err(if is_refusal(status) {
        ConsoleError::Refused(status, body.as_str().unwrap_or("it refuses").to_owned())
    } else {
        let got = status.as_u16();
        let sentence =
            format!("another node answered with the status {got}, which no console answers another one with");
        ConsoleError::Refused(StatusCode::BAD_GATEWAY, sentence)
    }))
}

/// Whether a console may refuse another one with it. What is passed on is the answer of this node: it must not say of the
/// connection, or of who asks, what is not so.
fn is_refusal(status: StatusCode) -> bool {
    const OF_WHO_ASKS: [StatusCode; 5] = [
        StatusCode::UNAUTHORIZED,
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::UPGRADE_REQUIRED,
    ];
    (status.is_client_error() || status.is_server_error()) && !OF_WHO_ASKS.contains(&status)
}

/// What a node answers, as bytes.
pub(super) fn written(told: &Result<Value, ConsoleError>) -> Vec<u8> {
    let reply = match told {
        Ok(body) => json!({ "status": 200, "body": body }),
        Err(refused) => json!({ "status": refused.status().as_u16(), "body": refused.to_string() }),
    };
    reply.to_string().into_bytes()
}

/// What is answered where it could only be found on nodes that have told nothing.
pub(super) fn unheard(silent: &[SilentNode]) -> Option<ConsoleError> {
    let told: Vec<String> = silent.iter().map(ToString::to_string).collect();
    let sentence = format!("not all nodes have answered: {}", told.join("; "));
    (!silent.is_empty()).then_some(ConsoleError::Refused(StatusCode::SERVICE_UNAVAILABLE, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of these nodes, which answer this.
    async fn heard_of(answers: &[(u128, &'static str)], is_one_enough: bool, keeps_open: bool) -> HeardNodes {
        let nodes = [(1, "a"), (2, "b"), (3, "c")].map(|(id, name)| (NodeId::new(id), name.into()));
        let (tell, told) = mpsc::channel(9);
        for (id, answer) in answers {
            let answer = NodeAnswer::Told(Bytes::from_static(answer.as_bytes()));
            tell.try_send((NodeId::new(*id), answer)).unwrap();
        }
        let open = keeps_open.then_some(tell);
        let (asked, mut heard) =
            (AskedNodes { nodes: nodes.into(), answers: told, unknown: None }, HeardNodes::default());
        // What is there is heard, however late it is.
        hear(asked, Duration::from_millis(20), is_one_enough, &mut heard).await;
        drop(open);
        heard
    }

    fn silent(heard: &HeardNodes) -> Vec<String> {
        heard.silent.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn who_has_told_nothing_is_named_with_why() {
        let refused = r#"{"status":404,"body":"there is no such thing"}"#;
        let heard = heard_of(&[(2, r#"{"status":200,"body":{"x":1}}"#), (1, refused)], false, true).await;
        let told: Vec<_> = heard.told.iter().map(|(node, told)| (node.name.as_str(), told)).collect();
        assert_eq!(told, [("b", &json!({ "x": 1 }))]);
        assert_eq!(heard.refused[0].1.to_string(), "there is no such thing");
        assert_eq!(silent(&heard), ["node c: it has not answered within 0 s"]);
        let unreachable = heard_of(&[], false, false).await;
        assert_eq!(silent(&unreachable).len(), 3);
        assert_eq!(silent(&unreachable)[0], "node a: it cannot be reached at present");
        let error = unheard(&unreachable.silent).unwrap();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.to_string().contains("node b: it cannot be reached at present"), "{error}");
    }

    #[tokio::test]
    async fn one_who_has_it_is_enough_and_nonsense_is_none() {
        let nonsense = ["", "{}", "[[[[", r#"{"status":99999,"body":0}"#, r#"{"status":7,"body":0}"#];
        for nonsense in nonsense {
            let heard = heard_of(&[(1, nonsense), (3, r#"{"status":200,"body":5}"#)], true, true).await;
            assert_eq!(heard.told.len(), 1, "{nonsense}");
            assert_eq!(silent(&heard), ["node a: its answer cannot be read"], "{nonsense}");
        }
        let nobody = NodeRequest { app: Some("1".to_owned()), ..NodeRequest::default() };
        let alone = OtherNodes::new(None);
        assert!(alone.ask_all(&nobody).await.silent.is_empty());
        assert!(alone.ask_one("nonsense", &nobody).await.is_err());
    }

    #[tokio::test]
    async fn a_status_that_no_console_answers_with_is_not_passed_on() {
        let refused = async |answer: &'static str| {
            let mut heard = heard_of(&[(1, answer)], true, false).await;
            assert!(heard.told.is_empty(), "{answer}");
            heard.refused.pop().unwrap().1
        };
        for odd in [
            r#"{"status":101,"body":{}}"#,
            r#"{"status":204,"body":null}"#,
            r#"{"status":302,"body":"http://elsewhere/"}"#,
            r#"{"status":401,"body":"who are you?"}"#,
            r#"{"status":426,"body":""}"#,
            r#"{"status":700,"body":""}"#,
        ] {
            let told = refused(odd).await;
            assert_eq!(told.status(), StatusCode::BAD_GATEWAY, "{odd}");
            assert!(told.to_string().starts_with("another node answered with the status "), "{told}");
        }
        assert_eq!(refused(r#"{"status":409,"body":"no"}"#).await.status(), StatusCode::CONFLICT);
    }

    #[test]
    fn a_request_is_read_as_it_was_written_and_so_is_an_answer() {
        let request =
            NodeRequest { path: vec!["a/b".to_owned()], query: "x=1".to_owned(), ..NodeRequest::default() };
        let written = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<NodeRequest>(&written).unwrap(), request);
        // What a later release says besides is passed over.
        assert!(serde_json::from_str::<NodeRequest>(r#"{"path":[],"query":"","more":1}"#).is_ok());
        let told = super::written(&Err(ConsoleError::NotFound("x".to_owned())));
        let refused = read(NodeAnswer::Told(told.into())).unwrap().unwrap_err();
        assert_eq!(
            (refused.status(), refused.to_string()),
            (StatusCode::NOT_FOUND, "x is no path of the console".to_owned())
        );
        assert_eq!(read(NodeAnswer::Busy), Err("it is asked too much at once"));
    }
}
