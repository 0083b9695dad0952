//! One suite for every database. PostgreSQL is found by `POSTGRES_URL`, MariaDB by `MYSQL_URL`; `REQUIRE_SERVICES=1` makes
//! their absence a failure instead of a message.

mod checks;
mod alike;
mod claims;
mod compatibility;
mod completeness;
mod database;
mod exactly_once;
mod faults;
mod head;
mod history;
mod indicators;
mod kraken;
mod mysql;
mod rebuild;
mod refused;
mod retention;
mod room;
mod series;
mod tickers;
mod turns;

use std::time::Duration;

use database::TestDatabase;

/// Writers that wait for each other for ever are a failure, not a test run without end.
async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test waits in vain");
}

macro_rules! suite {
    ($($module:ident::$test:ident,)*) => {
        mod on_sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                in_time($module::$test(TestDatabase::sqlite().await)).await;
            })*
        }

        mod on_postgres {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(database) = TestDatabase::postgres().await {
                    in_time($module::$test(database)).await;
                }
            })*
        }

        mod on_mysql {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(database) = TestDatabase::mysql().await {
                    in_time($module::$test(database)).await;
                }
            })*
        }
    };
}

suite! {
    claims::migrating_twice_changes_nothing,
    claims::a_newer_schema_is_refused_and_left_alone,
    claims::a_program_works_on_while_a_newer_one_has_only_added,
    claims::a_schema_belongs_to_the_first_claimant,
    claims::a_schema_is_handed_over_only_by_who_has_it,
    claims::only_the_owner_drops_a_schema,
    exactly_once::rows_candles_ledger_and_offsets_are_committed_together,
    exactly_once::any_order_repetition_and_batching_by_two_writers_gives_one_result,
    exactly_once::largest_and_smallest_decimals_survive_the_round_trip,
    exactly_once::unreadable_and_future_records_are_set_aside_and_counted,
    exactly_once::an_interval_added_later_is_built_from_a_finer_one,
    exactly_once::offsets_beyond_the_expected_one_are_counted_as_skipped,
    faults::a_writer_that_waited_reads_what_the_other_committed,
    faults::a_commit_that_happened_unseen_is_not_repeated,
    faults::a_commit_that_did_not_happen_is_made_up_for,
    faults::offsets_set_back_are_noticed_and_counted_as_duplicates,
    faults::a_topic_made_anew_begins_at_its_beginning,
    completeness::only_windows_inside_an_unbroken_chain_are_complete,
    completeness::a_hole_makes_exactly_the_windows_over_it_incomplete,
    completeness::ids_that_the_exchange_never_gave_do_not_break_the_chain,
    completeness::a_step_back_in_time_widens_both_ends,
    completeness::an_interval_switched_off_and_on_does_not_claim_what_it_missed,
    completeness::proven_empty_windows_are_shown_with_the_close_before_them,
    completeness::holes_are_told_newest_first,
    completeness::the_view_names_intervals_as_the_spec_does,
    head::silence_is_proven_by_two_probes_that_find_nothing_newer,
    head::what_the_exchange_has_and_we_have_not_is_a_hole_at_the_end,
    head::a_market_of_which_nothing_came_misses_what_came_since_the_first_probe,
    head::answers_that_lag_behind_or_come_too_soon_are_passed_over,
    head::ids_without_a_trade_are_void_until_a_trade_comes,
    checks::complete_windows_that_were_not_compared_are_told_newest_first,
    checks::a_candle_that_changed_is_compared_again_and_its_verdict_is_no_longer_told,
    checks::windows_without_trades_are_compared_too,
    checks::candles_since_a_version_are_those_that_changed_after_it,
    rebuild::what_is_removed_is_missing_and_comes_back_equal,
    rebuild::what_would_be_removed_is_told_and_stays,
    rebuild::nothing_claims_to_be_complete_over_what_was_removed,
    rebuild::the_first_and_the_newest_ids_are_wished_for_too,
    rebuild::ids_that_reach_over_an_edge_widen_the_windows,
    rebuild::altered_ids_at_an_edge_widen_the_windows,
    rebuild::a_rebuild_that_nobody_would_repair_is_refused,
    rebuild::empty_windows_are_rebuilt_with_their_neighbours,
    rebuild::intervals_that_do_not_divide_each_other_are_removed_whole,
    history::trades_of_a_file_join_the_live_ones_and_are_counted_with_the_file,
    history::a_file_is_loaded_until_it_is_read_anew,
    history::a_wished_start_says_what_is_missing_behind_it_and_nothing_before_it,
    history::a_start_is_wished_without_a_probe_too,
    history::history_below_a_floor_enters_the_ledger_only,
    history::what_cannot_be_held_of_a_file_is_set_aside_under_its_name,
    indicators::in_whatever_order_trades_come_the_same_is_said_of_them,
    indicators::averages_alone_are_said_where_they_alone_are_asked_for,
    indicators::whales_alone_are_said_where_they_alone_are_asked_for,
    indicators::what_a_rebuild_removes_is_said_again,
    indicators::an_order_is_final_once_the_trades_beside_it_are_known,
    indicators::where_none_are_asked_for_nothing_is_said,
    indicators::a_large_flush_stores_what_small_ones_do,
    indicators::a_late_trade_leaves_rows_alone_of_which_the_same_is_said,
    indicators::whales_go_with_the_candles_and_totals_stay,
    kraken::exactly_the_whole_minutes_are_complete_and_are_the_exchanges_own,
    refused::refused_trades_are_accounted_for_and_no_candle_over_them_is_complete,
    refused::what_the_exchange_has_and_cannot_be_held_is_no_hole_and_never_void,
    refused::no_record_makes_a_flush_or_a_query_fail,
    refused::sums_that_do_not_fit_a_new_interval_do_not_stop_the_flush,
    refused::an_id_far_beyond_the_exchanges_own_is_set_aside_and_makes_no_hole,
    refused::a_chain_beyond_the_probed_id_is_not_proven_by_it,
    series::ids_that_begin_anew_are_set_aside_until_a_series_begins,
    series::a_series_begins_once_and_after_all_that_is_held,
    series::the_exchange_itself_can_prove_that_it_numbers_anew,
    series::silence_that_was_proven_by_probes_ends_with_the_series,
    series::every_wished_trade_of_a_new_series_is_missing_until_it_is_held,
    retention::days_below_the_floor_are_dropped_and_claim_nothing,
    retention::trades_below_the_floor_enter_the_ledger_only,
    room::days_count_as_their_table,
    tickers::samples_candles_and_offsets_are_committed_together,
    tickers::a_sample_counts_once_whoever_sends_it_and_however_often,
    tickers::an_interval_added_later_knows_the_samples_of_its_windows,
    tickers::what_the_exchange_says_of_the_day_is_kept_as_it_is,
    tickers::samples_and_their_candles_go_with_their_floors,
    tickers::trades_and_samples_of_one_batch_do_not_touch_each_other,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listing_of_the_tables_is_that_of_the_migrations() {
    let Some(database) = TestDatabase::postgres().await else { return };
    let crate::Backend::Postgres(postgres) = &database.store.backend else { return };
    assert_is_committed(&postgres.listing().await.unwrap(), "postgres.txt");
    assert_eq!(database.store.differences().await.unwrap(), Vec::<String>::new());
    for statement in [
        "ALTER TABLE owner ALTER COLUMN uid TYPE varchar(80)",
        "ALTER TABLE trades ADD COLUMN note text",
        "CREATE INDEX ON trades (price)",
        "DROP VIEW holes CASCADE",
    ] {
        database.execute(statement).await;
    }
    let differences = database.store.differences().await.unwrap();
    assert!(
        differences
            .contains(&"column owner.uid is character varying(80) not null, not text not null".to_owned())
    );
    assert!(differences.iter().any(|line| line.starts_with("view holes (") && line.ends_with("is missing")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listing_of_the_tables_of_mysql_is_that_of_the_migrations() {
    let Some(database) = TestDatabase::mysql().await else { return };
    let crate::Backend::MySql(mysql) = &database.store.backend else { return };
    assert_is_committed(&mysql.listing().await.unwrap(), "mysql.txt");
    assert_eq!(database.store.differences().await.unwrap(), Vec::<String>::new());
    for statement in [
        "ALTER TABLE owner MODIFY COLUMN uid VARCHAR(80)",
        "ALTER TABLE trades ADD COLUMN note TEXT",
        "CREATE INDEX by_price ON trades (price)",
        "ALTER TABLE symbol_head DROP INDEX symbol_head_current",
        "DROP VIEW holes",
        "DROP PROCEDURE make_day",
    ] {
        database.execute(statement).await;
    }
    assert_eq!(
        database.store.differences().await.unwrap(),
        [
            "column owner.uid is varchar(80), not varchar(255) not null",
            "procedure make_day is missing",
            "unique index of symbol_head (venue, symbol, is_current) is missing",
            "view holes (symbol_id, first_id, last_id) is missing",
        ]
    );
}

fn assert_is_committed(listing: &[String], file: &str) {
    let mut listing = listing.join("\n");
    listing.push('\n');
    let path = format!("{}/schema/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_SCHEMA_LISTING").is_some() {
        std::fs::write(&path, &listing).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(listing == committed, "{path} is stale: run this test with UPDATE_SCHEMA_LISTING=1");
}

/// Every migration: version and text.
fn migrations() -> impl Iterator<Item = (i64, String)> {
    crate::postgres::migrations().chain(crate::mysql::migrations()).chain(crate::sqlite::migrations())
}

/// Migrations from the one on that brought the rule. What looks like taking away may be none: then it says why.
#[test]
fn a_migration_that_takes_something_away_says_which_programs_it_shuts_out() {
    const TAKES_AWAY: [&str; 5] = ["DROP ", "RENAME ", "ALTER COLUMN", "SET NOT NULL", "ADD CONSTRAINT"];
    for (version, text) in migrations() {
        let takes_away = TAKES_AWAY.iter().find(|words| text.contains(**words));
        let says_so = text.contains(&format!("UPDATE compatibility SET oldest_known_version = {version};"));
        let says_why_not = text.contains("-- Older programs go on: ");
        assert!(
            version <= 8 || takes_away.is_none() || says_so || says_why_not,
            "migration {version}: {takes_away:?}"
        );
    }
}

#[test]
fn the_latest_version_is_that_of_the_newest_migrations() {
    let newest =
        |migrations: &mut dyn Iterator<Item = (i64, String)>| migrations.map(|(version, _)| version).max();
    assert_eq!(newest(&mut crate::postgres::migrations()), Some(crate::LATEST_SCHEMA_VERSION));
    assert_eq!(newest(&mut crate::mysql::migrations()), Some(crate::LATEST_SCHEMA_VERSION));
    assert_eq!(newest(&mut crate::sqlite::migrations()), Some(crate::LATEST_SCHEMA_VERSION));
}
