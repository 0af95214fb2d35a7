//! TLS for streams: who this program is, whom it trusts, and the handshakes (ovs-vswitchd.conf.db(5) SSL table,
//! ovsdb-server(1) "Public Key Infrastructure Options").
//!
//! Peers prove that the same authority signed them; names are not compared, since peers go by address. Files are read
//! again when they change.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Keys, certificates and limits of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--private-key`
    pub private_key: Option<PathBuf>,
    /// `--certificate`
    pub certificate: Option<PathBuf>,
    /// `--ca-cert`; the name `none` trusts everybody.
    pub ca_cert: Option<PathBuf>,
    /// True if the authority's certificate may be taken from the first peer and written to the file.
    pub bootstrap: bool,
    /// `--peer-ca-cert`: sent along, so that peers can bootstrap.
    pub peer_ca_cert: Option<PathBuf>,
    /// `--ssl-protocols`
    pub protocols: Option<String>,
    /// `--ssl-ciphers`: names of cipher suites of TLS 1.2, separated by colons
    pub ciphers: Option<String>,
    /// `--ssl-ciphersuites`: names of cipher suites of TLS 1.3, separated by colons
    pub ciphersuites: Option<String>,
    /// `--ssl-server-name`: what clients ask for
    pub server_name: Option<String>,
}

/// What the process uses. Programs set it from their options or from a database.
static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);

/// Uses these settings from now on.
pub fn configure(settings: Settings) {
    *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
}

/// The settings in use.
pub fn settings() -> Settings {
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
}

impl Settings {
    /// Obeys a command-line option; false if it is none of these.
    pub fn obey(&mut self, option: &str, value: Option<&str>) -> bool {
        let path = || value.map(PathBuf::from);
        let text = || value.map(str::to_string);
        match option {
            "private-key" => self.private_key = path(),
            "certificate" => self.certificate = path(),
            "ca-cert" => self.ca_cert = path(),
            "bootstrap-ca-cert" => {
                self.ca_cert = path();
                self.bootstrap = true;
            }
            "peer-ca-cert" => self.peer_ca_cert = path(),
            "ssl-protocols" => self.protocols = text(),
            "ssl-ciphers" => self.ciphers = text(),
            "ssl-ciphersuites" => self.ciphersuites = text(),
            "ssl-server-name" => self.server_name = text(),
            _ => return false,
        }
        true
    }

    fn trusts_all(&self) -> bool {
        self.ca_cert.as_deref() == Some(Path::new("none"))
    }
}

fn failure(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.to_string())
}

/// Says what is missing of what every connection needs.
fn check_configured(settings: &Settings) -> io::Result<()> {
    let needed = [
        (&settings.private_key, "Private key"),
        (&settings.certificate, "Certificate"),
        (&settings.ca_cert, "CA certificate"),
    ];
    let missing: Vec<&str> = needed.iter().filter(|n| n.0.is_none()).map(|n| n.1).collect();
    for what in &missing {
        let text = format_args!("{what} must be configured to use SSL");
        crate::vlog::log(crate::vlog::Module::StreamSsl, crate::vlog::Level::Err, text);
    }
    // ENOPROTOOPT: "Protocol not available".
    if missing.is_empty() { Ok(()) } else { Err(io::Error::from_raw_os_error(92)) }
}

fn need<'a>(path: &'a Option<PathBuf>, what: &str) -> io::Result<&'a Path> {
    path.as_deref().ok_or_else(|| failure(format!("{what} must be configured to use SSL/TLS")))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = |error| failure(format!("{}: {error}", path.display()));
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(read)?.collect();
    found.map_err(read)
}

fn identity(settings: &Settings) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = need(&settings.private_key, "Private key")?;
    let mut chain = certificates(need(&settings.certificate, "Certificate")?)?;
    if let Some(peer_ca) = &settings.peer_ca_cert {
        chain.extend(certificates(peer_ca)?);
    } else if let Some(ca) = settings.ca_cert.as_deref().filter(|ca| ca.exists()) {
        // The authority goes along, as OpenSSL sends it: who has none yet can take it from there.
        let issuer = issuer(&chain).unwrap_or_default();
        chain.extend(certificates(ca)?.into_iter().filter(|ca| subject(ca).is_some_and(|subject| subject == issuer)));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| failure(format!("{}: {error}", key.display())))?;
    Ok((chain, key))
}

