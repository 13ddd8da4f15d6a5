//! The description of the API: its paths, and what each of them answers.

use serde_json::{Value as Json, json};

use super::openapi_schemas::{entry, pair, reference, settings, shown};

/// The whole document.
pub(super) fn document() -> Json {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "heliostat: apps",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Apps that are changed while the broker runs, on the admin listener. Every change is written to \
                            the apps file before it takes effect, and is in force when it is answered.",
        },
        "servers": [{ "url": "/api" }],
        "security": [{ "token": [] }, { "password": [] }],
        "paths": {
            "/openapi.json": { "get": described() },
            "/apps": { "get": list(), "post": create() },
            "/apps/{id}": { "parameters": [id()], "get": show(), "patch": set(), "delete": delete() },
            "/apps/{id}/keys": { "parameters": [id()], "post": rotate() },
            "/apps/{id}/keys/{key}": { "parameters": [id(), key()], "delete": revoke() },
        },
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "admin.token, or the one that was drawn" },
                "password": { "type": "http", "scheme": "basic", "description": "the user admin with admin.password" },
            },
            "schemas": {
                "Settings": settings(true),
                "App": shown(),
                "Entry": entry(),
                "Pair": pair(),
                "Error": { "type": "string", "description": "One sentence: what was expected, and what came." },
            },
        },
    })
}

fn described() -> Json {
    json!({ "summary": "This document", "responses": answers(json!({ "200": of_json("The document", json!({ "type": "object" })) }), &[]) })
}

fn list() -> Json {
    let apps = json!({
        "type": "object",
        "properties": { "apps": { "type": "array", "items": reference("Entry") } },
        "required": ["apps"],
        "additionalProperties": false,
    });
    json!({
        "summary": "All apps, as they stand in the files, without secrets",
        "responses": answers(json!({ "200": of_json("The apps", apps) }), &["409"]),
    })
}

fn create() -> Json {
    json!({
        "summary": "Adds an app",
        "description": "An id, a key and a secret that are not given are drawn.",
        "requestBody": body(json!({ "application/json": { "schema": reference("Settings") } })),
        "responses": answers(
            json!({ "201": with_headers(of_json("The app", reference("App")), &["Location", "ETag"]) }),
            &["408", "409", "413", "415", "422", "507"],
        ),
    })
}

fn show() -> Json {
    json!({
        "summary": "One app, with all its settings and its secrets",
        "responses": answers(json!({ "200": with_headers(of_json("The app", reference("App")), &["ETag"]) }), &["404", "409"]),
    })
}

fn set() -> Json {
    let schema = json!({ "schema": reference("Settings") });
    json!({
        "summary": "Changes settings of an app",
        "description": "A JSON merge patch (RFC 7396): what is not named stays, null has a setting be the default again, and \
                        a list takes the place of the one before. The id cannot be changed.",
        "parameters": [if_match()],
        "requestBody": body(json!({ "application/json": schema, "application/merge-patch+json": schema })),
        "responses": answers(
            json!({ "200": with_headers(of_json("The app", reference("App")), &["ETag"]) }),
            &["404", "408", "409", "412", "413", "415", "422", "507"],
        ),
    })
}

fn delete() -> Json {
    json!({
        "summary": "Deletes an app: its connections are closed with 4001",
        "parameters": [if_match()],
        "responses": answers(json!({ "204": { "description": "It is no more" } }), &["404", "409", "412", "507"]),
    })
}

fn rotate() -> Json {
    let wanted = json!({
        "type": "object",
        "properties": { "key": { "type": ["string", "null"] }, "secret": { "type": ["string", "null"] } },
        "additionalProperties": false,
    });
    json!({
        "summary": "Gives an app a new pair of key and secret, which is the first from then on",
        "description": "The pairs before stay valid until they are revoked. What is not given is drawn.",
        "parameters": [if_match()],
        "requestBody": { "required": false, "content": { "application/json": { "schema": wanted } } },
        "responses": answers(
            json!({ "201": with_headers(of_json("The new pair", reference("Pair")), &["Location", "ETag"]) }),
            &["404", "408", "409", "412", "413", "415", "422", "507"],
        ),
    })
}

fn revoke() -> Json {
    json!({
        "summary": "Revokes a pair of key and secret: from then on it opens nothing",
        "parameters": [if_match()],
        "responses": answers(json!({ "204": { "description": "It is no longer valid" } }), &["404", "409", "412", "507"]),
    })
}

/// What is answered when all is well, and what may come instead.
fn answers(mut good: Json, bad: &[&str]) -> Json {
    const ALWAYS: [&str; 6] = ["401", "403", "405", "429", "500", "503"];
    for status in bad.iter().chain(&ALWAYS) {
        let what = match *status {
            "401" => "No credentials, or wrong ones",
            "403" => "Asked for under another name, or by a page of another site",
            "404" => "There is no such app, or key",
            "405" => "The path takes other methods",
            "408" => "The body did not come in time",
            "409" => {
                "The apps, or the files, are such that it cannot be done, or another node of the cluster has changed the app at the same time; the sentence says which, and what to do"
            }
            "412" => "The app has been changed since",
            "413" => "The body is too large",
            "415" => "The body is of another type",
            "422" => "A setting is unknown, or does not fit",
            "429" => {
                "Wrong credentials came from the address again and again: nothing from there is judged meanwhile"
            }
            "507" => "There is no room for the file",
            "503" => {
                "Others are changing the apps, or the engine of the cluster cannot be reached: try again"
            }
            _ => "The file could not be read or written",
        };
        good[*status] = json!({
            "description": what,
            "content": { "text/plain": { "schema": reference("Error") } },
        });
        if *status == "429" {
            good[*status] = with_headers(good[*status].take(), &["Retry-After"]);
        }
    }
    good
}

fn of_json(description: &str, schema: Json) -> Json {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn with_headers(mut answer: Json, names: &[&str]) -> Json {
    for name in names {
        answer["headers"][*name] = json!({ "schema": { "type": "string" } });
    }
    answer
}

fn body(content: Json) -> Json {
    json!({ "required": true, "content": content })
}

fn id() -> Json {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "description": "The id of an app" })
}

fn key() -> Json {
    json!({ "name": "key", "in": "path", "required": true, "schema": { "type": "string" }, "description": "A key of the app" })
}

fn if_match() -> Json {
    json!({
        "name": "If-Match",
        "in": "header",
        "required": false,
        "schema": { "type": "string" },
        "description": "The ETag of the app as it was shown: nothing is done if it has been changed since",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app_admin::api::ROUTES;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin-api.openapi.json");

    #[test]
    fn every_route_is_described_and_no_other() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), ROUTES.len());
        for (path, methods) in ROUTES {
            let described = paths[&format!("/{path}")].as_object().unwrap();
            let described: Vec<_> = described.keys().filter(|key| *key != "parameters").collect();
            let mut methods: Vec<_> = methods.iter().map(|method| method.to_lowercase()).collect();
            methods.sort();
            assert_eq!(described, methods.iter().collect::<Vec<_>>(), "{path}");
        }
    }

    #[test]
    fn the_document_in_docs_is_the_one_that_is_served() {
        let fresh = format!("{:#}\n", document());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, &fresh).unwrap();
        }
        let page = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            page == fresh,
            "docs/admin-api.openapi.json is stale; run `UPDATE_DOCS=1 cargo test` and commit it"
        );
    }
}
