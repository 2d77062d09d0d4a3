//! The descriptions of both interfaces: valid, complete, and the ones that are served.

use std::collections::BTreeSet;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::application::RedirectUri;
use domain::organisation::RoleRef;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::database::tenant;
use tests::stack::{Answer, Stack, answer};
use tests::tools;

type Test = anyhow::Result<()>;

fn documents() -> anyhow::Result<[(&'static str, Value); 2]> {
    Ok([
        ("command-api", serde_json::to_value(command_api::app::document())?),
        ("query-api", serde_json::to_value(query_api::document())?),
    ])
}

/// Every value of a document, with its place.
fn walk<'a>(place: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    found.push((place.to_owned(), value));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, it)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            walk(&format!("{place}/{name}"), it, found);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, it)| walk(&format!("{place}/{n}"), it, found))
        }
        _ => {}
    }
}

/// Every operation, with its place.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let items =
        paths.flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |it| (path, it)));
    items.map(|(path, (method, operation))| (format!("{method} {path}"), operation)).collect()
}

/// A text without its line breaks.
fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says_something(value: &Value) -> bool {
    value.as_str().is_some_and(|it| !it.trim().is_empty())
}

#[test]
fn the_descriptions_are_valid_openapi_3_1() -> Test {
    let folder = tempfile::tempdir()?;
    for (name, document) in documents()? {
        assert!(document["openapi"].as_str().is_some_and(|it| it.starts_with("3.1.")), "{name}");
        let file = folder.path().join(format!("{name}.json"));
        std::fs::write(&file, document.to_string())?;
        let file = file.to_str().context("a path")?;
        tools::run("openapi-spec-validator", &["--schema", "3.1", "--subschema-errors", "all", file])?;
    }
    Ok(())
}

#[test]
fn every_reference_leads_somewhere_within_its_document() -> Test {
    for (name, document) in documents()? {
        let mut values = Vec::new();
        walk("", &document, &mut values);
        let mut used = BTreeSet::new();
        for (place, value) in &values {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference
                    .strip_prefix('#')
                    .with_context(|| format!("{name}{place} leads away: {reference}"))?;
                assert!(document.pointer(pointer).is_some(), "{name}{place}: {reference}");
                used.insert(reference.to_owned());
            }
            if let Some(mapping) =
                value.get("mapping").and_then(Value::as_object).filter(|_| place.ends_with("/discriminator"))
            {
                for pointer in mapping.values().filter_map(Value::as_str) {
                    assert!(
                        document.pointer(pointer.trim_start_matches('#')).is_some(),
                        "{name}{place}: {pointer}"
                    );
                }
            }
        }
        assert!(used.len() > 5, "{name}: {used:?}");
    }
    Ok(())
}

/// What an operation of command-api does not describe it does not take, but for those that standards keep open.
#[tokio::test]
async fn no_command_takes_a_parameter_that_it_does_not_describe() -> Test {
    let stack = Stack::commands_only().await?;
    let document = serde_json::to_value(command_api::app::document())?;
    let owner = stack.owner(tenant(1))?;
    let (mut closed, mut open) = (0, 0);
    for (place, operation) in operations(&document) {
        let (method, path) = place.split_once(' ').context("a method and a path")?;
        let url = format!("{}{}?dry_run=true", stack.command_url, path.replace(['{', '}'], ""));
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())?;
        let told = answer(stack.request(method, &owner, &url)).await?;
        if operation["tags"][0] == "oauth" || operation["operationId"] == "endProviderSignIn" {
            assert_ne!(told.code(), "request.unknown-parameter", "{place}");
            open += 1;
            continue;
        }
        let expected = (StatusCode::BAD_REQUEST, "request.unknown-parameter");
        assert_eq!((told.status, told.code()), expected, "{place}: {}", told.text);
        assert_eq!(told.json["details"]["parameter"], "dry_run", "{place}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for it in parameters.filter(|it| it["in"] == "query") {
            let name = it["name"].as_str().context("a name")?;
            assert!(plain(&told.json["detail"]).contains(name), "{place}: {}", told.text);
        }
        closed += 1;
    }
    assert!(closed > 60 && open > 10, "{closed} and {open}");
    Ok(())
}

/// Answers that have no body: done, gone elsewhere, and known already.
const BODILESS: [&str; 4] = ["204", "302", "303", "304"];

