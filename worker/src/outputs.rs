//! What is made of trades, as the settings say it: the same of live ones and of those from before.

use crds::worker_settings::IndicatorSettings;
use market::{Fixed16, InvalidInterval, ParseFixedError, WhaleValues};
use store::FlushSettings;

/// Why the settings cannot be used. Whoever wrote them has checked the spec, so nobody should ever see it.
#[derive(Debug, thiserror::Error)]
pub enum OutputsError {
    /// They name an interval that there is not.
    #[error("settings: intervals")]
    Interval(#[from] InvalidInterval),
    /// The value of a whale is no decimal.
    #[error("settings: indicators")]
    WhaleValue(#[from] ParseFixedError),
}

pub(crate) fn flush_settings(
    intervals: &[String],
    store_trades: bool,
    indicators: Option<&IndicatorSettings>,
) -> Result<FlushSettings, OutputsError> {
    let indicators = indicators.cloned().unwrap_or_default();
    let value = |text: &String| text.parse::<Fixed16>();
    let by_quote_asset = indicators.whale_values.iter().map(|(asset, text)| Ok((asset.into(), value(text)?)));
    Ok(FlushSettings {
        intervals: intervals.iter().map(|text| text.parse()).collect::<Result<_, InvalidInterval>>()?,
        store_trades,
        moving_average_trades: indicators.moving_average_trades,
        whale_values: WhaleValues {
            of_others: indicators.whale_value.as_ref().map(value).transpose()?,
            by_quote_asset: by_quote_asset.collect::<Result<_, ParseFixedError>>()?,
        },
    })
}
