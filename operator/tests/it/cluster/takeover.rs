//! An operator that dies before or after any write of its own leaves a pipeline that the next one completes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};
use http::Method;
use kube::client::Body;
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::lab::Lab;

/// How many lives are tried at the same time: most of one is waiting, and other tests run beside it.
const AT_A_TIME: usize = 12;

/// Where an operator dies: at the n-th moment, of which each of its writes has two, before and after.
#[derive(Clone)]
struct Death {
    at: usize,
    moments: Arc<AtomicUsize>,
    died: CancellationToken,
}

impl Death {
    fn at(moment: usize) -> Self {
        Self { at: moment, moments: Arc::default(), died: CancellationToken::new() }
    }

    /// Does not return once it is due: no request is sent and no answer heard any more.
    async fn pass(&self) {
        if self.moments.fetch_add(1, Ordering::SeqCst) >= self.at {
            self.died.cancel();
            std::future::pending::<()>().await;
        }
    }

    /// A client like `client` whose owner dies.
    fn of_owner(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let death = self.clone();
        let send = tower::service_fn(move |request: http::Request<Body>| {
            let (client, death) = (client.clone(), death.clone());
            async move {
                // Of Events nothing depends, and there are many.
                let writes = request.method() != Method::GET && !request.uri().path().contains("/events");
                if writes {
                    death.pass().await;
                }
                let answer = client.send(request).await;
                if writes {
                    death.pass().await;
                }
                answer.map_err(Box::<Error>::new)
            }
        });
        Client::new(send, namespace)
    }
}

/// The way of a pipeline: made, grown, deleted with everything that it made.
async fn live(lab: &Lab, manifest: &mut Value) {
    lab.apply(manifest).await.unwrap();
    lab.said("lives", "Ready", "True/AllReady").await;
    manifest["spec"]["kafka"]["topic"]["partitions"] = json!(4);
    lab.apply(manifest).await.unwrap();
    lab.until_replicas("lives-aggregator", 4).await;
    lab.said("lives", "Ready", "True/AllReady").await;
    let topic = lab.kafka().describe_topic(&lab.topic("lives")).await.unwrap().unwrap();
    assert_eq!(topic.partitions, 4);
    lab.delete("lives").await;
    lab.until_gone("lives").await;
    assert!(!lab.topic_exists("lives").await && !lab.schema_exists("lives").await);
}

/// One life with an operator that dies, and another one after it. Whether it died before the pipeline's end.
async fn live_with_death(lab: &Lab, moment: usize) -> bool {
    let mut manifest = lab.manifest("lives");
    manifest["spec"]["deletionPolicy"] = json!("Delete");
    let death = Death::at(moment);
    let first = lab.run_operator(death.of_owner(lab.operator_client().await)).await;
    let takeover = async {
        death.died.cancelled().await;
        first.abort();
        lab.run_operator(lab.operator_client().await).await
    };
    let takeover = async {
        let _second = takeover.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = live(lab, &mut manifest) => {}
        () = takeover => {}
    }
    death.died.is_cancelled()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_at_any_write_is_followed_by_one_that_completes_it() {
    if Lab::enter().await.is_none() {
        return;
    }
    let mut lives = stream::iter(0..)
        .map(async |moment| {
            let lab = Lab::enter().await.unwrap();
            lab.start_nodes();
            (moment, live_with_death(&lab, moment).await)
        })
        .buffered(AT_A_TIME);
    let mut deaths = 0;
    while let Some((moment, died)) = lives.next().await {
        if !died {
            break;
        }
        deaths = moment + 1;
    }
    eprintln!("{deaths} deaths, each followed by an operator that completed the pipeline");
    // Objects, status, finalizer, growth and the end: far fewer, and the pipeline was not what this is about.
    assert!(deaths >= 30, "{deaths} moments only");
}
