//! `grpc.health.v1.Health`: what `/readyz` says, for load balancers that ask over gRPC. Services do not differ: they all
//! need the same executor and the same database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rpc::Method;
use service_kit::health::Health;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, interval, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::deadline::{self, Deadline};
use super::door::place;
use super::refusal::refused;

/// How soon a watcher learns of a change at the latest. With the number of streams it bounds what watching costs.
const LOOK_EVERY: Duration = Duration::from_secs(2);

type Said = Result<HealthCheckResponse, Status>;

#[derive(Clone)]
pub(super) struct Readiness {
    health: Health,
    services: Arc<BTreeSet<String>>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Readiness {
    pub(super) fn new(
        health: Health,
        methods: &[Method],
        streams: Arc<Semaphore>,
        shutdown: CancellationToken,
    ) -> Self {
        let services = Arc::new(methods.iter().map(|it| it.service.clone()).collect());
        Self { health, services, streams, shutdown }
    }

    /// How a service is; the empty name is the whole process.
    async fn status(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && !self.services.contains(service) {
            return ServingStatus::ServiceUnknown;
        }
        if self.health.is_ready().await { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    /// Tells how a service is, then each change, until the process stops or nobody listens.
    async fn tell(&self, service: &str, to: &Sender<Said>) {
        let mut ticks = interval(LOOK_EVERY);
        let mut told = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shutdown.cancelled() => {}
                () = to.closed() => return,
            }
            let is_last = self.shutdown.is_cancelled();
            let now = self.status(service).await;
            if told != Some(now) && to.send(Ok(said(now))).await.is_err() {
                return;
            }
            told = Some(now);
            if is_last {
                return;
            }
        }
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl tonic_health::pb::health_server::Health for Readiness {
    type WatchStream = ReceiverStream<Said>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.status(&request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(said(status))),
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let permit = place(&self.streams).map_err(refused)?;
        let asked = request.extensions().get::<Deadline>().map(|it| it.0);
        let end: Instant = deadline::of_stream(asked);
        let service = request.into_inner().service;
        let (sender, receiver) = mpsc::channel(1);
        let this = self.clone();
        // A task of its own: an answer that the client does not take is not polled, and must end all the same.
        tokio::spawn(async move {
            if timeout_at(end, this.tell(&service, &sender)).await.is_err() {
                // Where there is no room for it, the stream ends without it.
                let _told =
                    sender.try_send(Err(Status::unavailable("it was watched long enough: watch again")));
            }
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
