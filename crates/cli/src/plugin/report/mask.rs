//! Hides passwords in texts: those that are known from what was gathered, in every form in which programs write them, and
//! whatever stands where passwords stand.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::ByteString;
use regex::{Captures, Regex};

/// What stands in place of a password.
pub(super) const MASKED: &str = "(masked)";
/// Shorter ones are parts of too many words to be looked for everywhere; they are masked where passwords stand.
const SHORTEST_KNOWN: usize = 6;

/// What is known and must not be told.
#[derive(Debug, Default)]
pub(super) struct Mask {
    known: BTreeSet<String>,
}

impl Mask {
    /// A value that must stand nowhere.
    pub(super) fn learn(&mut self, value: &str) {
        for value in [value.trim(), &percent_decoded(value.trim())] {
            if value.len() >= SHORTEST_KNOWN && value != MASKED {
                self.known.extend([value.to_owned(), percent_encoded(value), json_escaped(value)]);
                self.known.extend(base64_forms(value));
            }
        }
    }

    /// The passwords of the URLs in a text: the same may stand elsewhere without its URL.
    pub(super) fn learn_from_text(&mut self, text: &str) {
        let found: Vec<&str> = URL_PASSWORD
            .captures_iter(text)
            .filter_map(|found| found.name("value"))
            .map(|it| it.as_str())
            .collect();
        for value in found {
            self.learn(value);
        }
    }

    /// The text without passwords.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: one may be part of another.
        let mut known: Vec<&String> = self.known.iter().collect();
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in known {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), MASKED);
            }
        }
        for pattern in PATTERNS.iter() {
            text =
                pattern.replace_all(&text, |found: &Captures<'_>| without_value(&text, found)).into_owned();
        }
        text
    }
}

/// What was found, but for its value.
fn without_value(text: &str, found: &Captures<'_>) -> String {
    let (Some(whole), Some(value)) = (found.get(0), found.name("value")) else { return MASKED.to_owned() };
    if ["true", "false", "null"].contains(&value.as_str()) {
        return whole.as_str().to_owned();
    }
    format!("{}{MASKED}{}", &text[whole.start()..value.start()], &text[value.end()..whole.end()])
}

/// Whether what has this name is to be hidden: `POSTGRES_PASSWORD`, `sasl.password`, `apiKey`.
pub(super) fn names_a_secret(name: &str) -> bool {
    SECRET_NAME.is_match(name)
}

const SECRET_NAMES: &str = r"(?:passwords?|passwd|passphrase|pwd|secrets?|tokens?|api[_.-]?keys?|private[_.-]?keys?|access[_.-]?keys?|ssl[_.-]?key[_.-]?pem|credentials?)";

static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?i){SECRET_NAMES}$")));

/// `scheme://user:password@host`; a password may hold slashes and at signs that nobody has encoded.
static URL_PASSWORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@"'`]*:(?P<value>[^\s"'`]+)@"#));

