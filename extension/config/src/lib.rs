//! Data-plane resources and the delta protocol between controller and proxy.
