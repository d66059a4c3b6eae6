//! ALB custom resources, names and messages of the document.
