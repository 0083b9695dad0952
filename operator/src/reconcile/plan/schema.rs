//! What is to be done to the schema.

use crds::condition::Reason;
use crds::spec::Compatibility;
use crds::worker_settings::PipelineId;
use crds::{CryptoPipelineSpec, CryptoPipelineStatus};
use store::{LATEST_SCHEMA_VERSION, Owner, WishedViews};

use super::Complaint;
use super::series::{SeriesPlan, plan_series};
use crate::reconcile::observe::{Observed, Reading, SchemaState, SecretState};

/// What an SQLite file, which has no schemas, is called in texts.
const NAMELESS: &str = "market";

/// The schema and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaPlan {
    /// Its name.
    pub name: String,
    /// Who is to own it.
    pub owner: Owner,
    /// The version of its tables, where there are any.
    pub found_version: Option<i64>,
    /// What is to be done now.
    pub step: SchemaStep,
    /// What is wrong with it although it is used as it is.
    pub complaint: Option<Complaint>,
    /// Whose it still is: the same pipeline before it was deleted and made anew.
    pub predecessor: Option<Owner>,
    /// The database's user that is let in when it is taken: the workers', where the operator is another one.
    pub let_in: Option<String>,
    /// The series of its symbols, which begin once it is right and ours.
    pub series: SeriesPlan,
    /// The views that are to be made of it once it is right and ours; `None` where they are as wished, or that is not known.
    pub views: Option<WishedViews>,
}

/// What is to be done to the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaStep {
    /// Nothing, until the database has answered.
    Wait,
    /// Nothing, until a person has acted.
    Refuse(Complaint),
    /// Bring its tables to the version that this program knows, and take it.
    Migrate,
    /// Take it, and let the workers' user in: its tables are right.
    Claim,
    /// Nothing: it is right, and ours.
    Keep,
}

impl SchemaStep {
    /// Whether the schema can be used once the step is done.
    #[must_use]
    pub const fn leads_to_a_schema(&self) -> bool {
        matches!(self, Self::Migrate | Self::Claim | Self::Keep)
    }
}

pub(super) fn plan_schema(
    id: &PipelineId,
    spec: &CryptoPipelineSpec,
    status: Option<&CryptoPipelineStatus>,
    observed: &Observed,
) -> SchemaPlan {
    let owner = Owner { namespace: id.namespace.clone(), name: id.name.clone(), uid: id.uid.clone() };
    let name = name_of(spec);
    let managed = spec.database.as_ref().is_none_or(|database| database.managed);
    let had_it = status.is_some_and(|status| status.schema.is_some());
    let predecessor = predecessor(&owner, had_it, observed.schema.value());
    let step = match &observed.database_secrets {
        SecretState::Missing(problem) => SchemaStep::Refuse(problem.clone().into()),
        SecretState::Pending | SecretState::NotNeeded | SecretState::Found { .. } => match &observed.schema {
            Reading::Known { value, .. } => next_step(&name, &owner, predecessor.as_ref(), managed, value),
            Reading::Failed(failure) if !failure.is_transient => {
                SchemaStep::Refuse(Complaint::new(Reason::DatabaseRefused, failure.message.clone()))
            }
            Reading::Failed(_) | Reading::Pending => SchemaStep::Wait,
        },
    };
    // Nothing is known of what has begun while it is not read, and nothing is done.
    let series = observed.schema.value().map(|schema| plan_series(spec, schema)).unwrap_or_default();
    let worker_user = observed.schema.value().and_then(|schema| schema.worker_user.clone());
    let found_version = observed.schema.value().and_then(|schema| schema.version);
    let complaint = observed.schema.value().and_then(|schema| altered(&name, schema));
    let wished_views = wished_views(spec);
    let views = observed.schema.value().filter(|schema| !schema.views.are(&wished_views));
    let views = views.filter(|_| managed).map(|_| wished_views);
    SchemaPlan {
        name,
        owner,
        found_version,
        complaint,
        step,
        predecessor,
        let_in: worker_user.filter(|_| managed),
        series,
        views,
    }
}

