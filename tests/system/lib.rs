//! The real binaries in network namespaces.
