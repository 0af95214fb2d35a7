//! A certificate authority in a folder, laid out so that openssl(1) can go on with it: `ca.cnf`, `cacert.pem`, `careq.pem`,
//! `private/cakey.pem`, `index.txt`, `serial`, `newcerts/`.

use super::certificate::{self, Certificate, Issuer, Key, Kind, Name, Request};
use super::der;
use super::{read, write};
use clock::WallTime;
use std::path::{Path, PathBuf};

/// An authority.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// The one in a folder.
    pub fn at(folder: PathBuf) -> Authority {
        Authority { folder }
    }

    /// Where its certificate is.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("cacert.pem")
    }

    /// Makes folders, a key and a certificate. `unit` is the authority's kind, `when` says when it is made.
    pub fn create(&self, unit: &str, when: &str, n_bits: usize, now: WallTime) -> Result<(), String> {
        for folder in ["certs", "crl", "newcerts"] {
            super::make_folder(&self.folder.join(folder), 0o755)?;
        }
        super::make_folder(&self.folder.join("private"), 0o700)?;
        let name = Name::of(unit, &format!("OVS {unit} CA Certificate ({when})"));
        if !self.folder.join("index.txt").exists() {
            write(&self.folder.join("index.txt"), "", 0o644)?;
        }
        if !self.folder.join("serial").exists() {
            write(&self.folder.join("serial"), "01\n", 0o644)?;
        }
        write(&self.folder.join("crlnumber"), "01\n", 0o644)?;
        write(&self.folder.join("ca.cnf"), &configuration(unit, &name), 0o644)?;
        let key = Key::generate(n_bits)?;
        write(&self.folder.join("private/cakey.pem"), &key.to_pem()?, 0o600)?;
        let request = certificate::request(&key, &name, None)?;
        write(&self.folder.join("careq.pem"), &der::to_pem("CERTIFICATE REQUEST", &request), 0o644)?;
        let request = Request::read(&request)?;
        let issuer = Issuer { name: &name.certified(), key: &key };
        let text = self.certify(&request, &issuer, Kind::Authority, now)?;
        write(&self.certificate_file(), &text, 0o644)
    }

    /// Signs a request; returns the certificate's file.
    pub fn sign(&self, request: &Request, now: WallTime) -> Result<String, String> {
        let own = read(&self.certificate_file())?;
        let own = der::from_pem("CERTIFICATE", &own).ok_or("cacert.pem holds no certificate")?;
        let own = Certificate::read(&own).ok_or("cacert.pem is damaged")?;
        let key = Key::from_pem(&read(&self.folder.join("private/cakey.pem"))?)?;
        if request.subject.organization() != own.subject.organization() {
            return Err(format!(
                "the organization of the request ({}) is not that of the authority ({})",
                request.subject.organization().unwrap_or("none"),
                own.subject.organization().unwrap_or("none")
            ));
        }
        if !request.subject.has_common_name() {
            return Err("the request has no common name".into());
        }
        self.certify(request, &Issuer { name: &own.subject, key: &key }, Kind::Member, now)
    }

    /// Makes a certificate with the next serial number and enters it into the index.
    fn certify(&self, request: &Request, issuer: &Issuer<'_>, kind: Kind, now: WallTime) -> Result<String, String> {
        let file = self.folder.join("serial");
        let before = read(&file)?;
        let serial = u64::from_str_radix(before.trim(), 16).map_err(|_| format!("{}: not a number", file.display()))?;
        let made = certificate::certificate(request, issuer, kind, &serial.to_be_bytes(), now, None)?;
        let text = describe(&made) + &der::to_pem("CERTIFICATE", &made);
        let number = even(format!("{serial:X}"));
        write(&self.folder.join(format!("newcerts/{number}.pem")), &text, 0o644)?;
        let index_file = self.folder.join("index.txt");
        let index = read(&index_file)?;
        let end = certificate::digits_of(certificate::end(now));
        let subject = request.subject.certified().text("/");
        let line = format!("V\t{}Z\t\t{number}\tunknown\t/{subject}\n", &end[2..]);
        write(&self.folder.join("index.txt.old"), &index, 0o644)?;
        write(&index_file, &(index + &line), 0o644)?;
        write(&self.folder.join("index.txt.attr"), "unique_subject = no\n", 0o644)?;
        write(&self.folder.join("serial.old"), &before, 0o644)?;
        write(&file, &format!("{}\n", even(format!("{:X}", serial + 1))), 0o644)?;
        Ok(text)
    }
}

