//! The store (see below).
