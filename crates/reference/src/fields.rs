//! The page of the resource's fields, from the definition that the API server has too.

use anyhow::Context as _;
use crds::CryptoPipeline;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

const HEAD: &str = "\
# CryptoPipeline

`cryptopipeline.dev/v1alpha1`, short name `cpl`. This page is made of the definition: `cargo run -p reference`. On a
cluster, `kubectl explain cryptopipeline.spec` says the same. A field in **bold** has to be there.
";

/// Fields whose values are Kubernetes' own: their descriptions say where those are explained.
const OF_KUBERNETES: [&str; 7] = [
    "affinity",
    "env",
    "imagePullSecrets",
    "resources",
    "tolerations",
    "egress",
    "topologySpreadConstraints",
];

/// A field by which a peer of a NetworkPolicy is known.
const OF_A_PEER: &str = "ipBlock";

type Object = Map<String, Value>;

pub(crate) fn page() -> anyhow::Result<String> {
    let crd = serde_json::to_value(CryptoPipeline::crd())?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut sections = Sections { page: HEAD.to_owned(), told: Vec::new() };
    for part in ["spec", "status"] {
        let object = schema[part].as_object().with_context(|| format!("the definition has no {part}"))?;
        sections.add(part, object);
    }
    Ok(sections.page)
}

/// A section for each object.
struct Sections<'a> {
    page: String,
    /// The fields of the objects that have one, and their paths.
    told: Vec<(&'a Object, String)>,
}

impl<'a> Sections<'a> {
    /// A section for an object, and after it one for each object below.
    fn add(&mut self, path: &str, object: &'a Object) {
        let Some(fields) = object.get("properties").and_then(Value::as_object) else { return };
        self.page += &format!("\n## {path}\n\n");
        if let Some((_, other)) = self.told.iter().find(|(told, _)| *told == fields) {
            self.page += &format!("As [{other}](#{}).\n", anchor(other));
            return;
        }
        self.told.push((fields, path.to_owned()));
        if let Some(description) = text(object, "description") {
            self.page += &format!("{}\n\n", in_a_row(description));
        }
        for rule in rules(object) {
            self.page += &format!("- {rule}\n");
        }
        if !rules(object).is_empty() {
            self.page += "\n";
        }
        self.page += "| Field | Type | Default | What |\n|---|---|---|---|\n";
        let required: Vec<&str> = strings(object, "required").collect();
        let fields = fields.iter().filter_map(|(name, field)| Some((name, field.as_object()?)));
        for (name, field) in fields.clone() {
            self.page += &row(name, required.contains(&name.as_str()), field);
        }
        for (name, field) in fields.filter(|(name, field)| !is_of_kubernetes(name, field)) {
            let below = format!("{path}.{name}");
            self.add(&below, field);
            for (kind, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
                if let Some(of) = field.get(kind).and_then(Value::as_object) {
                    self.add(&format!("{below}{mark}"), of);
                }
            }
        }
    }
}

/// Whether what is below a field is Kubernetes' own.
fn is_of_kubernetes(name: &str, field: &Object) -> bool {
    let below = field.get("items").and_then(|items| items.get("properties"));
    OF_KUBERNETES.contains(&name) || below.is_some_and(|below| below.get(OF_A_PEER).is_some())
}

/// Where a heading is found, as GitHub makes it.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|one| one.is_alphanumeric() || *one == '-').collect::<String>().to_lowercase()
}

fn row(name: &str, is_required: bool, field: &Object) -> String {
    let name = if is_required { format!("**`{name}`**") } else { format!("`{name}`") };
    let default = field.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
    let mut about = text(field, "description").map(in_a_row).unwrap_or_default();
    for limit in limits(field) {
        about += &format!(" {limit}");
    }
    if field.get("properties").is_none() {
        for rule in rules(field) {
            about += &format!(" Rule: {rule}.");
        }
    }
    format!("| {name} | {} | {} | {} |\n", kind(field), cell(&default), cell(&about))
}

fn kind(field: &Object) -> String {
    let of = |name: &str| field.get(name).and_then(Value::as_object).map(kind);
    if field.contains_key("x-kubernetes-int-or-string") {
        return "integer or string".to_owned();
    }
    match (text(field, "type"), text(field, "format")) {
        (Some("array"), _) => format!("list of {}", of("items").unwrap_or_default()),
        (Some("object"), _) => {
            of("additionalProperties").map_or_else(|| "object".to_owned(), |of| format!("map of {of}"))
        }
        (Some("string"), Some("date-time")) => "time".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "anything".to_owned(),
    }
}

/// What a value may be, where that is more than its type.
fn limits(field: &Object) -> Vec<String> {
    let mut limits = Vec::new();
    let of = field.get("items").and_then(Value::as_object).unwrap_or(field);
    let allowed: Vec<String> = of
        .get("enum")
        .and_then(Value::as_array)
        .map(|values| {
            values.iter().filter(|value| !value.is_null()).map(|value| format!("`{value}`")).collect()
        })
        .unwrap_or_default();
    if !allowed.is_empty() {
        limits.push(format!("One of {}.", allowed.join(", ")));
    }
    let number = |name: &str| field.get(name).and_then(Value::as_f64);
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => limits.push(format!("From {least} to {most}.")),
        (Some(least), None) => limits.push(format!("At least {least}.")),
        (None, Some(most)) => limits.push(format!("At most {most}.")),
        (None, None) => {}
    }
    if let Some(most) = field.get("maxItems") {
        limits.push(format!("At most {most} of them."));
    }
    if let Some(pattern) = text(field, "pattern") {
        limits.push(format!("Pattern `{pattern}`."));
    }
    limits
}

/// What the API server refuses, as it says it.
fn rules(object: &Object) -> Vec<String> {
    let rules = object.get("x-kubernetes-validations").and_then(Value::as_array);
    let messages = rules.into_iter().flatten().filter_map(|rule| rule["message"].as_str());
    messages.map(in_a_row).collect()
}

fn text<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn strings<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a str> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn in_a_row(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path of every field below `object` that has no description of its own.
    fn undescribed(path: &str, object: &Object, found: &mut Vec<String>) {
        for (name, field) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let (path, field) = (format!("{path}.{name}"), field.as_object().unwrap());
            if text(field, "description").is_none_or(|text| text.trim().is_empty()) {
                found.push(path.clone());
            }
            if is_of_kubernetes(name, field) {
                continue;
            }
            for below in [Some(field), field.get("items").and_then(Value::as_object)].into_iter().flatten() {
                undescribed(&path, below, found);
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        let crd = serde_json::to_value(CryptoPipeline::crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut found = Vec::new();
        undescribed("", schema.as_object().unwrap(), &mut found);
        assert_eq!(found, [] as [&str; 0]);
    }
}
