//! Keys, certificate requests (RFC 2986) and certificates (RFC 5280), as far as a certificate authority of switches needs.

use super::der::{self, Value, bits, group, integer, value};
use clock::WallTime;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey};
use sha1::{Digest, Sha1};

/// Days that certificates are good for.
pub const DAYS: i64 = 3650;

/// A digest that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256, of requests and of certificates that sign themselves
    Sha256,
    /// SHA-512, of certificates that an authority signs
    Sha512,
}

impl Hash {
    /// OID 1.2.840.113549.1.1.11 or .13.
    fn algorithm(self) -> Vec<u8> {
        let last = if self == Hash::Sha256 { 11 } else { 13 };
        let oid = value(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last]);
        group(der::SEQUENCE, &[oid, vec![5, 0]])
    }

    fn of_algorithm(whole: &[u8]) -> Option<Hash> {
        [Hash::Sha256, Hash::Sha512].into_iter().find(|hash| hash.algorithm() == whole)
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha256 => &ring::digest::SHA256,
            Hash::Sha512 => &ring::digest::SHA512,
        };
        ring::digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// How PKCS #1 wraps the digest (RFC 8017 §9.2, note 1).
    fn scheme(self) -> Pkcs1v15Sign {
        let (last, length) = if self == Hash::Sha256 { (1, 32) } else { (3, 64) };
        let prefix = [0x30, 17 + length, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0, 4, length];
        Pkcs1v15Sign { hash_len: Some(usize::from(length)), prefix: prefix.into() }
    }
}

/// The operating system's random numbers, as key generation asks for them.
struct Random(ring::rand::SystemRandom);

impl rsa::rand_core::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_ne_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.try_fill_bytes(out).expect("the operating system gives random numbers");
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        ring::rand::SecureRandom::fill(&self.0, out).map_err(|_| rsa::rand_core::Error::new("no random numbers"))
    }
}

impl rsa::rand_core::CryptoRng for Random {}

fn random() -> Random {
    Random(ring::rand::SystemRandom::new())
}

/// Random bytes.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    use rsa::rand_core::RngCore;
    let mut bytes = [0; N];
    random().fill_bytes(&mut bytes);
    bytes
}

/// A private key.
pub struct Key(RsaPrivateKey);

impl Key {
    /// A new one of so many bits.
    pub fn generate(n_bits: usize) -> Result<Key, String> {
        RsaPrivateKey::new(&mut random(), n_bits).map(Key).map_err(|error| format!("cannot make a key: {error}"))
    }

    /// From `PRIVATE KEY` in PEM.
    pub fn from_pem(text: &str) -> Result<Key, String> {
        RsaPrivateKey::from_pkcs8_pem(text).map(Key).map_err(|error| format!("not an RSA private key: {error}"))
    }

    /// `PRIVATE KEY` in PEM.
    pub fn to_pem(&self) -> Result<String, String> {
        self.0.to_pkcs8_pem(LineEnding::LF).map(|text| text.to_string()).map_err(|error| error.to_string())
    }

    /// The public half as certificates hold it.
    pub fn public(&self) -> Vec<u8> {
        let oid = value(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
        let key = [integer(&self.0.n().to_bytes_be()), integer(&self.0.e().to_bytes_be())];
        group(der::SEQUENCE, &[group(der::SEQUENCE, &[oid, vec![5, 0]]), bits(&group(der::SEQUENCE, &key))])
    }

    /// `body`, the algorithm, and the signature.
    fn sign(&self, hash: Hash, body: Vec<u8>) -> Result<Vec<u8>, String> {
        let signature = self.0.sign_with_rng(&mut random(), hash.scheme(), &hash.digest(&body));
        let signature = signature.map_err(|error| format!("cannot sign: {error}"))?;
        Ok(group(der::SEQUENCE, &[body, hash.algorithm(), bits(&signature)]))
    }
}

/// Who something is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Pairs of the last byte of the attribute's OID (2.5.4.x) and its text.
    attributes: Vec<(u8, String)>,
}

const COUNTRY: u8 = 6;
const STATE: u8 = 8;
const LOCALITY: u8 = 7;
const ORGANIZATION: u8 = 10;
const UNIT: u8 = 11;
const COMMON_NAME: u8 = 3;

