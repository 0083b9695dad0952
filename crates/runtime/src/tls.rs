//! The one TLS provider of every Rust client in the process.

/// Installs ring as the process's TLS provider: the first line of every `main`. Calling it again
/// changes nothing.
pub fn install_provider() {
    // The error says that a provider is installed already, and this is the only one linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