#[test]
fn every_operation_says_what_it_is() -> Test {
    let mut ids = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, document) in documents()? {
        let info = &document["info"];
        assert!(
            says_something(&info["title"])
                && says_something(&info["description"])
                && says_something(&info["version"]),
            "{name}"
        );
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer", "{name}");
        let operations = operations(&document);
        assert!(operations.len() >= 10, "{name}");
        for (place, operation) in operations {
            let mut need = |is: bool, what: &str| {
                if !is {
                    faults.push(format!("{name} {place}: {what}"))
                }
            };
            need(says_something(&operation["operationId"]), "no id");
            need(ids.insert(operation["operationId"].to_string()), "an id that is another's");
            need(operation["tags"].as_array().is_some_and(|it| it.len() == 1), "not one tag");
            need(says_something(&operation["summary"]), "no summary");
            let description = plain(&operation["description"]);
            let schemes = operation["security"].as_array().context("security")?;
            let is_open = schemes.iter().any(|it| it.as_object().is_some_and(serde_json::Map::is_empty));
            let says_for_whom = if is_open {
                description.contains("Open to ")
            } else {
                description.contains("Permission: `")
                    || description.contains("Permission: none but to be signed in")
            };
            need(says_for_whom, "not for whom it is");
            need(!schemes.is_empty(), "no security");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                need(
                    says_something(&parameter["description"]),
                    &format!("parameter {} has no description", parameter["name"]),
                );
                need(
                    parameter["schema"].is_object(),
                    &format!("parameter {} has no schema", parameter["name"]),
                );
            }
            let in_path: BTreeSet<&str> =
                place.split('{').skip(1).filter_map(|it| it.split('}').next()).collect();
            let described: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|it| it["in"] == "path")
                .filter_map(|it| it["name"].as_str())
                .collect();
            need(in_path == described, "the parameters of its path are not those described");
            for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let given = content["example"].is_object()
                    || content["examples"].as_object().is_some_and(|it| !it.is_empty());
                need(given, &format!("no example for {media}"));
            }
            let responses = operation["responses"].as_object().context("responses")?;
            let well = |it: &String| it.starts_with('2') || it == "303";
            need(responses.keys().any(well), "no answer when all is well");
            for (status, response) in responses {
                need(says_something(&response["description"]), &format!("{status} has no description"));
                // The endpoints of OAuth say no in the words of their standard.
                let of_oauth =
                    place.contains(" /oauth2/") && response["content"]["application/json"].is_object();
                let is_problem = matches!(status.as_bytes().first(), Some(b'4' | b'5'));
                need(
                    !is_problem || of_oauth || response["content"]["application/problem+json"].is_object(),
                    &format!("{status} is no problem"),
                );
                need(
                    is_problem || BODILESS.contains(&status.as_str()) || response["content"].is_object(),
                    &format!("{status} has no content"),
                );
            }
            let of_callers = ["401", "403"].into_iter().filter(|_| !is_open);
            for status in ["400", "429", "503"].into_iter().chain(of_callers) {
                need(responses.contains_key(status), &format!("no {status}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}

#[test]
fn every_field_and_every_schema_of_an_answer_says_what_it_is() -> Test {
    let mut faults = Vec::new();
    for (name, document) in documents()? {
        for (schema, it) in document["components"]["schemas"].as_object().context("schemas")? {
            for (field, it) in it["properties"].as_object().into_iter().flatten() {
                let shown =
                    says_something(&it["description"]) || it["$ref"].is_string() || it["oneOf"].is_array();
                if !shown {
                    faults.push(format!("{name}: {schema}.{field}"));
                }
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "no description");
    Ok(())
}

/// What is taken in of one document, as it is described.
struct Taken<'a> {
    document: &'a Value,
    seen: BTreeSet<String>,
    faults: Vec<String>,
}

impl<'a> Taken<'a> {
    fn walk(&mut self, place: &str, schema: &'a Value) {
        if schema.is_null() {
            return;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#'));
            if self.seen.insert(reference.to_owned()) {
                self.walk(reference, target.unwrap_or(&Value::Null));
            }
            return;
        }
        let is = |kind: &str| match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|it| it == kind),
            one => one == kind,
        };
        let has = |name: &str| !schema[name].is_null();
        let sized = ["uuid", "date", "date-time"].iter().any(|it| schema["format"] == *it);
        let mut need = |is: bool, what: &str| {
            if !is {
                self.faults.push(format!("{place}: {what}"));
            }
        };
        need(!is("string") || sized || has("maxLength") || has("enum"), "how long a text is");
        need(!is("string") || sized || has("pattern") || has("enum"), "which characters");
        need(!is("array") || has("maxItems"), "how many there are");
        let is_number = is("integer") || is("number");
        need(!is_number || (has("minimum") && has("maximum")), "how large a number is");
        self.walk(&format!("{place}[]"), &schema["items"]);
        for name in ["oneOf", "anyOf", "allOf"] {
            schema[name].as_array().into_iter().flatten().for_each(|it| self.walk(place, it));
        }
        if schema["additionalProperties"].is_object() {
            self.walk(&format!("{place}.*"), &schema["additionalProperties"]);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            self.walk(&format!("{place}.{name}"), field);
        }
    }
}

#[test]
fn whatever_a_body_takes_has_its_bounds() -> Test {
    for (name, document) in documents()? {
        let mut taken = Taken { document: &document, seen: BTreeSet::new(), faults: Vec::new() };
        for (place, operation) in operations(&document) {
            for content in
                operation["requestBody"]["content"].as_object().into_iter().flat_map(|it| it.values())
            {
                taken.walk(&place, &content["schema"]);
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let schema = &parameter["schema"];
                let bounded = !schema["minimum"].is_null() && !schema["maximum"].is_null();
                if schema["type"] == "integer" && !bounded {
                    taken.faults.push(format!("{place}: {} has no bounds", parameter["name"]));
                }
            }
        }
        assert!(!taken.seen.is_empty());
        assert_eq!(taken.faults, Vec::<String>::new(), "{name}");
    }
    Ok(())
}

/// Whether a pattern takes each of some texts, as a program of others says.
fn takes(pattern: &str, texts: &[&str]) -> anyhow::Result<Option<Vec<bool>>> {
    let program = "import json, re, sys\nprint(json.dumps([bool(re.search(sys.argv[1], it)) for it in json.loads(sys.argv[2])]))";
    let said = tools::run("python3", &["-c", program, pattern, &serde_json::to_string(texts)?])?;
    Ok(said.map(|it| serde_json::from_str(&it)).transpose()?)
}

#[test]
fn texts_with_a_form_of_their_own_are_described_as_they_are_taken() -> Test {
    let [(_, commands), _] = documents()?;
    let schema = |name: &str| commands["components"]["schemas"][name].clone();
    let agrees = |name: &str, texts: &[&str], taken: &dyn Fn(&str) -> bool| -> Test {
        let schema = schema(name);
        let chars_max = schema["maxLength"].as_u64().context("a length")?;
        let fits = |it: &str| u64::try_from(it.chars().count()).is_ok_and(|chars| chars <= chars_max);
        let Some(found) = takes(schema["pattern"].as_str().context("a pattern")?, texts)? else {
            return Ok(());
        };
        for (text, found) in texts.iter().zip(found) {
            assert_eq!(found && fits(text), taken(text), "{name}: {text}");
        }
        Ok(())
    };
    let long = "a".repeat(41);
    let id = "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e";
    let roles = [
        "owner",
        "a",
        "a-b",
        "ab9",
        "",
        "A",
        "9a",
        "-a",
        "a_b",
        "a b",
        "\u{e4}",
        id,
        &id[1..],
        &long[1..],
        &long,
    ];
    agrees("Role", &roles, &|it| RoleRef::parse(it).is_ok())?;
    agrees("Role", &[&id.to_uppercase()], &|it| RoleRef::parse(it).is_ok())?;
    let of_the_web = [
        "https://shop.example/back",
        "https://shop.example",
        "https://shop.example?a=b",
        "https://",
        "https:///a",
        "https://a@shop.example",
        "https://shop.example/a@b",
        "https://shop.example/#a",
        "https://shop.example/a b",
        "https://shop.example/*",
        "https://shop.example/{a}",
        "https://shop.example/a~b!c",
        "https://[::1]/",
        "HTTPS://shop.example",
        "https:shop.example",
        "http://shop.example/",
        "",
    ];
    let of_programs = [
        "http://localhost",
        "http://localhost:3000/back",
        "http://localhost:65535/",
        "http://localhost:65536/",
        "http://localhost:/",
        "http://localhost.example/",
        "http://127.0.0.1:8080?a",
        "http://[::1]:1/",
        "http://[::2]/",
        "com.example.app:/back",
        "com.example.app:back",
        "com.example.app:",
        "com.example:/\u{e4}",
        "example:/back",
        "Com.example:/",
        ".a:x",
        "javascript:alert(1)",
        "data:text/html,x",
    ];
    for addresses in [&of_the_web[..], &of_programs] {
        agrees("RedirectUri", addresses, &|it| RedirectUri::parse(it).is_ok())?;
    }
    let letters = ["", "A", "B", "-", "_", "8", "w", "+", "="];
    let pairs: Vec<String> =
        letters.iter().flat_map(|one| letters.iter().map(move |other| format!("{one}{other}"))).collect();
    let quads = pairs.iter().flat_map(|one| pairs.iter().map(move |other| format!("AAAA{one}{other}")));
    let quads: Vec<String> = quads.collect();
    let quads: Vec<&str> = quads.iter().map(String::as_str).collect();
    agrees("Base64Url", &quads, &|it| URL_SAFE_NO_PAD.decode(it).is_ok())?;
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    let grants = ["authorization_code", "client_credentials", "refresh_token", device];
    assert_eq!(schema("GrantType")["enum"], serde_json::json!(grants), "the names of OAuth");
    Ok(())
}

async fn at(url: &str, path: &str) -> anyhow::Result<Answer> {
    answer(reqwest::Client::new().get(format!("{url}{path}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_the_description_and_a_page_that_loads_nothing_from_elsewhere() -> Test {
    let stack = Stack::whole().await?;
    let [(_, commands), (_, queries)] = documents()?;
    for (url, document) in [(&stack.command_url, commands), (&stack.query_url, queries)] {
        let served = at(url, "/openapi.json").await?;
        assert_eq!((served.status, served.header("content-type")), (StatusCode::OK, "application/json"));
        assert_eq!(served.json, document);
        let page = at(url, "/docs").await?;
        assert_eq!((page.status, page.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
        let policy: Vec<Vec<&str>> = page
            .header("content-security-policy")
            .split(';')
            .map(|it| it.split_whitespace().collect())
            .collect();
        let sources =
            |name: &str| policy.iter().find(|it| it.first() == Some(&name)).map(|it| it[1..].to_vec());
        assert_eq!(page.headers.get_all("content-security-policy").iter().count(), 1);
        assert_eq!(sources("default-src"), Some(vec!["'none'"]));
        assert_eq!(
            sources("script-src"),
            Some(vec!["'self'"]),
            "no script in the page, and none from elsewhere"
        );
        assert_eq!(sources("connect-src"), Some(vec!["'self'"]));
        assert_eq!(sources("frame-ancestors"), Some(vec!["'none'"]));
        assert_eq!(sources("base-uri"), Some(vec!["'none'"]));
        for source in policy.iter().flat_map(|it| it.iter().skip(1)) {
            assert!(["'none'", "'self'", "'unsafe-inline'", "data:"].contains(source), "{policy:?}");
        }
        // What the page names is served here, and nothing in it names another place.
        let named: Vec<&str> = page.text.split(['"', '\'']).filter(|it| it.starts_with('/')).collect();
        assert_eq!(named.len(), 3, "{}", page.text);
        assert!(
            !page.text.contains("://") && !page.text.contains("\"//") && !page.text.contains("<script>"),
            "{}",
            page.text
        );
        for path in named {
            let asset = at(url, path).await?;
            assert_eq!(asset.status, StatusCode::OK, "{path}");
            let expected = if path.ends_with(".css") {
                "text/css; charset=utf-8"
            } else {
                "text/javascript; charset=utf-8"
            };
            assert_eq!(asset.header("content-type"), expected, "{path}");
            assert_eq!(asset.header("x-content-type-options"), "nosniff", "{path}");
            assert!(!asset.header("content-security-policy").is_empty(), "{path}");
            assert!(!asset.text.contains("@import") && !asset.text.contains("url(http"), "{path}");
        }
    }
    Ok(())
}