/// The part of a `--help` text about keys, certificates and TLS.
pub const HELP: &str = "\nKeys and certificates (SSL/TLS needs them):
  -p, --private-key=FILE      file with the private key
  -c, --certificate=FILE      file with the certificate of that key
  -C, --ca-cert=FILE          file with the certificate of the peers' authority
  --bootstrap-ca-cert=FILE    the same; taken from the first peer if it is not there
SSL/TLS options:
  --ssl-protocols=PROTOS      versions to allow, such as TLSv1.2+
  --ssl-ciphers=CIPHERS       ciphers to allow with TLSv1.2
  --ssl-ciphersuites=SUITES   cipher suites to allow with TLSv1.3
  --ssl-server-name=NAME      name to ask a server for (SNI)
";

/// The name of who issued the first certificate, if somebody else did.
fn issuer(chain: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
    let leaf = chain.first()?;
    let parsed = webpki::EndEntityCert::try_from(leaf).ok()?;
    let issuer = parsed.issuer().to_vec();
    (subject(leaf)? != issuer).then_some(issuer)
}

/// The name that a certificate is for.
fn subject(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(webpki::anchor_from_trusted_cert(certificate).ok()?.subject.as_ref().to_vec())
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(failure(format!("{}: no certificate of an authority", path.display())));
    }
    Ok(roots)
}

/// `TLSv1.2`, `TLSv1.3`, a list of them, `TLSv1.2-TLSv1.3`, or `TLSv1.2+`.
fn versions(settings: &Settings) -> io::Result<Vec<&'static SupportedProtocolVersion>> {
    let all = [("TLSv1.2", &rustls::version::TLS12), ("TLSv1.3", &rustls::version::TLS13)];
    let Some(text) = settings.protocols.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(all.iter().map(|(_, version)| *version).collect());
    };
    let place = |name: &str| {
        let at = all.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        at.ok_or_else(|| failure(format!("{name}: SSL/TLS protocol not recognized")))
    };
    let mut chosen = [false; 2];
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (low, high) = match (word.strip_suffix('+'), word.split_once('-')) {
            (Some(name), _) => (place(name)?, 1),
            (None, Some((low, high))) => (place(low)?, place(high)?),
            (None, None) => (place(word)?, place(word)?),
        };
        (low..=high).for_each(|n| chosen[n] = true);
    }
    Ok(all.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|((_, version), _)| *version).collect())
}

/// The cryptography, with the cipher suites that the settings name. Names are those of OpenSSL or of IANA.
fn provider(settings: &Settings) -> io::Result<Arc<CryptoProvider>> {
    let mut provider = ring::default_provider();
    for (list, tls13) in [(&settings.ciphers, false), (&settings.ciphersuites, true)] {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty() && !list.contains('!')) else { continue };
        let normal =
            |name: &str| name.replace(['-', '_'], "").to_ascii_uppercase().replace("TLS13", "").replace("WITH", "");
        let wanted: Vec<String> = list.split(':').map(|name| normal(name).replace("TLS", "")).collect();
        let is_13 = |suite: &rustls::SupportedCipherSuite| suite.tls13().is_some();
        let named = |suite: &rustls::SupportedCipherSuite| {
            let name = normal(suite.suite().as_str().unwrap_or_default()).replace("TLS", "");
            wanted.iter().any(|wanted| name == *wanted || name.starts_with(wanted.as_str()))
        };
        if wanted.iter().any(|word| word == "HIGH" || word == "DEFAULT" || word == "ALL") {
            continue;
        }
        provider.cipher_suites.retain(|suite| is_13(suite) != tls13 || named(suite));
    }
    if provider.cipher_suites.is_empty() {
        return Err(failure("no cipher suite is left that is both configured and supported"));
    }
    Ok(Arc::new(provider))
}

