//! HTTPRoute matching and precedence, pure.
