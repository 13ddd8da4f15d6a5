//! What is asked of all nodes: lists of what they have, the one that has a connection, and the end of that.

mod counts;
mod film;
mod overview;
mod pipe;
mod webhooks;

use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Console;
use super::answer::ConsoleError;
use super::asked::text;
use super::channels::blocking;
use super::elsewhere::{HeardNodes, NodeRequest, SilentNode, UNREADABLE, unheard};
use super::list::{ListRequest, given};
use super::merged::{ListOf, MergedPage, NodePage, NodeTag, merge};
use crate::auth::request::Query;
use crate::feed::exact_ms;
use crate::hub::AppState;

/// The path of the overview, of all apps or of one.
pub(super) const OVERVIEW: &str = "overview";

/// The path of what a node tells of itself as a whole.
pub(super) const STATE: &str = "state";

/// What the console of a node is asked of an app: the path below it, and the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedOfApp<'a> {
    pub(super) app: &'a Arc<AppState>,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a str,
}

impl AskedOfApp<'_> {
    /// The same for another node.
    pub(super) fn elsewhere(&self) -> NodeRequest {
        NodeRequest {
            app: Some(self.app.id().to_owned()),
            path: self.path.iter().map(|&part| part.to_owned()).collect(),
            query: self.query.to_owned(),
            body: None,
        }
    }
}

impl Console {
    /// A page of a list, of all nodes.
    pub(super) async fn list_everywhere(
        &self,
        asked: &AskedOfApp<'_>,
        of: ListOf,
    ) -> Result<Value, ConsoleError> {
        let query = Query::parse(asked.query);
        let most = ListRequest::read(&query)?.limit;
        let (_, mut heard) = self.of_all(asked).await?;
        let mut pages = Vec::new();
        for (node, told) in heard.told {
            match NodePage::read(node.clone(), told, of) {
                Some(page) => pages.push(page),
                None => heard.silent.push(SilentNode::new(node, UNREADABLE)),
            }
        }
        let MergedPage { groups, has_more, total } = merge(pages, most);
        let total = match of {
            ListOf::Connections => total,
            ListOf::Users => {
                let (app, prefix) = (Arc::clone(asked.app), given(&query, "prefix").unwrap_or_default());
                blocking(move || app.users_everywhere(&prefix) as u64).await?
            }
        };
        let next = groups.last().filter(|_| has_more).map(|(key, _)| key.to_string());
        let items: Vec<Value> = groups.into_iter().flat_map(|(_, found)| of.items(found)).collect();
        Ok(json!({
            "items": items,
            "next": next,
            "total": total,
            "node": self.node(),
            "scope": "cluster",
            "silent": told_silent(&heard.silent),
        }))
    }

    /// A user, with the connections of all nodes.
    pub(super) async fn user_everywhere(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let (mut shown, heard) = self.of_all(asked).await?;
        let mut connections = Vec::new();
        for (node, told) in &heard.told {
            let sockets = told["connections"].as_array().into_iter().flatten();
            connections.extend(
                sockets.map(|socket| json!({ "socket_id": socket, "node": node.id, "node_name": node.name })),
            );
        }
        shown["connections"] = connections.into();
        shown["silent"] = told_silent(&heard.silent).into();
        Ok(shown)
    }

    /// The endpoints of an app, with the latest attempts of all nodes.
    pub(super) async fn webhooks_everywhere(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let (_, heard) = self.of_all(asked).await?;
        Ok(self.shown_of_all(json!({ "endpoints": webhooks::endpoints(&heard.told) }), &heard.silent))
    }

    /// The pipe of an app, with what it has done on all nodes.
    pub(super) async fn pipe_everywhere(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let (_, heard) = self.of_all(asked).await?;
        Ok(self.shown_of_all(pipe::pipe(&heard.told), &heard.silent))
    }

