use super::*;

#[test]
fn commands_are_written_as_flat_json() {
    for (text, command) in [
        (r#"{"command":"disconnect"}"#, Command::Disconnect),
        (
            r#"{"command":"withhold_trades","symbol":"TRXUSDT","first_id":3,"last_id":5}"#,
            Command::WithholdTrades { symbol: "TRXUSDT".into(), first_id: 3, last_id: 5 },
        ),
        (
            r#"{"command":"false_frames","symbol":"TRXUSDT","frame":"absurd_id","count":2}"#,
            Command::FalseFrames { symbol: "TRXUSDT".into(), frame: FalseFrame::AbsurdId, count: 2 },
        ),
        (
            r#"{"command":"spoil_dump","symbol":"TRXUSDT","date":"2026-01-01","fault":"no_checksum"}"#,
            Command::SpoilDump {
                symbol: "TRXUSDT".into(),
                date: jiff::civil::date(2026, 1, 1),
                fault: DumpFault::NoChecksum,
            },
        ),
        (
            r#"{"command":"set_status","symbol":"TRXUSDT","status":"BREAK"}"#,
            Command::SetStatus { symbol: "TRXUSDT".into(), status: SymbolStatus::Break },
        ),
    ] {
        assert_eq!(serde_json::from_str::<Command>(text).unwrap(), command);
        assert_eq!(serde_json::to_string(&command).unwrap(), text);
    }
    let altered = Command::AlterKline {
        symbol: "TRXUSDT".into(),
        interval: "1m".into(),
        open_time_us: 60_000_000,
        field: KlineField::QuoteVolume,
        value: "0.5".into(),
    };
    let text = r#"{"command":"alter_kline","symbol":"TRXUSDT","interval":"1m","open_time_us":60000000,"field":"quote_volume","value":"0.5"}"#;
    assert_eq!(serde_json::to_string(&altered).unwrap(), text);
    let restart = r#"{"command":"restart_ids","symbol":"TRXUSDT"}"#;
    let from_one = Command::RestartIds { symbol: "TRXUSDT".into(), first_id: 1 };
    assert_eq!(serde_json::from_str::<Command>(restart).unwrap(), from_one);
    assert!(serde_json::from_str::<Command>(r#"{"command":"stall","symbol":"A"}"#).is_err());
    assert!(serde_json::from_str::<Command>(r#"{"command":"explode"}"#).is_err());
}
