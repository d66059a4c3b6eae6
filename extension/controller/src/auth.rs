//! Who may have which configuration: the token of a proxy, checked by the API server (TokenReview), and the pod that the
//! token is bound to, which says which load balancer it serves. A proxy can neither choose its token nor write its pod.

use crate::request::answered;
use alb_api::names::{self, annotation};
use alb_config::server::{Authenticate, Caller, Refusal};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a good answer counts. Short: a deleted pod's token is void from then on.
const CACHE: Duration = Duration::from_secs(10);

/// Authenticates proxies.
pub struct TokenReviews {
    client: kube::Client,
    /// By hash: tokens are not kept.
    good: Mutex<HashMap<[u8; 32], (Instant, Caller)>>,
}

impl TokenReviews {
    /// Asks the API server of this client.
    pub fn new(client: kube::Client) -> Self {
        Self { client, good: Mutex::default() }
    }

    fn cached(&self, hash: &[u8; 32]) -> Option<Caller> {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.retain(|_, (since, _)| since.elapsed() < CACHE);
        good.get(hash).map(|(_, caller)| caller.clone())
    }
}

#[tonic::async_trait]
impl Authenticate for TokenReviews {
    async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        if token.is_empty() {
            return Err(Refusal::Denied("no bearer token in the metadata authorization".to_owned()));
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(caller) = self.cached(&hash) {
            return Ok(caller);
        }
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: Some(vec![names::PROXY_TOKEN_AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = answered(api.create(&PostParams::default(), &review))
            .await
            .map_err(|error| Refusal::Unavailable(format!("TokenReview: {error}")))?;
        let bound = judge(review.status.unwrap_or_default())?;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), names::DATA_PLANE_NAMESPACE);
        let pod = answered(api.get_metadata_opt(&bound.pod))
            .await
            .map_err(|error| Refusal::Unavailable(format!("reading pod {}: {error}", bound.pod)))?;
        let caller = served_by(bound, pod.map(|pod| pod.metadata))?;
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.insert(hash, (Instant::now(), caller.clone()));
        Ok(caller)
    }
}

/// The pod that a token is bound to: it is void when that pod is gone.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    pod: String,
    uid: String,
}

fn judge(status: TokenReviewStatus) -> Result<Bound, Refusal> {
    let denied = |message: String| Err(Refusal::Denied(message));
    if status.authenticated != Some(true) {
        return denied(status.error.unwrap_or_else(|| "the token is not valid".to_owned()));
    }
    // An authenticator that knows nothing of audiences returns none: its answer is about another audience.
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == names::PROXY_TOKEN_AUDIENCE) {
        return denied(format!("the token is not for audience {}", names::PROXY_TOKEN_AUDIENCE));
    }
    let user = status.user.unwrap_or_default();
    let expected =
        format!("system:serviceaccount:{}:{}", names::DATA_PLANE_NAMESPACE, names::PROXY_SERVICE_ACCOUNT);
    let username = user.username.unwrap_or_default();
    if username != expected {
        return denied(format!("{username} is not {expected}"));
    }
    let mut extra = user.extra.unwrap_or_default();
    let mut one = |name: &str| extra.remove(name).and_then(|values| values.into_iter().next());
    match (one("authentication.kubernetes.io/pod-name"), one("authentication.kubernetes.io/pod-uid")) {
        (Some(pod), Some(uid)) => Ok(Bound { pod, uid }),
        _ => denied("the token is not bound to a pod".to_owned()),
    }
}

/// Which load balancer a pod serves, as the controller has written into it.
fn served_by(bound: Bound, pod: Option<ObjectMeta>) -> Result<Caller, Refusal> {
    let Bound { pod: name, uid } = bound;
    let pod = pod.filter(|pod| pod.uid.as_deref() == Some(&*uid));
    let Some(pod) = pod else { return Err(Refusal::Denied(format!("pod {name} of uid {uid} is gone"))) };
    let load_balancer = pod.annotations.and_then(|mut all| all.remove(annotation::LOAD_BALANCER));
    match load_balancer {
        Some(load_balancer) => Ok(Caller { pod: name, load_balancer }),
        None => Err(Refusal::Denied(format!("pod {name} has no annotation {}", annotation::LOAD_BALANCER))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::LIMIT;
    use alb_runtime::fake_api::{FakeApi, Lost, Weather};
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(username: &str, audience: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.to_owned()]),
            user: Some(UserInfo {
                username: Some(username.to_owned()),
                extra: Some(
                    [("pod-name", "pod-1"), ("pod-uid", "uid-1")]
                        .map(|(name, value)| {
                            (format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()])
                        })
                        .into(),
                ),
                ..UserInfo::default()
            }),
            ..TokenReviewStatus::default()
        }
    }

    const PROXY: &str = "system:serviceaccount:azure-alb-dataplane:alb-proxy";

    fn bound() -> Bound {
        Bound { pod: "pod-1".to_owned(), uid: "uid-1".to_owned() }
    }

    #[test]
    fn a_token_for_us_is_known_by_the_pod_it_is_bound_to() {
        assert_eq!(judge(status(PROXY, "alb-controller")), Ok(bound()));
        for missing in ["authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"] {
            let mut status = status(PROXY, "alb-controller");
            status.user.as_mut().unwrap().extra.as_mut().unwrap().remove(missing);
            assert!(matches!(judge(status), Err(Refusal::Denied(_))), "{missing}");
        }
    }

    #[test]
    fn a_pod_serves_the_load_balancer_that_is_written_on_it() {
        let pod = |uid: &str, annotation: &str| ObjectMeta {
            uid: Some(uid.to_owned()),
            annotations: Some([(annotation.to_owned(), "ns/alb".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let caller = Caller { pod: "pod-1".to_owned(), load_balancer: "ns/alb".to_owned() };
        assert_eq!(served_by(bound(), Some(pod("uid-1", annotation::LOAD_BALANCER))), Ok(caller));
        for other in [
            None,
            Some(pod("uid-2", annotation::LOAD_BALANCER)),
            Some(pod("uid-1", annotation::GATEWAY)),
            Some(ObjectMeta { uid: Some("uid-1".to_owned()), ..ObjectMeta::default() }),
        ] {
            assert!(matches!(served_by(bound(), other), Err(Refusal::Denied(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_is_told_to_come_back_when_the_api_server_does_not_answer() {
        let lost = |_: &http::Method, _: &str| Weather { lost: Lost::Request, ..Weather::default() };
        let reviews = TokenReviews::new(FakeApi::new().client_with(lost));
        let refusal = tokio::time::timeout(LIMIT * 2, reviews.authenticate("token")).await.unwrap();
        assert!(matches!(refusal, Err(Refusal::Unavailable(_))), "{refusal:?}");
    }

    #[test]
    fn others_are_refused() {
        for status in [
            status("system:serviceaccount:default:default", "alb-controller"),
            status(PROXY, "istio-ca"),
            TokenReviewStatus { audiences: None, ..status(PROXY, "") },
            TokenReviewStatus { authenticated: Some(false), ..status(PROXY, "alb-controller") },
            TokenReviewStatus::default(),
        ] {
            assert!(matches!(judge(status), Err(Refusal::Denied(_))));
        }
    }
}