    /// A video channel, with the tracks and viewers of all nodes.
    pub(super) async fn video_everywhere(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let (_, heard) = self.of_all(asked).await?;
        Ok(self.shown_of_all(film::film(&heard.told), &heard.silent))
    }

    /// Who came back last, on all nodes.
    pub(super) async fn recoveries_everywhere(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let most = ListRequest::read(&Query::parse(asked.query))?.limit;
        let (_, heard) = self.of_all(asked).await?;
        let items = film::recoveries(&heard.told, most);
        Ok(self.shown_of_all(json!({ "items": items }), &heard.silent))
    }

    /// The overview of all nodes.
    pub(super) async fn overview_everywhere(&self, query: &str) -> Result<Value, ConsoleError> {
        let own = self.own_overview(&Query::parse(query))?;
        let request = NodeRequest {
            path: vec![OVERVIEW.to_owned()],
            query: query.to_owned(),
            ..NodeRequest::default()
        };
        let mut heard = self.others.ask_all(&request).await.without_refusals();
        let all = std::iter::once((self.tag(), own)).chain(std::mem::take(&mut heard.told));
        let (shown, unread) = overview::overview(all.collect());
        heard.silent.extend(unread.into_iter().map(|node| SilentNode::new(node, UNREADABLE)));
        Ok(self.shown_of_all(shown, &heard.silent))
    }

    /// The nodes of the cluster, with what each tells of itself and how long it took to; none where this node is alone.
    pub(super) async fn nodes_everywhere(&self) -> Value {
        let mut report = self.readiness.nodes().unwrap_or_else(|| json!({ "nodes": [] }));
        let request = NodeRequest { path: vec![STATE.to_owned()], ..NodeRequest::default() };
        let heard = self.others.ask_all(&request).await.without_refusals();
        let took = heard.took.iter().map(|took| Some(exact_ms(*took)));
        let told = heard.told.iter().map(|(node, told)| (node.id.as_str(), told)).zip(took);
        let (own_id, own) = (self.node(), self.own_state());
        for ((id, told), took) in std::iter::once(((own_id.as_str(), &own), None)).chain(told) {
            let nodes = report["nodes"].as_array_mut().into_iter().flatten();
            for node in nodes.filter(|node| node["id"] == id) {
                node["answered_ms"] = took.into();
                for name in ["connections", "uptime_ms", "ready", "reason"] {
                    node[name] = told[name].clone();
                }
            }
        }
        report["self"] = own_id.into();
        report["silent"] = told_silent(&heard.silent).into();
        report
    }

    /// What is shown of all nodes, with those that have told nothing.
    pub(super) fn shown_of_all(&self, mut shown: Value, silent: &[SilentNode]) -> Value {
        shown["node"] = self.node().into();
        shown["scope"] = "cluster".into();
        shown["silent"] = told_silent(silent).into();
        shown
    }

    /// What the node has that `node` of the query names; without it, this one.
    pub(super) async fn of_named_node(&self, asked: &AskedOfApp<'_>) -> Result<Option<Value>, ConsoleError> {
        match given(&Query::parse(asked.query), "node").filter(|node| *node != self.node()) {
            None => self.of_this_node(asked).await,
            Some(node) => self.others.ask_one(&node, &asked.elsewhere()).await.map(Some),
        }
    }

    /// Does something on the node that `node` of the body names; without it, on this one.
    pub(super) async fn act_on_named_node(
        &self,
        asked: &AskedOfApp<'_>,
        body: &Map<String, Value>,
    ) -> Result<Option<Value>, ConsoleError> {
        match text(body, "node")?.filter(|node| *node != self.node()) {
            None => self.act_on_this_node(asked, body).await,
            Some(node) => {
                let request = NodeRequest { body: Some(body.clone()), ..asked.elsewhere() };
                self.others.ask_one(node, &request).await.map(Some)
            }
        }
    }

