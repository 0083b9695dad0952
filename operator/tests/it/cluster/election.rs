//! Which of several operators works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::leader::{Contender, LeadershipLost, Pace};
use serde_json::json;

use super::lab::Lab;

/// Short enough to wait for, and long enough for an API server that is busy with other tests.
const PACE: Pace = Pace {
    stands: Duration::from_secs(15),
    renew_within: Duration::from_secs(10),
    retry: Duration::from_millis(100),
};
const LEASE: &str = "operators";

fn contender(lab: &Lab, identity: &str) -> Contender {
    Contender::new(lab.client.clone(), &lab.namespace, LEASE, identity.to_owned(), PACE)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_leads_at_a_time() {
    let Some(lab) = Lab::enter().await else { return };
    let leading = Arc::new(AtomicUsize::new(0));
    let names = ["a", "b", "c", "d", "e", "f"];
    let working = names.map(|name| {
        let (mut contender, leading) = (contender(&lab, name), Arc::clone(&leading));
        tokio::spawn(async move {
            contender.lead().await;
            assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "{name} leads beside another");
            let work = tokio::time::sleep(Duration::from_millis(300));
            tokio::select! {
                () = work => {}
                lost = contender.keep() => panic!("{name}: {lost}"),
            }
            leading.fetch_sub(1, Ordering::SeqCst);
            contender.give_back().await.unwrap();
        })
    });
    let worked = tokio::time::timeout(Duration::from_secs(60), join_all(working)).await;
    worked.expect("all have led within a minute").into_iter().for_each(|led| led.unwrap());
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let lease = leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!((lease.holder_identity, lease.lease_transitions), (None, Some(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dies_is_followed_once_its_lease_has_ended() {
    let Some(lab) = Lab::enter().await else { return };
    contender(&lab, "dies").lead().await;
    let died = Instant::now();
    let mut next = contender(&lab, "next");
    next.lead().await;
    assert!(died.elapsed() >= PACE.stands, "taken over after {:?}", died.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_over_gives_up() {
    let Some(lab) = Lab::enter().await else { return };
    let mut first = contender(&lab, "first");
    first.lead().await;
    let leases: Api<Lease> = Api::namespaced(lab.client.clone(), &lab.namespace);
    let taken = json!({"spec": {"holderIdentity": "somebody"}});
    leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(&taken)).await.unwrap();
    match first.keep().await {
        LeadershipLost::TakenOver { holder, .. } => assert_eq!(holder, "somebody"),
        lost @ LeadershipLost::NotRenewed { .. } => panic!("{lost}"),
    }
    first.give_back().await.unwrap();
    let lease = leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref(), Some("somebody"), "it was no longer ours to give back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_renew_gives_up_before_another_leads() {
    let Some(lab) = Lab::enter().await else { return };
    let leases = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]);
    let client = lab.client_with_rules("cut-off", &leases).await;
    let mut first = Contender::new(client, &lab.namespace, LEASE, "first".to_owned(), PACE);
    first.lead().await;
    let mut second = contender(&lab, "second");
    lab.take_rules_away("cut-off").await;
    let (keeping, leading) = (first.keep(), second.lead());
    tokio::pin!(keeping, leading);
    match select(keeping, leading).await {
        Either::Left((LeadershipLost::NotRenewed { why, .. }, leading)) => {
            assert!(why.contains("forbidden"), "{why}");
            leading.await;
        }
        Either::Left((lost, _)) => panic!("{lost}"),
        Either::Right(_) => panic!("the second leads while the first does"),
    }
}