/// The configuration of a client.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    let settings = settings();
    check_configured(&settings)?;
    let (chain, key) = identity(&settings)?;
    let provider = provider(&settings)?;
    let verifier = Arc::new(SignedByAuthority { settings: settings.clone(), provider: provider.clone() });
    need(&settings.ca_cert, "CA certificate")?;
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&settings)?)
        .and_then(|builder| {
            builder.dangerous().with_custom_certificate_verifier(verifier).with_client_auth_cert(chain, key)
        })
        .map(Arc::new)
        .map_err(failure)
}

/// The name that a client asks a server for.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let name = settings().server_name.unwrap_or_else(|| host.to_string());
    ServerName::try_from(name).map_err(failure)
}

type Cached = (Settings, Vec<Option<SystemTime>>, Arc<ServerConfig>);

/// The configuration of a server, made anew when a file changed.
pub fn server_config() -> io::Result<Arc<ServerConfig>> {
    static CACHE: Mutex<Option<Cached>> = Mutex::new(None);
    let settings = settings();
    let files = [&settings.private_key, &settings.certificate, &settings.ca_cert, &settings.peer_ca_cert];
    let modified = |path: &Option<PathBuf>| path.as_ref().and_then(|p| std::fs::metadata(p).ok()?.modified().ok());
    let times: Vec<Option<SystemTime>> = files.iter().map(|path| modified(path)).collect();
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, known_times, config)) = &*cache
        && *known == settings
        && *known_times == times
    {
        return Ok(config.clone());
    }
    let (chain, key) = identity(&settings)?;
    let provider = provider(&settings)?;
    let verifier: Arc<dyn ClientCertVerifier> = if settings.trusts_all() {
        WebPkiClientVerifier::no_client_auth()
    } else {
        let ca = need(&settings.ca_cert, "CA certificate")?;
        if settings.bootstrap && !ca.exists() {
            Arc::new(TakesAuthority { settings: settings.clone(), provider: provider.clone() })
        } else {
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider.clone())
                .build()
                .map_err(failure)?
        }
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&settings)?)
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(failure)?;
    *cache = Some((settings, times, config.clone()));
    Ok(config)
}

/// Checks that the configured authority signed the server; names do not matter.
#[derive(Debug)]
struct SignedByAuthority {
    settings: Settings,
    provider: Arc<CryptoProvider>,
}