impl Name {
    /// `C=US, ST=CA, L=Palo Alto, O=Open vSwitch, OU=…, CN=…`, as all names of such a PKI.
    pub fn of(unit: &str, common_name: &str) -> Name {
        let attribute = |(kind, text): (u8, &str)| (kind, text.to_string());
        let fixed = [(COUNTRY, "US"), (STATE, "CA"), (LOCALITY, "Palo Alto"), (ORGANIZATION, "Open vSwitch")];
        Name {
            attributes: fixed.into_iter().chain([(UNIT, unit), (COMMON_NAME, common_name)]).map(attribute).collect(),
        }
    }

    fn label(kind: u8) -> &'static str {
        match kind {
            COUNTRY => "C",
            STATE => "ST",
            LOCALITY => "L",
            ORGANIZATION => "O",
            UNIT => "OU",
            COMMON_NAME => "CN",
            _ => "?",
        }
    }

    /// What an authority certifies of a request's name: no locality, and the rest in its order.
    pub fn certified(&self) -> Name {
        let kinds = [COUNTRY, STATE, ORGANIZATION, UNIT, COMMON_NAME];
        let of = |kind: u8| self.attributes.iter().filter(move |(k, _)| *k == kind).cloned();
        Name { attributes: kinds.into_iter().flat_map(of).collect() }
    }

    /// An attribute's text.
    fn get(&self, kind: u8) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, text)| text.as_str())
    }

    /// The organization, which an authority requires to be its own.
    pub fn organization(&self) -> Option<&str> {
        self.get(ORGANIZATION)
    }

    /// Whether it names somebody.
    pub fn has_common_name(&self) -> bool {
        self.get(COMMON_NAME).is_some()
    }

    fn to_der(&self) -> Vec<u8> {
        let attribute = |(kind, text): &(u8, String)| {
            let tag = if *kind == COUNTRY { der::PRINTABLE_STRING } else { der::UTF8_STRING };
            let pair = group(der::SEQUENCE, &[value(der::OID, &[0x55, 4, *kind]), value(tag, text.as_bytes())]);
            group(der::SET, &[pair])
        };
        group(der::SEQUENCE, &self.attributes.iter().map(attribute).collect::<Vec<_>>())
    }

    fn from_der(name: Value<'_>) -> Option<Name> {
        let mut attributes = Vec::new();
        for set in name.parts()? {
            for pair in set.parts()? {
                let [oid, text] = pair.parts()?.try_into().ok()?;
                if let [0x55, 4, kind] = oid.content {
                    attributes.push((*kind, String::from_utf8_lossy(text.content).into_owned()));
                }
            }
        }
        Some(Name { attributes })
    }

    /// `C=US, …, CN=…`, or with slashes, as the index of an authority has it.
    pub fn text(&self, separator: &str) -> String {
        let parts = self.attributes.iter().map(|(kind, text)| format!("{}={text}", Name::label(*kind)));
        parts.collect::<Vec<_>>().join(separator)
    }
}

fn extension(last: u8, content: Vec<u8>) -> Vec<u8> {
    group(der::SEQUENCE, &[value(der::OID, &[0x55, 0x1d, last]), value(der::OCTET_STRING, &content)])
}

const ALTERNATIVE_NAMES: u8 = 17;

/// `subjectAltName` with one name.
fn alternative_name(name: &str) -> Vec<u8> {
    extension(ALTERNATIVE_NAMES, group(der::SEQUENCE, &[value(0x82, name.as_bytes())]))
}

/// Makes a request: `CERTIFICATE REQUEST` in DER.
pub fn request(key: &Key, subject: &Name, alternative: Option<&str>) -> Result<Vec<u8>, String> {
    let attributes = alternative.map_or(vec![], |name| {
        let extensions = group(der::SET, &[group(der::SEQUENCE, &[alternative_name(name)])]);
        let oid = value(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]);
        group(der::SEQUENCE, &[oid, extensions])
    });
    let body = group(der::SEQUENCE, &[integer(&[0]), subject.to_der(), key.public(), value(0xa0, &attributes)]);
    key.sign(Hash::Sha256, body)
}

/// A request that was read, its signature checked.
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub subject: Name,
    public: Vec<u8>,
    /// `subjectAltName` extensions asked for.
    alternatives: Vec<Vec<u8>>,
}

