//! Whether and how much is traced, from the standard's variables that the SDK does not read by itself, or reads without a word
//! where it cannot use them.

use super::TelemetryError;

/// One frame in a thousand where no sampler is set: an exchange sends many.
const DEFAULT_FRAME_RATIO: f64 = 0.001;

/// How much is traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TraceSettings {
    /// The share of the exchange's frames, 0 to 1.
    pub(super) frame_ratio: f64,
    /// The share of everything else that begins a trace, such as reconciles.
    pub(super) other_ratio: f64,
}

impl TraceSettings {
    /// What `variable` says; `None` where nothing is to be traced.
    ///
    /// # Errors
    /// [`TelemetryError::InvalidValue`] where one says what it cannot.
    pub(super) fn read(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, TelemetryError> {
        let given = |name| variable(name).filter(|value| !value.is_empty());
        let endpoint =
            given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| given("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let is_disabled = given("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if endpoint.is_none() || is_disabled {
            return Ok(None);
        }
        let may_be = |name, allowed: &[&str], rule| match given(name) {
            Some(value) if !allowed.contains(&value.as_str()) => {
                Err(TelemetryError::InvalidValue { variable: name, value, rule })
            }
            value => Ok(value),
        };
        let exporter = may_be("OTEL_TRACES_EXPORTER", &["otlp", "none"], "otlp or none")?;
        if exporter.as_deref() == Some("none") {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            may_be(name, &["http/protobuf"], "http/protobuf, the only protocol of these programs")?;
        }
        read_sampler(given)
    }
}

fn read_sampler(
    given: impl Fn(&'static str) -> Option<String>,
) -> Result<Option<TraceSettings>, TelemetryError> {
    let all = |ratio| Ok(Some(TraceSettings { frame_ratio: ratio, other_ratio: ratio }));
    let variable = "OTEL_TRACES_SAMPLER";
    let Some(sampler) = given(variable) else {
        return Ok(Some(TraceSettings { frame_ratio: DEFAULT_FRAME_RATIO, other_ratio: 1.0 }));
    };
    match sampler.as_str() {
        "always_off" => Ok(None),
        "parentbased_always_off" => all(0.0),
        "always_on" | "parentbased_always_on" => all(1.0),
        "traceidratio" | "parentbased_traceidratio" => {
            let variable = "OTEL_TRACES_SAMPLER_ARG";
            let Some(value) = given(variable) else { return all(1.0) };
            match value.parse() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => all(ratio),
                _ => Err(TelemetryError::InvalidValue { variable, value, rule: "a ratio from 0 to 1" }),
            }
        }
        _ => Err(TelemetryError::InvalidValue {
            variable,
            value: sampler,
            rule: "always_on, always_off, traceidratio, or one of these after parentbased_",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn read(variables: &[(&str, &str)]) -> Result<Option<TraceSettings>, String> {
        let value_of = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        TraceSettings::read(value_of).map_err(|error| error.to_string())
    }

    fn ratios(variables: &[(&str, &str)]) -> Option<(f64, f64)> {
        read(&[&[ENDPOINT], variables].concat())
            .unwrap()
            .map(|settings| (settings.frame_ratio, settings.other_ratio))
    }

    #[test]
    fn nothing_is_traced_without_an_endpoint_or_against_the_users_word() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(read(&[ENDPOINT, off]), Ok(None), "{off:?}");
        }
        assert!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")]).unwrap().is_some());
    }

    #[test]
    fn the_ratio_is_the_samplers() {
        let sampler = |name| ("OTEL_TRACES_SAMPLER", name);
        assert_eq!(ratios(&[]), Some((0.001, 1.0)));
        assert_eq!(ratios(&[sampler("always_off")]), None);
        assert_eq!(ratios(&[sampler("parentbased_always_off")]), Some((0.0, 0.0)));
        assert_eq!(ratios(&[sampler("parentbased_traceidratio")]), Some((1.0, 1.0)));
        let arg = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
        assert_eq!(ratios(&[sampler("traceidratio"), arg]), Some((0.25, 0.25)));
        // Of samplers that take none it is not asked.
        assert_eq!(ratios(&[sampler("always_on"), arg]), Some((1.0, 1.0)));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (variable, value, said) in [
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", "is not always_on, always_off"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "is not http/protobuf"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "is not otlp or none"),
        ] {
            let error = read(&[ENDPOINT, (variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{variable}={value:?} {said}")), "{error}");
        }
        for ratio in ["1.5", "-0.1", "NaN", "much"] {
            let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", ratio)];
            let error = read(&[&[ENDPOINT], &sampler[..]].concat()).unwrap_err();
            assert_eq!(error, format!("OTEL_TRACES_SAMPLER_ARG={ratio:?} is not a ratio from 0 to 1"));
        }
    }
}