/// The authority's certificate, of what a peer sent: the last of the chain.
fn bootstrap(settings: &Settings, end: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
    let Some(path) = &settings.ca_cert else { return Ok(()) };
    let Some(authority) = chain.last() else {
        let _ = end;
        return Err(Error::General(
            "could not bootstrap CA cert: no certificate of an authority presented by peer".into(),
        ));
    };
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64(authority.as_ref()).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    let mut new = std::fs::OpenOptions::new();
    // Nobody is to change it by chance: who it names is trusted from now on.
    let written = new.write(true).create_new(true).mode(0o444).open(path).and_then(|mut f| f.write_all(pem.as_bytes()));
    written.map_err(|error| Error::General(format!("{}: {error}", path.display())))?;
    crate::vlog_info!(crate::vlog::Module::StreamSsl, "successfully bootstrapped CA cert to {}", path.display());
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * n)) as usize & 63];
            out.push(if n <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.settings.trusts_all() {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(ca) = &self.settings.ca_cert else { return Err(Error::General("no CA certificate".into())) };
        if self.settings.bootstrap && !ca.exists() {
            bootstrap(&self.settings, end, chain)?;
        }
        let roots = roots(ca).map_err(|error| Error::General(error.to_string()))?;
        let parsed = rustls::server::ParsedCertificate::try_from(end)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, chain, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A server that has no authority yet: it takes that of its first client, whom it does not serve.
#[derive(Debug)]
struct TakesAuthority {
    settings: Settings,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for TakesAuthority {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        bootstrap(&self.settings, end, chain)?;
        Err(Error::General("CA certificate was bootstrapped; connect again".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The common name (OID 2.5.4.3) in the subject of a certificate: the last that stands before the key.
pub fn common_name(certificate: &[u8]) -> Option<String> {
    // The issuer comes before the subject, and a name has its most specific part last.
    const OID: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    const RSA_OR_EC_KEY: [&[u8]; 2] =
        [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]];
    let find = |needle: &[u8]| certificate.windows(needle.len()).position(|window| window == needle);
    let end = RSA_OR_EC_KEY.iter().filter_map(|oid| find(oid)).min().unwrap_or(certificate.len());
    let at = certificate[..end].windows(OID.len()).rposition(|window| window == OID)?;
    let value = certificate.get(at + OID.len()..)?;
    let (&length, text) = value.get(1..)?.split_first()?;
    String::from_utf8(text.get(..usize::from(length))?.to_vec()).ok()
}

/// A server's side of a connection. The handshake goes on as the connection is read, so that it delays nobody else.
pub struct Accepted {
    state: State,
    peer: Arc<OnceLock<String>>,
}

enum State {
    Handshake(Box<tokio_rustls::Accept<TcpStream>>),
    Open(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Accepted {
    /// Wraps a connection that was accepted. `peer` gets the client's common name.
    pub fn new(stream: TcpStream, peer: Arc<OnceLock<String>>) -> io::Result<Accepted> {
        let acceptor = tokio_rustls::TlsAcceptor::from(server_config()?);
        Ok(Accepted { state: State::Handshake(Box::new(acceptor.accept(stream))), peer })
    }

    fn open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut tokio_rustls::server::TlsStream<TcpStream>>> {
        if let State::Handshake(handshake) = &mut self.state {
            let stream = ready!(Pin::new(handshake).poll(context))?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            if let Some(name) = certificate.and_then(|certificate| common_name(certificate)) {
                let _ = self.peer.set(name);
            }
            self.state = State::Open(Box::new(stream));
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(stream)),
            State::Handshake(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.open(cx))?;
        Pin::new(stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let stream = ready!(self.open(cx))?;
        // What rustls holds back goes out with the bytes.
        let n = ready!(Pin::new(&mut *stream).poll_write(cx, buf))?;
        let _ = Pin::new(stream).poll_flush(cx)?;
        Poll::Ready(Ok(n))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.open(cx))?;
        Pin::new(stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.open(cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}

/// Connects to a TLS server.
pub async fn connect(host: &str, port: u16, dscp: u8) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let connector = tokio_rustls::TlsConnector::from(client_config()?);
    let stream = crate::stream::dial(host, port, dscp).await?;
    connector.connect(server_name(host)?, stream).await
}

/// Connects to a TLS server without a runtime, for the tools.
pub fn connect_blocking(
    host: &str,
    port: u16,
) -> io::Result<rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>> {
    let connection = rustls::ClientConnection::new(client_config()?, server_name(host)?).map_err(failure)?;
    let stream = std::net::TcpStream::connect((host, port))?;
    stream.set_nodelay(true)?;
    crate::stream::mark(&stream, crate::stream::DEFAULT_DSCP);
    let mut stream = rustls::StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn protocol_ranges() {
        let check = |text: &str, n: Option<usize>| {
            let settings = Settings { protocols: Some(text.into()), ..Settings::default() };
            assert_eq!(versions(&settings).ok().map(|v| v.len()), n, "{text}");
        };
        check("", Some(2));
        check("TLSv1.2", Some(1));
        check("TLSv1.2,TLSv1.3", Some(2));
        check("TLSv1.2-TLSv1.3", Some(2));
        check("TLSv1.3+", Some(1));
        check("SSLv3", None);
    }

    #[test]
    fn common_names_of_garbage() {
        assert_eq!(common_name(&[]), None);
        assert_eq!(common_name(&[6, 3, 0x55, 4, 3]), None);
        assert_eq!(common_name(&[6, 3, 0x55, 4, 3, 0x0c, 9, b'a']), None);
        assert_eq!(common_name(&[6, 3, 0x55, 4, 3, 0x0c, 1, b'a']), Some("a".into()));
    }
}
