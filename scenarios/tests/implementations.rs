//! The file of the gateway of this workspace says what its programs do.

use alb_api::{messages, names};
use anyhow::Result;
use meshproof_model::implementation::{Certificate, Implementation, Resolution};

#[test]
fn the_built_in_one_is_the_gateway_of_this_workspace() -> Result<()> {
    let alb = Implementation::built_in()?;
    assert_eq!(
        (alb.gateway_class.as_str(), alb.controller.as_str()),
        (names::GATEWAY_CLASS, names::CONTROLLER_NAME)
    );
    assert_eq!(alb.namespaces, [names::DATA_PLANE_NAMESPACE, names::CONTROLLER_NAMESPACE]);
    let zone =
        Resolution::Zone { zone: names::DEFAULT_ZONE.into(), namespace: names::DATA_PLANE_NAMESPACE.into() };
    assert_eq!((alb.address.kind.as_str(), &alb.address.resolution), (names::HOSTNAME_ADDRESS_TYPE, &zone));
    let secret = (names::CONTROLLER_NAMESPACE.to_owned(), names::IDENTITY_SECRET.to_owned());
    let (namespace, name) = secret;
    let certificate = alb.identity.map(|identity| identity.certificate);
    assert_eq!(certificate, Some(Certificate::Secret { namespace, name }));
    let message = |name: &str| alb.messages.get(name).map(String::as_str);
    for (name, text) in [
        ("gateway.Accepted", messages::GATEWAY_ACCEPTED),
        ("gateway.Programmed", messages::PROGRAMMED),
        ("listener.Accepted", messages::LISTENER_ACCEPTED),
        ("listener.ResolvedRefs", messages::RESOLVED_REFS),
        ("httproute.Accepted", messages::ROUTE_ACCEPTED),
        ("httproute.Programmed", messages::PROGRAMMED),
    ] {
        assert_eq!(message(name), Some(text), "{name}");
    }
    Ok(())
}
