//! What clients say: `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`.

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::stream_name;

/// What a client wants, once its message has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    ListSubscriptions,
    SetCombined(bool),
    GetCombined,
}

/// A message that is refused, as the exchange numbers and words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    code: i32,
    message: String,
}

#[derive(Deserialize)]
struct Request {
    method: Method,
    #[serde(default)]
    params: Vec<Value>,
    #[serde(default)]
    id: Value,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    Subscribe,
    Unsubscribe,
    ListSubscriptions,
    SetProperty,
    GetProperty,
}

/// Reads a message: its id, to be repeated in the answer, and what it wants.
pub(super) fn parse(text: &str) -> (Value, Result<Wish, Refusal>) {
    match serde_json::from_str::<Request>(text) {
        Ok(request) if !is_id(&request.id) => {
            (Value::Null, Err(invalid_request("request ID must be an unsigned integer")))
        }
        Ok(request) => (request.id, wish(request.method, &request.params)),
        Err(error) if error.classify() == Category::Data => {
            let id = serde_json::from_str::<Value>(text).ok().and_then(|value| value.get("id").cloned());
            (id.filter(is_id).unwrap_or_default(), Err(invalid_request(&error.to_string())))
        }
        Err(error) => (Value::Null, Err(Refusal { code: 3, message: format!("Invalid JSON: {error}") })),
    }
}

/// `{"result":..,"id":..}`.
pub(super) fn result(id: &Value, result: &Value) -> String {
    format!(r#"{{"result":{result},"id":{id}}}"#)
}

/// `{"error":{"code":..,"msg":..},"id":..}`: nested, as it is on the wire, not flat as in the documentation.
pub(super) fn error(id: &Value, refusal: &Refusal) -> String {
    let message = Value::from(refusal.message.as_str());
    format!(r#"{{"error":{{"code":{},"msg":{message}}},"id":{id}}}"#, refusal.code)
}

fn invalid_request(reason: &str) -> Refusal {
    Refusal { code: 2, message: format!("Invalid request: {reason}") }
}

/// A signed 64-bit integer, up to 36 letters and digits, or null.
fn is_id(id: &Value) -> bool {
    match id {
        Value::Null => true,
        Value::Number(number) => number.is_i64(),
        Value::String(text) => {
            text.len() <= 36 && text.chars().all(|character| character.is_ascii_alphanumeric())
        }
        _ => false,
    }
}

fn wish(method: Method, params: &[Value]) -> Result<Wish, Refusal> {
    match method {
        Method::Subscribe => stream_names(params).map(Wish::Subscribe),
        Method::Unsubscribe => stream_names(params).map(Wish::Unsubscribe),
        Method::ListSubscriptions if params.is_empty() => Ok(Wish::ListSubscriptions),
        Method::ListSubscriptions => Err(invalid_request("too many parameters")),
        Method::SetProperty => set_property(params),
        Method::GetProperty => {
            property(params)?;
            if params.len() > 1 { Err(invalid_request("too many parameters")) } else { Ok(Wish::GetCombined) }
        }
    }
}

fn stream_names(params: &[Value]) -> Result<Vec<String>, Refusal> {
    let name = |param: &Value| {
        let name = param.as_str().filter(|name| stream_name::is_well_formed(name));
        name.map(str::to_owned).ok_or_else(|| invalid_request("invalid stream"))
    };
    params.iter().map(name).collect()
}

fn set_property(params: &[Value]) -> Result<Wish, Refusal> {
    property(params)?;
    match params {
        [_, Value::Bool(combined)] => Ok(Wish::SetCombined(*combined)),
        [_] | [_, _] => Err(Refusal { code: 1, message: "Invalid value type: expected Boolean".to_owned() }),
        _ => Err(invalid_request("too many parameters")),
    }
}

/// Checks that the property that is named exists.
fn property(params: &[Value]) -> Result<(), Refusal> {
    match params.first() {
        Some(Value::String(name)) if name == "combined" => Ok(()),
        Some(Value::String(_)) => Err(Refusal { code: 0, message: "Unknown property".to_owned() }),
        _ => Err(invalid_request("property name must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn understands_every_method() {
        for (text, id, wish) in [
            (
                r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":1}"#,
                json!(1),
                Wish::Subscribe(names(&["btcusdt@trade", "ethusdt@trade"])),
            ),
            (
                r#"{"id":"a1","method":"UNSUBSCRIBE","params":["ethusdt@trade"]}"#,
                json!("a1"),
                Wish::Unsubscribe(names(&["ethusdt@trade"])),
            ),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":-3}"#, json!(-3), Wish::ListSubscriptions),
            (
                r#"{"method":"SET_PROPERTY","params":["combined",true],"id":null}"#,
                json!(null),
                Wish::SetCombined(true),
            ),
            (r#"{"method":"GET_PROPERTY","params":["combined"]}"#, json!(null), Wish::GetCombined),
        ] {
            assert_eq!(parse(text), (id, Ok(wish)), "{text}");
        }
    }

    #[test]
    fn refuses_in_the_exchanges_words() {
        for (text, id, code, message) in [
            ("{", json!(null), 3, "Invalid JSON: EOF while parsing an object at line 1 column 1"),
            ("nonsense", json!(null), 3, "Invalid JSON: expected ident at line 1 column 2"),
            (r#"{"id":7}"#, json!(7), 2, "Invalid request: missing field `method` at line 1 column 8"),
            (
                r#"{"method":"BUY","id":7}"#,
                json!(7),
                2,
                "Invalid request: unknown variant `BUY`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 15",
            ),
            (
                r#"{"method":"SUBSCRIBE","params":["btcusdt"],"id":1}"#,
                json!(1),
                2,
                "Invalid request: invalid stream",
            ),
            (r#"{"method":"SUBSCRIBE","params":[5],"id":1}"#, json!(1), 2, "Invalid request: invalid stream"),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","id":1.5}"#,
                json!(null),
                2,
                "Invalid request: request ID must be an unsigned integer",
            ),
            (
                r#"{"method":"LIST_SUBSCRIPTIONS","params":[1],"id":1}"#,
                json!(1),
                2,
                "Invalid request: too many parameters",
            ),
            (
                r#"{"method":"SET_PROPERTY","params":["combined","x"],"id":1}"#,
                json!(1),
                1,
                "Invalid value type: expected Boolean",
            ),
            (r#"{"method":"SET_PROPERTY","params":["x",true],"id":1}"#, json!(1), 0, "Unknown property"),
            (
                r#"{"method":"GET_PROPERTY","params":[1],"id":1}"#,
                json!(1),
                2,
                "Invalid request: property name must be a string",
            ),
        ] {
            let refusal = Refusal { code, message: message.to_owned() };
            assert_eq!(parse(text), (id, Err(refusal)), "{text}");
        }
    }

    #[test]
    fn answers_repeat_the_id_and_errors_are_nested() {
        assert_eq!(result(&json!("a1"), &Value::Null), r#"{"result":null,"id":"a1"}"#);
        assert_eq!(
            error(&json!(1), &invalid_request("invalid \"stream\"")),
            r#"{"error":{"code":2,"msg":"Invalid request: invalid \"stream\""},"id":1}"#
        );
    }
}
