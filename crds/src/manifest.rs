//! Reads a manifest from a file as the API server would take it: the schema of the CRD first (unknown fields,
//! types, bounds, patterns), then the rules. So `cryptopipeline run` refuses what `kubectl apply` refuses.

use std::sync::LazyLock;

use jiff::Timestamp;
use kube::CustomResourceExt;
use serde_json::{Map, Value};
use serde_yaml::Options;

use crate::rules::{Violation, violations};
use crate::spec::CryptoPipeline;

/// Values that aliases may stand for together: enough for what people repeat, too few to fill the memory.
const MOST_ALIASED: usize = 10_000;

/// Why a text holds no pipeline that can work.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is no YAML.
    #[error("the manifest is no YAML: {0}")]
    Yaml(String),
    /// The text does not hold exactly one CryptoPipeline.
    #[error("the manifest must hold one {expected}, and holds {found}")]
    NotOnePipeline {
        /// apiVersion and kind that are looked for.
        expected: String,
        /// How many there are.
        found: usize,
    },
    /// Fields break the schema or a rule.
    #[error("the manifest is refused:\n  {}", lines(.0))]
    Refused(Vec<Violation>),
    /// The checked document does not fit the type; schema and type disagree.
    #[error("the manifest cannot be read: {0}")]
    Decode(#[from] serde_json::Error),
}

fn lines(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

/// The one CryptoPipeline in `text`, which may hold other objects beside it (a Secret, say).
///
/// # Errors
/// [`ManifestError`], with every field that is refused and the rule that refuses it.
pub fn read(text: &str) -> Result<CryptoPipeline, ManifestError> {
    let resource = CryptoPipeline::api_resource();
    let pipelines: Vec<Value> = documents(text)?
        .into_iter()
        .filter(|document| {
            document["apiVersion"] == resource.api_version && document["kind"] == resource.kind
        })
        .collect();
    let [document] = pipelines.as_slice() else {
        let expected = format!("{} {}", resource.api_version, resource.kind);
        return Err(ManifestError::NotOnePipeline { expected, found: pipelines.len() });
    };
    none_of(schema_violations(document))?;
    let pipeline: CryptoPipeline = serde_json::from_value(document.clone())?;
    none_of(violations(&pipeline))?;
    Ok(pipeline)
}

/// All documents in `text`.
///
/// # Errors
/// [`ManifestError::Yaml`] where it is no YAML, or its aliases stand for more than anybody means.
pub fn documents(text: &str) -> Result<Vec<Value>, ManifestError> {
    let mut options = Options::default();
    options.alias_limits.max_total_replayed_events = MOST_ALIASED;
    serde_yaml::from_multiple_with_options(text, options)
        .map_err(|error| ManifestError::Yaml(error.to_string()))
}

fn none_of(violations: Vec<Violation>) -> Result<(), ManifestError> {
    if violations.is_empty() { Ok(()) } else { Err(ManifestError::Refused(violations)) }
}

/// Making it takes longer than checking a document against it.
static CRD: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(CryptoPipeline::crd()).unwrap_or_default());

/// Where `document` breaks the structural schema of the CRD; CEL rules are not looked at.
#[must_use]
pub fn schema_violations(document: &Value) -> Vec<Violation> {
    let schema = &CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required =
            schema["required"].as_array().is_some_and(|names| names.contains(&name.as_str().into()));
        match document.get(name) {
            Some(value) => check(&mut found, name, value, property),
            None if required => found.push(Violation::new(name, "required")),
            None => {}
        }
    }
    found
}

fn check(found: &mut Vec<Violation>, path: &str, value: &Value, schema: &Value) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(rule) = broken_type(value, schema) {
        found.push(Violation::new(path, rule));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        found.push(Violation::new(path, format!("{value} is not one of {}", allowed.join(", "))));
    }
    match value {
        Value::Object(fields) => check_object(found, path, fields, schema),
        Value::Array(items) => check_list(found, path, items, schema),
        Value::String(text) => check_text(found, path, text, schema),
        Value::Number(number) => {
            check_bound(found, path, number.as_i64(), schema, ["minimum", "maximum"], "");
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn broken_type(value: &Value, schema: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        return (!value.is_string() && !value.is_i64()).then(|| "must be an integer or a string".to_owned());
    }
    let fits = match schema["type"].as_str()? {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    };
    (!fits).then(|| format!("must be of type {}", schema["type"].as_str().unwrap_or_default()))
}

fn check_object(found: &mut Vec<Violation>, path: &str, fields: &Map<String, Value>, schema: &Value) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(Violation::new(format!("{path}.{name}"), "required"));
        }
    }
    check_bound(found, path, size(fields.len()), schema, ["minProperties", "maxProperties"], " entries");
    let Some(properties) = schema["properties"].as_object() else {
        let values = &schema["additionalProperties"];
        fields.iter().for_each(|(name, value)| check(found, &format!("{path}[{name}]"), value, values));
        return;
    };
    for (name, value) in fields {
        match properties.get(name) {
            Some(property) => check(found, &format!("{path}.{name}"), value, property),
            None => found.push(Violation::new(format!("{path}.{name}"), "unknown field")),
        }
    }
}

fn check_list(found: &mut Vec<Violation>, path: &str, items: &[Value], schema: &Value) {
    check_bound(found, path, size(items.len()), schema, ["minItems", "maxItems"], " items");
    let keys: Option<Vec<&str>> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .map(|keys| keys.iter().filter_map(Value::as_str).collect());
    let is_set = schema["x-kubernetes-list-type"] == "set";
    let same = |left: &Value, right: &Value| match &keys {
        Some(keys) => keys.iter().all(|key| left[key] == right[key]),
        None => is_set && left == right,
    };
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if items[..index].iter().any(|earlier| same(earlier, item)) {
            found.push(Violation::new(&path, "stands there already"));
        }
        check(found, &path, item, &schema["items"]);
    }
}

fn check_text(found: &mut Vec<Violation>, path: &str, text: &str, schema: &Value) {
    check_bound(found, path, size(text.chars().count()), schema, ["minLength", "maxLength"], " characters");
    if schema["format"] == "date-time" && text.parse::<Timestamp>().is_err() {
        found.push(Violation::new(path, format!("{text:?} is not a time such as 2026-01-01T00:00:00Z")));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text))
    {
        found.push(Violation::new(path, format!("{text:?} must match {pattern}")));
    }
}

fn check_bound(
    found: &mut Vec<Violation>,
    path: &str,
    value: Option<i64>,
    schema: &Value,
    [least, most]: [&str; 2],
    unit: &str,
) {
    let Some(value) = value else { return };
    // The generator writes bounds as numbers with a fraction of zero.
    let bound = |name: &str| schema[name].as_f64();
    #[allow(clippy::cast_precision_loss)] // Counts and the bounds of this CRD are far below 2^53.
    let value_as_bound = value as f64;
    if let Some(least) = bound(least).filter(|least| value_as_bound < *least) {
        found.push(Violation::new(path, format!("must be at least {least}{unit}")));
    }
    if let Some(most) = bound(most).filter(|most| value_as_bound > *most) {
        found.push(Violation::new(path, format!("must be at most {most}{unit}")));
    }
}

fn size(count: usize) -> Option<i64> {
    i64::try_from(count).ok()
}