/// The schema's name.
pub(super) fn name_of(spec: &CryptoPipelineSpec) -> String {
    spec.database.as_ref().map_or(NAMELESS, |database| &database.schema).to_owned()
}

/// As other systems know the tables.
fn wished_views(spec: &CryptoPipelineSpec) -> WishedViews {
    let Some(database) = &spec.database else { return WishedViews::default() };
    let schema = database.compatibility_schema.as_ref().unwrap_or(&database.schema);
    let systems = database.compatibility.iter().map(|system| match system {
        Compatibility::MovingAverages => store::Compatibility::MovingAverages,
        Compatibility::Ohlc => store::Compatibility::Ohlc,
        Compatibility::Trades => store::Compatibility::Trades,
    });
    WishedViews {
        schema: schema.clone(),
        systems: systems.collect(),
        of_tickers: spec.trade_sources().next().is_none(),
    }
}

fn next_step(
    name: &str,
    owner: &Owner,
    predecessor: Option<&Owner>,
    managed: bool,
    schema: &SchemaState,
) -> SchemaStep {
    if let Some(found) = schema.version.filter(|version| *version > LATEST_SCHEMA_VERSION) {
        let message = format!(
            "schema {name} is at version {found}, this operator knows only {LATEST_SCHEMA_VERSION}: \
             a newer operator has migrated it, use that one"
        );
        return SchemaStep::Refuse(Complaint::new(Reason::SchemaTooNew, message));
    }
    let is_ours = schema.owner.as_ref().is_some_and(|found| found.uid == owner.uid);
    if let Some(other) = schema.owner.as_ref().filter(|_| !is_ours && predecessor.is_none()) {
        let message = format!(
            "schema {name} belongs to the CryptoPipeline {}/{} (uid {}): name another schema",
            other.namespace, other.name, other.uid
        );
        return SchemaStep::Refuse(Complaint::new(Reason::SchemaOwnedByAnother, message));
    }
    match schema.version {
        Some(LATEST_SCHEMA_VERSION) => match schema.locked_out() {
            None if is_ours => SchemaStep::Keep,
            Some(user) if !managed => SchemaStep::Refuse(rights_required(name, user)),
            None | Some(_) => SchemaStep::Claim,
        },
        _ if managed => SchemaStep::Migrate,
        found => {
            let found = found.map_or("not there".to_owned(), |version| format!("at version {version}"));
            let message = format!(
                "schema {name} is {found}, version {LATEST_SCHEMA_VERSION} is needed and database.managed is false: \
                 run the migrations"
            );
            SchemaStep::Refuse(Complaint::new(Reason::MigrationRequired, message))
        }
    }
}

/// Somebody has altered what the workers rely on: only who did it knows what becomes of the rows.
fn altered(name: &str, schema: &SchemaState) -> Option<Complaint> {
    const SHOWN: usize = 3;
    let differences = &schema.differences;
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown = differences.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    let message = format!("schema {name} is not as its migrations leave it: {shown}{more}: put that back");
    (!differences.is_empty()).then(|| Complaint::new(Reason::SchemaDiffers, message))
}

fn rights_required(schema: &str, user: &str) -> Complaint {
    let message = format!(
        "the database's user {user} may not write to schema {schema} and database.managed is false: grant it USAGE on the \
         schema, SELECT, INSERT, UPDATE and DELETE on its tables, USAGE on its sequences and EXECUTE on its functions"
    );
    Complaint::new(Reason::RightsRequired, message)
}

/// Whoever has the schema, if that is the same pipeline before it was deleted and made anew: what was retained is
/// taken up again. One that has had the schema already is no successor: it has lost it to a namesake elsewhere.
fn predecessor(owner: &Owner, had_it: bool, schema: Option<&SchemaState>) -> Option<Owner> {
    let found = schema?.owner.as_ref()?;
    let is_namesake =
        found.namespace == owner.namespace && found.name == owner.name && found.uid != owner.uid;
    (is_namesake && !had_it).then(|| found.clone())
}
