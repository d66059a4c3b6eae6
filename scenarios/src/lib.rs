//! The scenarios as data, and one end-to-end test of each.