    /// What this node tells of itself, and what all do, this one first. Who refuses is silent; where this one refuses, the others are
    /// not waited for, nor asked if that is seen at once.
    async fn of_all(&self, asked: &AskedOfApp<'_>) -> Result<(Value, HeardNodes), ConsoleError> {
        let request = asked.elsewhere();
        let others = async { Ok(self.others.ask_all(&request).await) };
        let (own, heard) = tokio::try_join!(biased; self.of_this_node(asked), others)?;
        let (own, mut heard) = (own.unwrap_or_default(), heard.without_refusals());
        heard.told.insert(0, (self.tag(), own.clone()));
        Ok((own, heard))
    }

    /// What only one node has: this one, or another one.
    pub(super) async fn wherever_it_is(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let nothing = match self.of_this_node(asked).await {
            Ok(told) => return Ok(self.tag().put_on(told.unwrap_or_default())),
            Err(nothing @ ConsoleError::Nothing { .. }) => nothing,
            Err(other) => return Err(other),
        };
        let (node, told) = self.elsewhere(&asked.elsewhere(), nothing).await?;
        Ok(node.put_on(told))
    }

    /// Does what is to be done to something that only one node has, there.
    pub(super) async fn act_wherever_it_is(
        &self,
        asked: &AskedOfApp<'_>,
        body: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let nothing = match self.act_on_this_node(asked, body).await {
            Ok(told) => return Ok(told.unwrap_or_default()),
            Err(nothing @ ConsoleError::Nothing { .. }) => nothing,
            Err(other) => return Err(other),
        };
        let request = NodeRequest { body: Some(body.clone()), ..asked.elsewhere() };
        self.elsewhere(&request, nothing).await.map(|(_, told)| told)
    }

    /// What another node has that this one has not. Where not all have answered, nobody can say that it is nowhere.
    async fn elsewhere(
        &self,
        request: &NodeRequest,
        nothing: ConsoleError,
    ) -> Result<(NodeTag, Value), ConsoleError> {
        let mut heard = self.others.ask_until_told(request).await;
        // Those that have looked say that it is not there.
        heard.refused.retain(|(_, why)| why.status() != StatusCode::NOT_FOUND);
        let mut heard = heard.without_refusals();
        heard.told.pop().ok_or_else(|| unheard(&heard.silent).unwrap_or(nothing))
    }

    /// This node.
    pub(super) fn tag(&self) -> NodeTag {
        NodeTag { id: self.node(), name: self.others.own_name() }
    }
}

impl NodeTag {
    /// Has what is told, if it is something, say of which node it is.
    pub(super) fn put_on(&self, told: Value) -> Value {
        let Value::Object(mut told) = told else { return told };
        told.insert("node".to_owned(), self.id.clone().into());
        // Where there is but one, it needs none.
        if !self.name.is_empty() {
            told.insert("node_name".to_owned(), self.name.clone().into());
        }
        Value::Object(told)
    }
}

impl ListOf {
    /// What nodes have told under one key, as it is shown.
    fn items(self, found: Vec<(NodeTag, Value)>) -> Vec<Value> {
        match self {
            ListOf::Connections => found.into_iter().map(|(node, item)| node.put_on(item)).collect(),
            ListOf::Users => user(found).into_iter().collect(),
        }
    }
}

/// A user, with the connections of all nodes.
fn user(found: Vec<(NodeTag, Value)>) -> Option<Value> {
    let connections = |item: &Value| item["connections"].as_u64().unwrap_or_default();
    let all = found.iter().map(|(_, item)| connections(item)).fold(0, u64::saturating_add);
    let nodes: Vec<Value> = found
        .iter()
        .map(|(node, item)| json!({ "node": node.id, "node_name": node.name, "connections": connections(item) }))
        .collect();
    let id = found.first()?.1["user_id"].clone();
    Some(json!({ "user_id": id, "connections": all, "nodes": nodes }))
}

/// The nodes that have told nothing.
pub(super) fn told_silent(silent: &[SilentNode]) -> Vec<Value> {
    silent.iter().map(SilentNode::to_json).collect()
}
