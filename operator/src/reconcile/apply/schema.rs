//! Migrates and claims the schema.

use std::time::Duration;

use crds::CryptoPipeline;
use crds::condition::Reason;
use kube::runtime::reflector::ObjectRef;
use runtime::error_chain::error_chain;
use store::{
    BegunSeries, Claim, CompatibilityError, LATEST_SCHEMA_VERSION, SeriesError, Store, StoreError, time_text,
};

use super::{Applied, Deed};
use crate::reconcile::observe::database::{CONNECT, Databases, SchemaKey, failure};
use crate::reconcile::plan::{Complaint, SchemaPlan, SchemaStep};

/// For one migration; it goes on from where it stopped if it takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Carries out the schema's step, if nobody is before `asker`.
pub async fn apply_schema(
    plan: &SchemaPlan,
    key: &SchemaKey,
    databases: &Databases,
    asker: &ObjectRef<CryptoPipeline>,
    applied: &mut Applied,
) {
    let migrate = match plan.step {
        SchemaStep::Wait | SchemaStep::Refuse(_) => return,
        SchemaStep::Keep => return begin_series(plan, key, databases, applied).await,
        SchemaStep::Migrate => true,
        SchemaStep::Claim => false,
    };
    let Some(_turn) = databases.turn_to_migrate(key, asker) else {
        let message =
            format!("schema {} is made after others of its database, which are being made", plan.name);
        applied.schema_failure = Some(Complaint::new(Reason::Waiting, message));
        applied.waits_for_its_turn = true;
        return;
    };
    match tokio::time::timeout(LIMIT, take(plan, key, migrate)).await {
        Ok(Ok(Claim::Ours)) => {
            applied.schema_version = Some(LATEST_SCHEMA_VERSION);
            // Before any worker can hold a trade that belongs to one of them.
            begin_series(plan, key, databases, applied).await;
            if migrate {
                let message = format!("schema {} to version {LATEST_SCHEMA_VERSION}", plan.name);
                applied.deeds.push(Deed { reason: "SchemaMigrated", message });
            }
        }
        Ok(Ok(Claim::Other(owner))) => {
            let message = format!(
                "schema {} belongs to the CryptoPipeline {}/{} (uid {}): name another schema",
                plan.name, owner.namespace, owner.name, owner.uid
            );
            applied.schema_failure = Some(Complaint::new(Reason::SchemaOwnedByAnother, message));
        }
        Ok(Err(error)) => applied.schema_failure = Some(complaint(plan, &error)),
        Err(_) => {
            let message = format!("the migration took longer than {} s", LIMIT.as_secs());
            applied.schema_failure = Some(Complaint::new(Reason::DatabaseUnreachable, message));
        }
    }
    databases.look_again(key).await;
}

/// Begins the series that are due.
async fn begin_series(plan: &SchemaPlan, key: &SchemaKey, databases: &Databases, applied: &mut Applied) {
    if plan.series.to_begin.is_empty() {
        return;
    }
    let begun = async {
        let store = Store::connect(&key.connection, &key.schema, CONNECT).await?;
        let mut refused = Vec::new();
        for BegunSeries { market, since_us } in &plan.series.to_begin {
            match store.begin_series(market, *since_us).await {
                Ok(()) => {
                    let since = time_text(*since_us);
                    let message = format!("the trades of {market} since {since} are a series of their own");
                    applied.deeds.push(Deed { reason: "SeriesBegun", message });
                }
                Err(SeriesError::Store(error)) => return Err(error),
                Err(error) => refused.push(format!("spec.sources[].series of {market}: {error}")),
            }
        }
        store.close().await;
        Ok(refused)
    };
    applied.schema_failure = match tokio::time::timeout(LIMIT, begun).await {
        Ok(Ok(refused)) if refused.is_empty() => None,
        Ok(Ok(refused)) => Some(Complaint::new(Reason::RuleBroken, refused.join("; "))),
        Ok(Err(error)) => Some(complaint(plan, &error)),
        Err(_) => {
            let message = format!("a series did not begin within {} s", LIMIT.as_secs());
            Some(Complaint::new(Reason::DatabaseUnreachable, message))
        }
    };
    databases.look_again(key).await;
}

/// Makes the views under other names that are wished, and drops the others: the last of all, since nothing waits for them.
pub async fn apply_views(plan: &SchemaPlan, key: &SchemaKey, databases: &Databases, applied: &mut Applied) {
    let Some(views) = plan.views.as_ref().filter(|_| plan.step.leads_to_a_schema()) else { return };
    if applied.schema_failure.is_some() {
        return;
    }
    let made = async {
        let store = Store::connect(&key.connection, &key.schema, CONNECT).await?;
        let made = store.make_compatibility_views(views).await;
        // They stand among the tables that the workers' user is asked to be able to read.
        let let_in = match (&made, &plan.let_in) {
            (Ok(()), Some(user)) => store.grant_rows(user).await,
            _ => Ok(()),
        };
        store.close().await;
        made.and(let_in.map_err(CompatibilityError::from))
    };
    applied.views_failure = match tokio::time::timeout(LIMIT, made).await {
        Ok(Ok(())) => {
            let message = match views.systems.len() {
                0 => "the views under other names are dropped".to_owned(),
                _ => format!("schema {} has the views that database.compatibility names", views.schema),
            };
            applied.deeds.push(Deed { reason: "ViewsMade", message });
            None
        }
        Ok(Err(CompatibilityError::Store(error)))
            if failure(&error).is_transient && !error.is_refused_statement() =>
        {
            Some(Complaint::new(Reason::DatabaseUnreachable, error_chain(&error)))
        }
        Ok(Err(error)) => Some(Complaint::new(
            Reason::ViewsNotMade,
            format!("spec.database.compatibility: {}", error_chain(&error)),
        )),
        Err(_) => Some(Complaint::new(
            Reason::ViewsNotMade,
            "spec.database.compatibility: an index for the views takes its time, and goes on in the database",
        )),
    };
    databases.look_again(key).await;
}

async fn take(plan: &SchemaPlan, key: &SchemaKey, migrate: bool) -> Result<Claim, StoreError> {
    let store = Store::connect(&key.connection, &key.schema, CONNECT).await?;
    let taken = async {
        if migrate {
            store.migrate().await?;
        }
        if let Some(predecessor) = &plan.predecessor {
            store.hand_over(predecessor, &plan.owner).await?;
        }
        let claim = store.claim(&plan.owner).await?;
        if let (Claim::Ours, Some(user)) = (&claim, &plan.let_in) {
            store.grant_rows(user).await?;
        }
        Ok(claim)
    };
    let taken = taken.await;
    store.close().await;
    taken
}

fn complaint(plan: &SchemaPlan, error: &StoreError) -> Complaint {
    let SchemaPlan { name, found_version, .. } = plan;
    let text = error_chain(error);
    match (error, found_version) {
        (StoreError::SchemaTooNew { .. }, _) => Complaint::new(Reason::SchemaTooNew, text),
        _ if failure(error).is_transient => Complaint::new(Reason::DatabaseUnreachable, text),
        // It is one transaction, and has changed nothing.
        (StoreError::Migration(_), Some(found)) => Complaint::new(
            Reason::MigrationFailed,
            format!(
                "schema {name} cannot be brought from version {found} to {LATEST_SCHEMA_VERSION}; what runs goes on with {found}: {text}"
            ),
        ),
        (StoreError::Migration(_), None) => Complaint::new(
            Reason::MigrationFailed,
            format!("the tables of schema {name} cannot be made: {text}"),
        ),
        _ => Complaint::new(Reason::DatabaseRefused, text),
    }
}