/// What stands where passwords stand.
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let named = format!(r#"(?i){SECRET_NAMES}\\?["']?[ \t]*[:=][ \t]*"#);
    vec![
        URL_PASSWORD.clone(),
        // In a JSON text inside of another, in JSON, in a shell's or YAML's quotes, and without any.
        pattern(&format!(r#"{named}\\"(?P<value>[^"\\]+)"#)),
        pattern(&format!(r#"{named}"(?P<value>(?:[^"\\]|\\.)+)"#)),
        pattern(&format!(r"{named}'(?P<value>[^']+)")),
        pattern(&format!(r#"{named}(?P<value>[^\s,;&"'(){{}}\[\]\\]+)"#)),
        pattern(
            r#"(?i)authorization\\?["']?[ \t]*[:=][ \t]*\\?["']?(?P<value>(?:[A-Za-z]+[ \t]+)?[^\s"',\\()]+)"#,
        ),
        // A web token, wherever it stands.
        pattern(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
        pattern(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
    ]
});

fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are this file's own, and a test compiles each")]
    Regex::new(text).expect("a pattern of this file")
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn percent_encoded(value: &str) -> String {
    let encode =
        |byte: u8| if is_unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(encode).collect()
}

fn percent_decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.trim_matches('"').to_owned()
}

/// What base64 makes of the value, wherever in a longer text it stands: that depends on how many bytes come before, and the
/// characters that it shares with its neighbours are not its own.
fn base64_forms(value: &str) -> impl Iterator<Item = String> {
    let forms = (0..3_usize).filter_map(move |before| {
        let bytes = [&[0; 2][..before], value.as_bytes()].concat();
        let encoded = serde_json::to_value(ByteString(bytes)).ok()?;
        let own = (8 * before).div_ceil(6)..8 * (before + value.len()) / 6;
        encoded.as_str()?.get(own).map(str::to_owned)
    });
    forms.flat_map(|form| [form.replace('+', "-").replace('/', "_"), form])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As no word of a text, and with what has to be encoded.
    const PASSWORD: &str = "Tr0ub4dor/&3+x";

    fn masked(text: &str) -> String {
        Mask::default().apply(text)
    }

    #[test]
    fn what_stands_where_passwords_stand_is_masked() {
        for (text, expected) in [
            ("postgres://market:hunter2@db:5432/market", "postgres://market:(masked)@db:5432/market"),
            ("redis://:hunter2@cache", "redis://:(masked)@cache"),
            ("postgres://m:a/b@c@db/market is away", "postgres://m:(masked)@db/market is away"),
            (
                "connect: user=market password=hunter2 host=db",
                "connect: user=market password=(masked) host=db",
            ),
            ("PGPASSWORD='two words' psql", "PGPASSWORD='(masked)' psql"),
            (r#"{"password":"a \" b","user":"m"}"#, r#"{"password":"(masked)","user":"m"}"#),
            (
                r#"{"m":"{\"sasl.password\":\"x\",\"u\":1}"}"#,
                r#"{"m":"{\"sasl.password\":\"(masked)\",\"u\":1}"}"#,
            ),
            ("GET /x?api_key=abc&b=1", "GET /x?api_key=(masked)&b=1"),
            ("Authorization: Bearer abc.def", "Authorization: (masked)"),
            ("a eyJhbGciOi.eyJzdWIi.c2ln b", "a (masked) b"),
            ("-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\nx", "(masked)\nx"),
        ] {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(expected), expected, "a second time");
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for text in [
            "SecretNotFound: Secret postgres does not exist",
            "connectionSecret: {name: postgres, key: uri}",
            "secretName: kafka-user",
            "automountServiceAccountToken: false",
            "http://exchange-sim:9080/api/v3/trades?symbol=BTCUSDT",
            "postgres://market@db/market",
            "image: cryptopipeline:dev@sha256:abc",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_known_password_is_found_in_every_form() {
        let mut mask = Mask::default();
        mask.learn_from_text(&format!("postgres://market:{}@db", percent_encoded(PASSWORD)));
        let url = format!("postgres://market:{PASSWORD}@db/market");
        let basic = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
        let texts = [
            format!("it was {PASSWORD} that was refused"),
            format!("it was {} that was refused", percent_encoded(PASSWORD)),
            serde_json::json!({"said": format!("\"{PASSWORD}\"")}).to_string(),
            basic(PASSWORD).to_string(),
            basic(&format!("u:{PASSWORD}!")).to_string(),
            basic(&format!("us:{PASSWORD}")).to_string(),
            basic(&url).to_string(),
        ];
        for text in texts {
            let masked = mask.apply(&text);
            assert!(masked.contains(MASKED), "{masked}");
            for form in mask.known.iter() {
                assert!(!masked.contains(form.as_str()), "{masked}");
            }
            assert!(!masked.contains("Tr0ub4dor"), "{masked}");
        }
    }

    #[test]
    fn a_short_value_is_no_reason_to_mask_words() {
        let mut mask = Mask::default();
        mask.learn("info");
        assert_eq!(mask.apply("level info"), "level info");
    }
}