/// Hexadecimal numbers have whole bytes.
fn even(digits: String) -> String {
    if digits.len() % 2 == 1 { format!("0{digits}") } else { digits }
}

/// What a certificate says, for people; it stands before the certificate proper.
pub fn describe(certificate: &[u8]) -> String {
    let Some(c) = Certificate::read(certificate) else { return String::new() };
    let serial: String = c.serial.iter().map(|byte| format!("{byte:02X}")).collect();
    let time = |digits: &str| match digits.len() {
        14 => format!(
            "{}-{}-{} {}:{}:{} UTC",
            &digits[..4],
            &digits[4..6],
            &digits[6..8],
            &digits[8..10],
            &digits[10..12],
            &digits[12..]
        ),
        _ => digits.to_string(),
    };
    format!(
        "Certificate:\n    Serial Number: {serial}\n    Issuer: {}\n    Not Before: {}\n    Not After : {}\n    Subject: {}\n",
        c.issuer.text(", "),
        time(&c.validity.0),
        time(&c.validity.1),
        c.subject.text(", ")
    )
}

/// What openssl(1) needs to know to go on with the authority.
fn configuration(unit: &str, name: &Name) -> String {
    let common_name = name.text("\n").rsplit("CN=").next().unwrap_or_default().to_string();
    format!(
        "# An authority of ovs-pki. openssl(1) reads this; ovs-pki itself does not.\n\
         [ req ]\nprompt = no\ndistinguished_name = subject\n\n\
         [ subject ]\nC = US\nST = CA\nL = Palo Alto\nO = Open vSwitch\nOU = {unit}\nCN = {common_name}\n\n\
         [ ca ]\ndefault_ca = authority\n\n\
         [ authority ]\ndir = .\ndatabase = $dir/index.txt\nnew_certs_dir = $dir/newcerts\ncertificate = $dir/cacert.pem\n\
         serial = $dir/serial\ncrlnumber = $dir/crlnumber\nprivate_key = $dir/private/cakey.pem\n\
         default_days = {}\ndefault_crl_days = 30\ndefault_md = sha512\npolicy = policy\nemail_in_dn = no\n\
         copy_extensions = copy\nunique_subject = no\n\n\
         [ policy ]\ncountryName = optional\nstateOrProvinceName = optional\norganizationName = match\n\
         organizationalUnitName = optional\ncommonName = supplied\nemailAddress = optional\n\n\
         [ ca_cert ]\nbasicConstraints = CA:true\n\n[ usr_cert ]\nbasicConstraints = CA:false\n",
        certificate::DAYS
    )
}

/// Checks a certificate against an authority's; the error is what `openssl verify` would call it.
pub fn verify(authority: &Path, certificate: &Certificate<'_>, now: WallTime) -> Result<(), (u32, &'static str)> {
    let unable = (20, "unable to get local issuer certificate");
    let text = read(authority).map_err(|_| unable)?;
    let own = der::from_pem("CERTIFICATE", &text).ok_or(unable)?;
    let own = Certificate::read(&own).ok_or(unable)?;
    if own.subject != certificate.issuer {
        return Err(unable);
    }
    own.has_signed(certificate).map_err(|_| (7, "certificate signature failure"))?;
    let now = certificate::digits_of(now);
    for c in [certificate, &own] {
        if now < c.validity.0 {
            return Err((9, "certificate is not yet valid"));
        }
        if now > c.validity.1 {
            return Err((10, "certificate has expired"));
        }
    }
    Ok(())
}
