//! Who may have configuration: the token of a proxy, checked by the API server (TokenReview).

use crate::request::answered;
use alb_api::names;
use alb_config::server::{Authenticate, Caller, Refusal};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
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
        let caller = judge(review.status.unwrap_or_default())?;
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.insert(hash, (Instant::now(), caller.clone()));
        Ok(caller)
    }
}

fn judge(status: TokenReviewStatus) -> Result<Caller, Refusal> {
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
    let pod = user.extra.unwrap_or_default().remove("authentication.kubernetes.io/pod-name");
    Ok(Caller { pod: pod.and_then(|names| names.into_iter().next()) })
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
                    [("authentication.kubernetes.io/pod-name".to_owned(), vec!["pod-1".to_owned()])].into(),
                ),
                ..UserInfo::default()
            }),
            ..TokenReviewStatus::default()
        }
    }

    const PROXY: &str = "system:serviceaccount:azure-alb-dataplane:alb-proxy";

    #[test]
    fn a_proxy_with_a_token_for_us_is_let_in_as_its_pod() {
        assert_eq!(judge(status(PROXY, "alb-controller")), Ok(Caller { pod: Some("pod-1".into()) }));
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
