//! What is asked of all nodes: lists of what they have, the one that has a connection, and the end of that.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Console;
use super::answer::ConsoleError;
use super::channels::blocking;
use super::elsewhere::{HeardNodes, NodeRequest, SilentNode, unheard};
use super::list::{ListRequest, given};
use super::merged::{ListOf, MergedPage, NodePage, NodeTag, merge};
use crate::auth::request::Query;
use crate::hub::AppState;

/// What the console of a node is asked of an app: the path below it, and the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedOfApp<'a> {
    pub(super) app: &'a Arc<AppState>,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a str,
}

impl AskedOfApp<'_> {
    /// The same for another node.
    fn elsewhere(&self) -> NodeRequest {
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
                None => heard.silent.push(SilentNode::new(node, "its answer cannot be read")),
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

    /// What this node tells of itself, and what all do, this one first. Who refuses is silent.
    async fn of_all(&self, asked: &AskedOfApp<'_>) -> Result<(Value, HeardNodes), ConsoleError> {
        let request = asked.elsewhere();
        let (own, mut heard) = tokio::join!(self.of_this_node(asked), self.others.ask_all(&request));
        let own = own?.unwrap_or_default();
        heard.told.insert(0, (self.tag(), own.clone()));
        let refused = std::mem::take(&mut heard.refused).into_iter();
        heard.silent.extend(refused.map(|(node, why)| SilentNode::new(node, &why.to_string())));
        Ok((own, heard))
    }

    /// What only one node has: this one, or another one.
    pub(super) async fn wherever_it_is(&self, asked: &AskedOfApp<'_>) -> Result<Value, ConsoleError> {
        let nothing = match self.of_this_node(asked).await {
            Ok(told) => return Ok(self.tag().put_on(told.unwrap_or_default())),
            Err(nothing @ ConsoleError::Nothing { .. }) => nothing,
            Err(other) => return Err(other),
        };
        self.elsewhere(&asked.elsewhere(), nothing).await
    }

    /// Does what is to be done to something that only one node has, there.
    pub(super) async fn act_wherever_it_is(
        &self,
        asked: &AskedOfApp<'_>,
        body: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let nothing = match self.act_on_this_node(asked, body).await {
            Ok(told) => return Ok(self.tag().put_on(told.unwrap_or_default())),
            Err(nothing @ ConsoleError::Nothing { .. }) => nothing,
            Err(other) => return Err(other),
        };
        let request = NodeRequest { body: Some(body.clone()), ..asked.elsewhere() };
        self.elsewhere(&request, nothing).await
    }

    /// What another node has that this one has not. Where not all have answered, nobody can say that it is nowhere.
    async fn elsewhere(&self, request: &NodeRequest, nothing: ConsoleError) -> Result<Value, ConsoleError> {
        let mut heard = self.others.ask_until_told(request).await;
        if let Some((node, told)) = heard.told.pop() {
            return Ok(node.put_on(told));
        }
        Err(unheard(&heard.silent).unwrap_or(nothing))
    }

    /// This node.
    pub(super) fn tag(&self) -> NodeTag {
        NodeTag { id: self.node(), name: self.others.own_name() }
    }
}

impl NodeTag {
    /// Has what is told say of which node it is.
    pub(super) fn put_on(&self, told: Value) -> Value {
        let Value::Object(mut told) = told else { return told };
        told.insert("node".to_owned(), self.id.clone().into());
        told.insert("node_name".to_owned(), self.name.clone().into());
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
    let all: u64 = found.iter().map(|(_, item)| connections(item)).sum();
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