impl Request {
    /// Reads DER.
    pub fn read(der: &[u8]) -> Result<Request, String> {
        let unreadable = || "not a certificate request".to_string();
        let request = der::read(&mut &*der).ok_or_else(unreadable)?;
        let [body, algorithm, signature] = three(request).ok_or_else(unreadable)?;
        let parts = body.parts().ok_or_else(unreadable)?;
        let [_, subject, public, rest @ ..] = parts.as_slice() else { return Err(unreadable()) };
        check_signature(*public, body, algorithm, signature)?;
        let mut alternatives = Vec::new();
        for attribute in rest.iter().filter_map(Value::parts).flatten() {
            collect_alternatives(attribute, &mut alternatives);
        }
        let subject = Name::from_der(*subject).ok_or_else(unreadable)?;
        Ok(Request { subject, public: public.whole.to_vec(), alternatives })
    }
}

fn three(value: Value<'_>) -> Option<[Value<'_>; 3]> {
    value.parts()?.try_into().ok()
}

/// Finds the extension wherever it is nested.
fn collect_alternatives(value: Value<'_>, out: &mut Vec<Vec<u8>>) {
    let Some(parts) = value.parts().filter(|_| value.tag & 0x20 != 0) else { return };
    if parts.first().is_some_and(|oid| oid.tag == der::OID && oid.content == [0x55, 0x1d, ALTERNATIVE_NAMES]) {
        out.push(value.whole.to_vec());
        return;
    }
    parts.into_iter().for_each(|part| collect_alternatives(part, out));
}

fn check_signature(
    public: Value<'_>,
    body: Value<'_>,
    algorithm: Value<'_>,
    signature: Value<'_>,
) -> Result<(), String> {
    let hash = Hash::of_algorithm(algorithm.whole).ok_or("signed with an algorithm other than RSA with SHA-2")?;
    let key = public_key(public).ok_or("the public key is not an RSA key")?;
    let signature = signature.bit_string().ok_or("the signature is damaged")?;
    let verified = key.verify(hash.scheme(), &hash.digest(body.whole), signature);
    verified.map_err(|_| "the signature is wrong".to_string())
}

fn public_key(info: Value<'_>) -> Option<RsaPublicKey> {
    let [_, key] = info.parts()?.try_into().ok()?;
    let numbers = der::read(&mut key.bit_string()?)?.parts()?;
    let [n, e] = numbers.try_into().ok()?;
    RsaPublicKey::new_with_max_size(BigUint::from_bytes_be(n.content), BigUint::from_bytes_be(e.content), 16384).ok()
}

/// SHA-1 of the key's bits, which names keys in certificates (RFC 5280 §4.2.1.2, method 1).
fn key_id(public: &[u8]) -> Vec<u8> {
    let info = der::read(&mut &*public).and_then(|info| info.parts()).unwrap_or_default();
    let key = info.get(1).and_then(Value::bit_string).unwrap_or_default();
    Sha1::digest(key).to_vec()
}

fn time(at: WallTime) -> Vec<u8> {
    let t = at.utc();
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", t.month, t.day, t.hour, t.minute, t.second);
    match t.year {
        1950..2050 => value(der::UTC_TIME, format!("{:02}{rest}", t.year % 100).as_bytes()),
        year => value(der::GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes()),
    }
}

/// When something made now is good no longer.
pub fn end(now: WallTime) -> WallTime {
    WallTime { millis: now.millis + DAYS * 86_400_000 }
}

/// Who signs a certificate.
pub struct Issuer<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its key.
    pub key: &'a Key,
}

/// What kind of certificate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of an authority, signed by itself
    Authority,
    /// Of a switch or controller, signed by an authority
    Member,
    /// Of a switch or controller, signed by itself
    SelfSigned,
}

/// Makes a certificate in DER.
pub fn certificate(
    request: &Request,
    issuer: &Issuer<'_>,
    kind: Kind,
    serial: &[u8],
    now: WallTime,
    alternative: Option<&str>,
) -> Result<Vec<u8>, String> {
    let hash = if kind == Kind::SelfSigned { Hash::Sha256 } else { Hash::Sha512 };
    let subject = if kind == Kind::SelfSigned { request.subject.clone() } else { request.subject.certified() };
    let mut extensions = Vec::new();
    match kind {
        Kind::Authority => extensions.push(extension(19, group(der::SEQUENCE, &[vec![1, 1, 0xff]]))),
        Kind::Member => extensions.push(extension(19, group(der::SEQUENCE, &[]))),
        Kind::SelfSigned => {}
    }
    match alternative {
        Some(name) => extensions.push(alternative_name(name)),
        None => extensions.extend(request.alternatives.iter().cloned()),
    }
    extensions.push(extension(14, value(der::OCTET_STRING, &key_id(&request.public))));
    if kind == Kind::Member {
        let id = value(0x80, &key_id(&issuer.key.public()));
        extensions.push(extension(35, group(der::SEQUENCE, &[id])));
    }
    let body = group(
        der::SEQUENCE,
        &[
            value(0xa0, &integer(&[2])),
            integer(serial),
            hash.algorithm(),
            issuer.name.to_der(),
            group(der::SEQUENCE, &[time(now), time(end(now))]),
            subject.to_der(),
            request.public.clone(),
            value(0xa3, &group(der::SEQUENCE, &extensions)),
        ],
    );
    issuer.key.sign(hash, body)
}

