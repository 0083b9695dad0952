//! Copies of the cluster's objects of one kind, by the pipeline that their label names: a reconcile finds its own among those of
//! very many without looking at all of them. They are kept as JSON, which takes a third of the room of the types' own form, or less.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use crds::CryptoPipeline;
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::reconcile::desired::PIPELINE_LABEL;

/// The objects of one kind, as their watches tell of them.
#[derive(Debug)]
pub struct Copies<K> {
    watches: Vec<Arc<RwLock<Watched>>>,
    kind: PhantomData<fn() -> K>,
}

/// What one watch has told.
#[derive(Debug, Default)]
struct Watched {
    by_pipeline: ByPipeline,
    /// The list that is arriving.
    arriving: ByPipeline,
}

/// By namespace and name.
type ByPipeline = HashMap<(String, String), Vec<Kept>>;

/// An object.
#[derive(Debug)]
struct Kept {
    name: String,
    json: Box<[u8]>,
}

/// Takes in what one watch tells.
#[derive(Debug)]
pub struct CopiesWriter<K> {
    watched: Arc<RwLock<Watched>>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Default for Copies<K> {
    fn default() -> Self {
        Self { watches: Vec::new(), kind: PhantomData }
    }
}

impl<K> Clone for Copies<K> {
    fn clone(&self) -> Self {
        Self { watches: self.watches.clone(), kind: PhantomData }
    }
}

impl<K: DeserializeOwned> Copies<K> {
    /// One more watch, of other namespaces than those before.
    pub fn add_watch(&mut self) -> CopiesWriter<K> {
        let watched = Arc::default();
        self.watches.push(Arc::clone(&watched));
        CopiesWriter { watched, kind: PhantomData }
    }

    /// The objects of a pipeline.
    #[must_use]
    pub fn of(&self, pipeline: &CryptoPipeline) -> Vec<K> {
        self.of_name(pipeline.namespace().as_deref(), &pipeline.name_any())
    }

    /// The objects of the pipeline of this name.
    #[must_use]
    pub fn of_name(&self, namespace: Option<&str>, name: &str) -> Vec<K> {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        let mut found = Vec::new();
        for watched in &self.watches {
            let watched = watched.read().unwrap_or_else(PoisonError::into_inner);
            let kept = watched.by_pipeline.get(&key).into_iter().flatten();
            // The type reads what it has written.
            found.extend(kept.filter_map(|kept| serde_json::from_slice::<K>(&kept.json).ok()));
        }
        found
    }
}

impl<K> CopiesWriter<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize,
{
    /// Takes in what is told.
    pub fn take_in(&self, event: &Event<K>) {
        let mut watched = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => watched.arriving.clear(),
            Event::InitApply(object) => put(&mut watched.arriving, object),
            Event::InitDone => watched.by_pipeline = std::mem::take(&mut watched.arriving),
            Event::Apply(object) => put(&mut watched.by_pipeline, object),
            Event::Delete(object) => remove(&mut watched.by_pipeline, object),
        }
    }
}

fn key_of<K: Resource>(object: &K) -> (String, String) {
    let pipeline = object.labels().get(PIPELINE_LABEL).cloned();
    (object.namespace().unwrap_or_default(), pipeline.unwrap_or_default())
}

fn put<K: Resource + Serialize>(by_pipeline: &mut ByPipeline, object: &K) {
    let name = object.name_any();
    // What came as JSON can be written as JSON.
    let Ok(json) = serde_json::to_vec(object).map(Vec::into_boxed_slice) else { return };
    let mut objects = by_pipeline.get_mut(&key_of(object)).into_iter().flatten();
    if let Some(known) = objects.find(|known| known.name == name) {
        known.json = json;
        return;
    }
    // Somebody may have changed the label of one that is known.
    remove(by_pipeline, object);
    by_pipeline.entry(key_of(object)).or_default().push(Kept { name, json });
}

fn remove<K: Resource>(by_pipeline: &mut ByPipeline, object: &K) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    by_pipeline.retain(|(of_namespace, _), objects| {
        if *of_namespace == namespace {
            objects.retain(|known| known.name != name);
        }
        !objects.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn object(name: &str, pipeline: &str, value: &str) -> ConfigMap {
        let metadata = json!({"namespace": "market", "name": name, "labels": {PIPELINE_LABEL: pipeline}});
        serde_json::from_value(json!({"metadata": metadata, "data": {"value": value}})).unwrap()
    }

    fn copies_after(events: &[Event<ConfigMap>]) -> Copies<ConfigMap> {
        let mut copies = Copies::default();
        let writer = copies.add_watch();
        for event in events {
            writer.take_in(event);
        }
        copies
    }

    fn told(copies: &Copies<ConfigMap>, pipeline: &str) -> Vec<String> {
        let told =
            |object: ConfigMap| format!("{}={}", object.name_any(), object.data.as_ref().unwrap()["value"]);
        copies.of_name(Some("market"), pipeline).into_iter().map(told).collect()
    }

    #[test]
    fn a_pipelines_own_objects_are_found_as_they_were_told_last() {
        let copies = copies_after(&[
            Event::Apply(object("a", "one", "1")),
            Event::Apply(object("b", "two", "1")),
            Event::Apply(object("c", "one", "1")),
            Event::Apply(object("a", "one", "2")),
            Event::Delete(object("c", "one", "1")),
        ]);
        assert_eq!(
            (told(&copies, "one"), told(&copies, "two")),
            (vec!["a=2".to_owned()], vec!["b=1".to_owned()])
        );
        assert!(copies.of_name(Some("elsewhere"), "one").is_empty());
    }

    #[test]
    fn a_new_list_counts_once_it_is_complete_and_what_is_not_in_it_is_gone() {
        let before = [Event::Apply(object("a", "one", "1")), Event::Apply(object("b", "one", "1"))];
        let list = [Event::Init, Event::InitApply(object("b", "one", "2"))];
        let arriving: Vec<_> = before.into_iter().chain(list).collect();
        assert_eq!(told(&copies_after(&arriving), "one"), ["a=1", "b=1"]);
        let arrived: Vec<_> = arriving.into_iter().chain([Event::InitDone]).collect();
        assert_eq!(told(&copies_after(&arrived), "one"), ["b=2"]);
    }

    #[test]
    fn whose_label_was_changed_is_at_one_place_only() {
        let copies =
            copies_after(&[Event::Apply(object("a", "one", "1")), Event::Apply(object("a", "two", "1"))]);
        assert_eq!((told(&copies, "one"), told(&copies, "two")), (vec![], vec!["a=1".to_owned()]));
        let copies =
            copies_after(&[Event::Apply(object("a", "one", "1")), Event::Delete(object("a", "two", "1"))]);
        assert!(told(&copies, "one").is_empty());
    }
}
