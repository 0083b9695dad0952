//! Where a pipeline's database is when there is no cluster.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::PipelineArguments;
use crate::manifest::Manifest;

/// A database URL, and whether it is a file of ours to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabasePlace {
    pub(crate) url: String,
    pub(crate) is_own_file: bool,
}

/// The database that the manifest names, or the SQLite file `NAME.db` beside it.
pub(crate) fn database(arguments: &PipelineArguments, manifest: &Manifest) -> anyhow::Result<DatabasePlace> {
    let Some(database) = &manifest.pipeline.spec.database else {
        let name = manifest.pipeline.metadata.name.as_deref().unwrap_or("market");
        let folder = arguments.manifest.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = folder.unwrap_or(Path::new(".")).join(format!("{name}.db"));
        return Ok(DatabasePlace { url: format!("sqlite://{}", path.display()), is_own_file: true });
    };
    let secret = &database.connection_secret;
    if let Some(url) =
        arguments.database_url.clone().or_else(|| manifest.secret_text(&secret.name, &secret.key))
    {
        return Ok(DatabasePlace { url, is_own_file: false });
    }
    bail!(
        "spec.database.connectionSecret names the Secret {}, and there is no cluster to read it from: put the Secret \
         with the key {} into the same file, or give --database-url",
        secret.name,
        secret.key
    )
}

/// The manifest and its database.
pub(crate) fn open(arguments: &PipelineArguments) -> anyhow::Result<(Manifest, DatabasePlace)> {
    let manifest = Manifest::read(&arguments.manifest)?;
    let place = database(arguments, &manifest).context("the database cannot be found")?;
    Ok((manifest, place))
}