/// A certificate that was read.
pub struct Certificate<'a> {
    body: Value<'a>,
    algorithm: Value<'a>,
    signature: Value<'a>,
    public: Value<'a>,
    /// Who signed it.
    pub issuer: Name,
    /// Who it is about.
    pub subject: Name,
    /// Big-endian.
    pub serial: &'a [u8],
    /// First and last time that it is good at, as digits `YYYYMMDDhhmmss`.
    pub validity: (String, String),
}

impl<'a> Certificate<'a> {
    /// Reads DER.
    pub fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let [body, algorithm, signature] = three(der::read(&mut &*der)?)?;
        let parts = body.parts()?;
        let [_, serial, _, issuer, validity, subject, public, ..] = parts.as_slice() else { return None };
        let [from, to] = validity.parts()?.try_into().ok()?;
        Some(Certificate {
            body,
            algorithm,
            signature,
            public: *public,
            issuer: Name::from_der(*issuer)?,
            subject: Name::from_der(*subject)?,
            serial: serial.content,
            validity: (digits(from), digits(to)),
        })
    }

    /// Whether this certificate's key signed another; or why not.
    pub fn has_signed(&self, other: &Certificate<'_>) -> Result<(), String> {
        check_signature(self.public, other.body, other.algorithm, other.signature)
    }
}

fn digits(time: Value<'_>) -> String {
    let text = String::from_utf8_lossy(time.content).trim_end_matches('Z').to_string();
    match (time.tag, text.as_str()) {
        (der::UTC_TIME, early) if early >= "50" => format!("19{text}"),
        (der::UTC_TIME, _) => format!("20{text}"),
        _ => text,
    }
}

/// The moment as [`Certificate::validity`] writes it.
pub fn digits_of(at: WallTime) -> String {
    let t = at.utc();
    format!("{:04}{:02}{:02}{:02}{:02}{:02}", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_certificates() {
        let (ca_key, key) = (Key::generate(1024).unwrap(), Key::generate(1024).unwrap());
        let now = WallTime { millis: 1_800_000_000_000 };
        let ca_name = Name::of("switchca", "CA");
        let ca_request = Request::read(&request(&ca_key, &ca_name, None).unwrap()).unwrap();
        let issuer = Issuer { name: &ca_name.certified(), key: &ca_key };
        let ca = certificate(&ca_request, &issuer, Kind::Authority, &[1], now, None).unwrap();
        let made = request(&key, &Name::of("Open vSwitch certifier", "sw id:1"), Some("sw id:1")).unwrap();
        let asked = Request::read(&made).unwrap();
        assert_eq!((asked.subject.organization(), asked.alternatives.len()), (Some("Open vSwitch"), 1));
        let member = certificate(&asked, &issuer, Kind::Member, &[2], now, None).unwrap();
        let (ca, member) = (Certificate::read(&ca).unwrap(), Certificate::read(&member).unwrap());
        assert_eq!(member.subject.text(", "), "C=US, ST=CA, O=Open vSwitch, OU=Open vSwitch certifier, CN=sw id:1");
        assert_eq!((&member.issuer, member.serial), (&ca.subject, &[2][..]));
        assert_eq!(member.validity, ("20270115080000".to_string(), "20370112080000".to_string()));
        assert_eq!((ca.has_signed(&ca), ca.has_signed(&member)), (Ok(()), Ok(())));
        assert!(member.has_signed(&ca).is_err());
        // Whatever is cut off or changed, nothing is taken for what it is not.
        for n in 0..made.len() {
            assert!(Request::read(&made[..n]).is_err());
            let mut damaged = made.clone();
            damaged[n] ^= 1;
            let _ = Request::read(&damaged);
        }
        let again = Key::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
    }
}
