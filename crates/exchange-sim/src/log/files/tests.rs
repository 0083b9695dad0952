use std::fs;
use std::io::Write;

use super::*;

fn file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    (directory, path)
}

fn read(name: &str, content: &str) -> Result<Vec<TradeLog>, ReadLogError> {
    let (_directory, path) = file(name, content);
    read_files(&[path])
}

fn trades(log: &TradeLog) -> Vec<Trade> {
    (0..).map_while(|index| log.get(index)).collect()
}

#[test]
fn the_symbol_stands_before_the_form_whatever_stands_before_it() {
    for (name, expected) in [
        ("BTCUSDT-trades-2025-03-04.csv", Some(("BTCUSDT", Form::Trades))),
        ("binance-spot-BTCUSDT-aggTrades-2026-01-01.csv.gz", Some(("BTCUSDT", Form::AggregateTrades))),
        ("1000SATSUSDT-aggTrades-2026-01.zip", Some(("1000SATSUSDT", Form::AggregateTrades))),
        ("TRXUSDT-klines-2026-01.zip", None),
        ("-trades-2026.csv", None),
        ("recorded-trades-2026.csv", None),
    ] {
        let expected = expected.map(|(symbol, form)| (SmolStr::from(symbol), form));
        assert_eq!(symbol_and_form(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn reads_trades_without_and_with_header_in_milliseconds_and_microseconds() {
    let plain =
        "7,0.23120000,2.5,0.578,1741046401271497,True,True\n8,0.2313,1,0.2313,1741046401271,False,True\n";
    let named =
        "id,price,qty,time,isBuyerMaker\n7,0.2312,2.5,1741046401271497,1\n8,0.2313,1,1741046401271,0\n";
    for content in [plain, named] {
        let logs = read("TRXUSDT-trades-2025-03-04.csv", content).unwrap();
        let trades = trades(&logs[0]);
        assert_eq!(logs[0].symbol(), "TRXUSDT");
        assert_eq!(trades.iter().map(|trade| trade.id).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(
            trades.iter().map(|trade| trade.time_us).collect::<Vec<_>>(),
            [1_741_046_401_271_497, 1_741_046_401_271_000]
        );
        assert_eq!(trades.iter().map(|trade| trade.buyer_is_maker).collect::<Vec<_>>(), [true, false]);
    }
}

#[test]
fn splits_aggregates_keeps_their_ids_and_drops_cancelled_ones() {
    let content = "100,2.00000000,0.9,10,12,1767225600039409,True,True\n\
                   101,0.0,0.0,-1,-1,1767225600039410,True,True\n\
                   102,2.1,1,13,13,1767225600039411,False,True\n";
    let trades = trades(&read("BTCUSDT-aggTrades-2026-01-01.csv", content).unwrap()[0]);
    let seen: Vec<_> =
        trades.iter().map(|trade| (trade.id, trade.aggregate_id, trade.quantity.to_string())).collect();
    let expected = [(10, 100, "0.3"), (11, 100, "0.3"), (12, 100, "0.3"), (13, 102, "1")];
    assert_eq!(seen, expected.map(|(id, aggregate, quantity)| (id, aggregate, quantity.to_owned())));
}

#[test]
fn several_files_of_a_symbol_make_one_sorted_log_without_repeats() {
    let (_first_directory, first) =
        file("TRXUSDT-trades-2.csv", "9,1,1,1,1741046401271497,1,1\n8,1,1,1,1741046401271496,1,1\n");
    let (_second_directory, second) =
        file("TRXUSDT-trades-1.csv", "8,1,1,1,1741046401271496,1,1\n7,1,1,1,1741046401271495,1,1\n");
    let (_third_directory, third) = file("ADAUSDT-trades-1.csv", "5,1,1,1,1741046401271496,1,1\n");
    let logs = read_files(&[first, second, third]).unwrap();
    let ids: Vec<(SmolStr, Vec<i64>)> = logs
        .iter()
        .map(|log| (log.symbol().clone(), trades(log).iter().map(|trade| trade.id).collect()))
        .collect();
    assert_eq!(ids, [("ADAUSDT".into(), vec![5]), ("TRXUSDT".into(), vec![7, 8, 9])]);
}

#[test]
fn reads_what_is_packed() {
    let directory = tempfile::tempdir().unwrap();
    let row = b"7,0.23120000,2.5,0.578,1741046401271497,True,True\n";
    let gz_path = directory.path().join("AUSDT-trades-1.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(File::create(&gz_path).unwrap(), flate2::Compression::fast());
    gz.write_all(row).unwrap();
    gz.finish().unwrap();
    let zip_path = directory.path().join("BUSDT-trades-1.zip");
    let mut zip = zip::ZipWriter::new(File::create(&zip_path).unwrap());
    zip.start_file("BUSDT-trades-1.csv", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(row).unwrap();
    zip.finish().unwrap();
    let logs = read_files(&[gz_path, zip_path]).unwrap();
    assert_eq!(logs.len(), 2);
    assert!(logs.iter().all(|log| log.first().unwrap().id == 7));
}

#[test]
fn errors_name_file_line_and_field() {
    for (content, expected) in [
        ("7,x,1,1,1741046401271497,1,1\n", "line 1, price: \"x\" is not a decimal number"),
        ("7,1,1,1,1741046401271497,1,1\n8,1,-1,1,1,1,1\n", "line 2, qty: -1 is negative"),
        ("7,1,1,1,1741046401271497,maybe,1\n", "line 1, isBuyerMaker: \"maybe\" is neither"),
        ("7,1,1,1,17e5,1,1\n", "line 1, time: \"17e5\" is not a whole number"),
        ("7,1,1\n", "line 1, time: the field is missing"),
        ("id,price,qty,isBuyerMaker\n", "the header has no column time"),
        (
            "7,1,1,1,1741046401271497,1,1\n7,2,1,1,1741046401271497,1,1\n",
            "TRXUSDT: trade id 7 is there twice",
        ),
        ("", "TRXUSDT: its files hold no trade"),
        (
            "7,9999999999999,9999999999999,1,1741046401271497,1,1\n",
            "TRXUSDT: prices and quantities are too large",
        ),
    ] {
        let error = read("TRXUSDT-trades-1.csv", content).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        assert!(error.contains("TRXUSDT"), "{error}");
    }
    let row = "100,2,0.00000001,10,12,1767225600039409,True,True\n";
    let error = read("BTCUSDT-aggTrades-1.csv", row).unwrap_err().to_string();
    assert!(error.contains("line 1, q: quantity 0.00000001 is too small for 3 trades"), "{error}");
    assert!(matches!(read_files(&["/no/A-trades-1.csv".into()]), Err(ReadLogError::Unreadable { .. })));
    assert!(matches!(read_files(&["/no/A.csv".into()]), Err(ReadLogError::UnknownName(_))));
}
