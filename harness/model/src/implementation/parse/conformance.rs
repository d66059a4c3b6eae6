//! Reads what the Gateway API's conformance suite is told of a gateway.

use super::installation::{folder_of, image_values, seen_from_its_file};
use super::{list, map, text_of};
use crate::implementation::{ConformanceOf, Release};
use crate::scenario::node::{Node, Problem};

pub(super) fn part(node: &Node, releases: &[Release]) -> Result<ConformanceOf, Problem> {
    let mut fields = node.fields()?;
    let text = |node: &Node| node.text().map(str::to_owned);
    let address = |node: &Node| {
        node.text()?.parse().map_err(|_| node.problem("this is not an IP address").help("such as 192.0.2.1"))
    };
    let part = ConformanceOf {
        profiles: list(&mut fields, "profiles", text)?,
        organization: text_of(&mut fields, "organization")?,
        url: text_of(&mut fields, "url")?,
        contact: list(&mut fields, "contact", text)?,
        features: list(&mut fields, "features", text)?,
        values: map(fields.take("values"), |key, node| {
            match releases.is_empty() || releases.iter().any(|r| r.name == key.name) {
                true => image_values(node),
                false => Err(key.span.problem(format!("there is no release `{}`", key.name))),
            }
        })?,
        manifests: list(&mut fields, "manifests", |node| {
            let file = seen_from_its_file(node, node.text()?);
            // Where the folder itself is gone (an installed program's built-in file) nothing can be said.
            match folder_of(node).is_dir() && !file.is_file() {
                true => Err(node.problem(format!("there is no file {}", file.display()))),
                false => Ok(file),
            }
        })?,
        usable_address: fields.take("usable-address").map(address).transpose()?,
        unusable_address: fields.take("unusable-address").map(address).transpose()?,
    };
    fields.finish()?;
    if part.profiles.is_empty() {
        return Err(node.problem("no profile is named").help("profiles: [GATEWAY-HTTP]"));
    }
    if part.contact.is_empty() {
        return Err(node.problem("nobody is named to ask").help("contact: [\"@NAME\"]"));
    }
    Ok(part)
}
