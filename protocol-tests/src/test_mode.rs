//! A broker in test mode and its control API. Every answer is judged by the document that the broker serves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::http::Connection;
use crate::{Broker, Credentials, Target, schema, skipped};

/// A broker that the test started with `serve --test`.
#[derive(Debug)]
pub struct TestMode {
    /// What it printed when it was ready.
    pub ready: Value,
    broker: Arc<Broker>,
    document: Value,
    /// Operations and the statuses they were answered with.
    seen: Mutex<BTreeSet<String>>,
}

/// One app of a broker in test mode.
#[derive(Debug)]
pub struct TestApp<'m> {
    /// The app, as clients and backends see it.
    pub target: Target,
    mode: &'m TestMode,
}

impl TestMode {
    /// Starts a broker in test mode. `None`, after saying that the test is skipped, when the suite is aimed at an
    /// external server.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Option<TestMode> {
        TestMode::start_with(arguments, &[])
    }

    /// The same, with this environment.
    #[must_use]
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Option<TestMode> {
        if skipped("it needs a broker in test mode") {
            return None;
        }
        let arguments: Vec<&str> = ["serve", "--test"].iter().chain(arguments).copied().collect();
        let broker = Arc::new(Broker::start_with(None, &arguments, environment));
        let ready: Value = serde_json::from_str(broker.ready_line()).expect("a line of JSON");
        let mut mode = TestMode { ready, broker, document: Value::Null, seen: Mutex::default() };
        mode.document = mode.raw("GET", "/test/openapi.json", Some(mode.token()), "").1;
        Some(mode)
    }

    /// The token that it printed.
    #[must_use]
    pub fn token(&self) -> &str {
        self.ready["token"].as_str().expect("a token")
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The document that describes the control API.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// A request to any path, and whatever comes back: the status, and the body as JSON or as text.
    #[track_caller]
    pub fn raw(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let port = self.broker.port();
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{token}Connection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Connection::open(&self.anonymous()).exchange(request.as_bytes()).expect("an answer");
        let text = answer.text();
        (answer.status, serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
    }

    /// A request to the control API, whose answer must be one that is described.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body_text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.raw(method, path, Some(self.token()), &body_text);
        self.judge(method, path, status, &answer);
        (status, answer)
    }

    /// A request that must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path} was answered {status}: {answer}");
        answer
    }

    /// A new app.
    #[must_use]
    #[track_caller]
    pub fn app(&self, request: &Value) -> TestApp<'_> {
        let made = self.ask("POST", "/test/apps", request);
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        let credentials = Credentials { app_id: text("app_id"), key: text("key"), secret: text("secret") };
        TestApp { target: Target::at(Arc::clone(&self.broker), credentials), mode: self }
    }

    /// The operations that were answered so far, with their statuses: `GET /test/apps 200`.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[track_caller]
    fn judge(&self, method: &str, path: &str, status: u16, answer: &Value) {
        let path = path.split('?').next().unwrap_or_default();
        let (template, operations) = self.described(path);
        let operation = &operations[method.to_lowercase()];
        let described = &operation["responses"][status.to_string()];
        assert!(!described.is_null(), "{method} {template} does not describe the status {status}: {answer}");
        let described = schema::resolve(&self.document, described);
        if let Some(schema) = described.pointer("/content/application~1json/schema")
            && let Err(fault) = schema::judge(&self.document, schema, answer)
        {
            panic!("{method} {template} {status}: {fault}");
        }
        let seen = format!("{method} {template} {status}");
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(seen);
    }

    #[track_caller]
    fn described(&self, path: &str) -> (&str, &Value) {
        let fits = |template: &str| {
            let (parts, segments): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            parts.len() == segments.len()
                && parts.iter().zip(&segments).all(|(part, segment)| part == segment || part.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().expect("paths");
        let found = paths.iter().find(|(template, _)| fits(template));
        found.map(|(template, operations)| (template.as_str(), operations)).unwrap_or_else(|| {
            panic!("{path} is not described");
        })
    }

    fn anonymous(&self) -> Target {
        Target::at(Arc::clone(&self.broker), Credentials::new("", "", ""))
    }
}

impl TestApp<'_> {
    /// The app's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.target.credentials.app_id
    }

    /// A request below `/test/apps/{id}`.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.mode.call(method, &format!("/test/apps/{}{path}", self.id()), body)
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.mode.ask(method, &format!("/test/apps/{}{path}", self.id()), body)
    }

    /// Waits until a condition holds.
    ///
    /// # Panics
    /// With the broker's own sentence, if it does not.
    #[track_caller]
    pub fn wait(&self, condition: &Value) -> Value {
        let (status, outcome) = self.call("POST", "/wait", &json!({ "until": condition }));
        assert_eq!(status, 200, "{}", outcome["message"]);
        outcome
    }

    /// Adds a fault and answers its number.
    #[track_caller]
    pub fn fault(&self, fault: &Value) -> u64 {
        self.ask("POST", "/faults", fault)["id"].as_u64().expect("a number")
    }
}
