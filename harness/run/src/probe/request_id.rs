//! Which lines of different hops are about the same request.

/// The id without what an Envoy on the way wrote into it: whether it traces the request, in the version digit of the UUID
/// (`4` becomes `9`, `a` or `b`; `envoyproxy.io/docs`, `UuidRequestIdConfig`, `pack_trace_reason`). Istio's sidecars trace
/// one request in a hundred. Ids of another form are left as they are.
pub fn untraced(id: &str) -> String {
    let mut id = id.to_owned();
    if is_uuid(&id) {
        id.replace_range(VERSION..=VERSION, "4");
    }
    id
}

/// Where a UUID has its version.
const VERSION: usize = 14;

fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_a_sidecar_traces_is_the_one_the_gateway_sent() {
        let sent = "fdb09c67-f15a-4be2-8b86-5704aaec82de";
        for digit in ["9", "a", "b", "4"] {
            let seen = format!("fdb09c67-f15a-{digit}be2-8b86-5704aaec82de");
            assert_eq!(untraced(&seen), sent);
        }
        assert_ne!(untraced("fdb09c67-f15a-4be2-8b86-5704aaec82df"), sent);
    }

    #[test]
    fn ids_of_another_form_are_left_alone() {
        // The last is as long as a UUID, in bytes.
        let others = ["", "id-1", "fdb09c67_f15a_9be2_8b86_5704aaec82de", "éééééééééééééééééé"];
        for id in others {
            assert_eq!(untraced(id), id);
        }
    }
}
