//! What is said of a file reads well, and its schema says the same.

use serde_json::json;

use super::*;

const FIELDS: &[Field] = &[
    Field::needed("name", Type::Text, "Its name."),
    Field::optional("port", Type::Number(1, 65535), "Its port.").or("80"),
    Field::one_of("pod", Type::Text, "A pod."),
    Field::one_of("lease", Type::Form("^lease/.+$", "`lease/NAME`"), "A lease."),
];

#[test]
fn the_schema_of_a_mapping_says_what_its_fields_say() {
    assert_eq!(
        of_map(FIELDS),
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["name"],
            "oneOf": [{"required": ["pod"]}, {"required": ["lease"]}],
            "properties": {
                "name": {"type": "string", "minLength": 1, "description": "Its name."},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "Its port. Left out: 80."},
                "pod": {"type": "string", "minLength": 1, "description": "A pod."},
                "lease": {"type": "string", "pattern": "^lease/.+$", "description": "A lease."},
            },
        })
    );
}

#[test]
fn a_type_reads_like_a_sentence() {
    assert_eq!(Type::OneOrMore(&Type::OneOf(&["a", "b"])).in_words(), "one or a list: `a`, `b`");
    assert_eq!(Type::Map(FIELDS).in_words(), "a mapping: `name`, `port`, `pod`, `lease`");
    assert_eq!(Type::Number(1, u64::MAX).in_words(), "a whole number from 1");
    assert_eq!(FIELDS[1].presence_in_words(), "optional: 80");
    assert_eq!(Type::List(&Type::Any(&[Type::Map(FIELDS), Type::Bool])).maps(), [FIELDS]);
}
