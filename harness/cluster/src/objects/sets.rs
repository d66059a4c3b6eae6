//! The objects of a watch.

use kube::api::ApiResource;

use super::*;
use watcher::Event;

fn object(name: &str) -> DynamicObject {
    let kind = Kind::by_word("pod").unwrap();
    let resource = ApiResource {
        group: kind.group.into(),
        version: kind.version.into(),
        api_version: kind.version.into(),
        kind: kind.kind.into(),
        plural: kind.plural.into(),
    };
    DynamicObject::new(name, &resource)
}

#[test]
fn a_list_is_shown_only_when_it_is_complete() {
    let mut set = Set::default();
    assert!(set.take(Event::Init).is_none());
    assert!(set.take(Event::InitApply(object("a"))).is_none());
    assert_eq!(set.take(Event::InitDone).unwrap().len(), 1);
    assert_eq!(set.take(Event::Apply(object("b"))).unwrap().len(), 2);
    assert_eq!(set.take(Event::Delete(object("a"))).unwrap().len(), 1);
    assert!(set.take(Event::Init).is_none());
    assert_eq!(set.take(Event::InitDone).unwrap().len(), 0, "what a new list does not hold is gone");
}
