//! Kubernetes objects as they may be shown: without what may hold a password, and without what nobody reads.

use serde_json::{Map, Value};

use super::mask::{MASKED, Mask, names_a_secret};

/// What `kubectl apply` keeps: the whole manifest, as text.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Hides what may hold a password by where it stands. What it was is known to `mask` from now on.
pub(super) fn hide_named(node: &mut Value, mask: &mut Mask) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_named(item, mask)),
        Value::Object(fields) => hide_in_fields(fields, mask),
        Value::String(text) => mask.learn_from_text(text),
        _ => {}
    }
}

/// Hides what is known in every text of an object.
pub(super) fn hide_known(node: &mut Value, mask: &Mask) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_known(item, mask)),
        Value::Object(fields) => fields.values_mut().for_each(|value| hide_known(value, mask)),
        Value::String(text) => *text = mask.apply(text),
        _ => {}
    }
}

fn hide_in_fields(fields: &mut Map<String, Value>, mask: &mut Mask) {
    fields.remove("managedFields");
    fields.remove(LAST_APPLIED);
    if let Some(Value::Array(variables)) = fields.get_mut("env") {
        variables.iter_mut().for_each(|variable| hide_value(variable, mask));
    }
    for (name, value) in fields.iter_mut() {
        match value {
            Value::String(text) if names_a_secret(name) => {
                mask.learn(text);
                MASKED.clone_into(text);
            }
            value => hide_named(value, mask),
        }
    }
}

/// Of an environment variable. What it is taken from is shown.
fn hide_value(variable: &mut Value, mask: &mut Mask) {
    let is_secret = variable["name"].as_str().is_some_and(names_a_secret);
    if let Some(Value::String(value)) = variable.get_mut("value") {
        mask.learn_from_text(value);
        // Others are words such as `info`, which stand in every log.
        if is_secret {
            mask.learn(value);
        }
        MASKED.clone_into(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_hold_a_password_is_masked_and_known() {
        let mut object = json!({
            "metadata": {
                "name": "quickstart",
                "annotations": {
                    (LAST_APPLIED): "{\"env\":[{\"value\":\"hunter2\"}]}",
                    "team": "market",
                    "note": format!("{} it's two words", "as long as YAML breaks lines ".repeat(3)),
                },
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {
                "kafka": {"clientConfig": {"ssl.key.password": "keypass", "client.id": "me"}},
                "containers": [{"env": [
                    {"name": "PROXY_PASSWORD", "value": "hunter2"},
                    {"name": "SPACED_PASSWORD", "value": "it's two words"},
                    {"name": "HTTPS_PROXY", "value": "http://me:swordfish@proxy:3128"},
                    {"name": "RUST_LOG", "value": "debug"},
                    {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "postgres", "key": "uri"}}},
                ]}],
            },
        });
        let mut mask = Mask::default();
        hide_named(&mut object, &mut mask);
        hide_known(&mut object, &mask);
        let yaml = serde_yaml::to_string(&object).unwrap();
        for hidden in ["hunter2", "swordfish", "debug", "keypass", "two", "managedFields", "last-applied"] {
            assert!(!yaml.contains(hidden), "{hidden} in {yaml}");
        }
        for shown in ["team: market", "client.id: me", "RUST_LOG", "key: uri", "name: postgres"] {
            assert!(yaml.contains(shown), "no {shown} in {yaml}");
        }
        let log = mask.apply("hunter2 and swordfish were refused, debug was not");
        assert_eq!(log, "(masked) and (masked) were refused, debug was not");
    }
}
