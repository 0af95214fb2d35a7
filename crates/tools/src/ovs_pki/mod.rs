//! `ovs-pki`: certificate authorities for switches and controllers (ovs-pki(8)), without openssl(1).

mod authority;
mod certificate;
mod der;

use authority::Authority;
use certificate::{Certificate, Issuer, Key, Kind, Name, Request};
use clock::WallTime;
use io::Invocation;
use io::program::strerror;
use ovsdb_data::Uuid;
use sha1::{Digest, Sha1};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

struct Options {
    n_bits: usize,
    batch: bool,
    force: bool,
    unique: bool,
    is_dsa: bool,
    folder: PathBuf,
    log: PathBuf,
}

/// `ovs-pki`.
pub fn main(invocation: &Invocation) -> ExitCode {
    match run(invocation) {
        Ok(code) => code,
        Err(message) => invocation.fail(message),
    }
}

fn run(invocation: &Invocation) -> Result<ExitCode, String> {
    let mut options = Options {
        n_bits: 3072,
        batch: false,
        force: false,
        unique: false,
        is_dsa: false,
        folder: PathBuf::from("/var/lib/openvswitch/pki"),
        log: io::dirs::logdir().join("ovs-pki.log"),
    };
    let mut words: Vec<String> = Vec::new();
    let mut args = invocation.args.iter();
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_string())),
            _ => (arg.as_str(), None),
        };
        let mut value = |long: &str| {
            inline.clone().or_else(|| args.next().cloned()).ok_or(format!("error: missing argument to --{long}"))
        };
        match name {
            "-h" | "--help" => {
                print!("{}", HELP.replace("PROGRAM", &invocation.name));
                return Ok(ExitCode::SUCCESS);
            }
            "-V" | "--version" => {
                print!("{}", invocation.version_text());
                return Ok(ExitCode::SUCCESS);
            }
            "-b" | "--batch" => options.batch = true,
            "-f" | "--force" => options.force = true,
            "-u" | "--unique" => options.unique = true,
            "-d" | "--dir" => options.folder = value("dir")?.into(),
            "-l" | "--log" => options.log = value("log")?.into(),
            "-D" | "--dsaparam" => drop(value("dsaparam")?),
            "-k" | "--key" => {
                options.is_dsa = match value("key")?.as_str() {
                    "rsa" => false,
                    "dsa" => true,
                    _ => return Err("argument to -k or --key must be rsa or dsa".into()),
                }
            }
            "-B" | "--bits" => {
                let text = value("bits")?;
                options.n_bits = text.parse().map_err(|_| format!("\"{text}\" is not a number of bits"))?;
                if options.n_bits < 2048 {
                    return Err("argument to -B or --bits must be at least 2048".into());
                }
                if options.n_bits > 16384 {
                    return Err("argument to -B or --bits must be at most 16384".into());
                }
            }
            _ if name.starts_with('-') => return Err(format!("unrecognized option {arg}")),
            _ => words.push(arg.clone()),
        }
    }
    let Some((command, arguments)) = words.split_first() else {
        return Err("missing command name; use --help for help".into());
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments.len() > 2 {
        return Err(format!("{}: only two arguments may be specified", arguments[2]));
    }
    match (command.as_str(), arguments.as_slice()) {
        ("init", _) => options.init(),
        ("req", [name]) => options.request(name),
        ("sign", [name, kind @ ..]) => options.sign(name, kind_of(kind)?),
        ("req+sign", [name, kind @ ..]) => {
            let kind = kind_of(kind)?;
            options.request(name)?;
            Options { batch: true, ..options }.certify(name, kind)
        }
        ("verify", [name, kind @ ..]) => options.verify(name, kind_of(kind)?),
        ("fingerprint", [file]) => fingerprint(Path::new(file)),
        ("self-sign", [name]) => options.self_sign(name),
        ("req" | "fingerprint" | "self-sign", _) => {
            Err(format!("{command} must have exactly one argument; use --help for help"))
        }
        ("sign" | "req+sign" | "verify", _) => {
            Err(format!("{command} must have one or two arguments; use --help for help"))
        }
        _ => Err(format!("{command} command unknown; use --help for help")),
    }
    .map(|()| ExitCode::SUCCESS)
    .or_else(|error| if error == VERIFICATION_FAILED { Ok(ExitCode::from(2)) } else { Err(error) })
}

/// What is wrong was printed already.
const VERIFICATION_FAILED: &str = "";

fn kind_of<'a>(arguments: &[&'a str]) -> Result<&'a str, String> {
    match arguments {
        [] => Ok("switch"),
        [kind @ ("switch" | "controller")] => Ok(kind),
        _ => Err("type argument must be 'switch' or 'controller'".into()),
    }
}

impl Options {
    /// A line for the log, if there can be one.
    fn note(&self, text: &str) {
        let file = OpenOptions::new().append(true).create(true).open(&self.log);
        let _ = file.and_then(|mut file| writeln!(file, "{text}"));
    }

    /// DSA keys are no use to anybody: no version of TLS that switches and controllers may speak takes them.
    fn refuse_dsa(&self) -> Result<(), String> {
        match self.is_dsa {
            true => Err("DSA keys are not made, because TLS 1.2 and 1.3 peers do not take them: use --key=rsa".into()),
            false => Ok(()),
        }
    }

    fn must_not_exist(&self, file: &Path) -> Result<(), String> {
        match file.exists() && !self.force {
            true => Err(format!("{} already exists and --force not supplied", file.display())),
            false => Ok(()),
        }
    }

    fn authority(&self, kind: &str) -> Result<Authority, String> {
        for folder in [self.folder.clone(), self.folder.join(format!("{kind}ca"))] {
            if !folder.exists() {
                return Err(format!("{} does not exist (need to run 'init' or use '--dir'?)", folder.display()));
            }
        }
        Ok(Authority::at(self.folder.join(format!("{kind}ca"))))
    }

    fn init(&self) -> Result<(), String> {
        self.refuse_dsa()?;
        if self.folder.exists() && !self.force {
            return Err(format!("{} already exists and --force not specified", self.folder.display()));
        }
        let now = WallTime::now();
        let t = now.utc();
        let month = MONTHS[t.month as usize - 1];
        let when = format!("{} {month} {:02} {:02}:{:02}:{:02}", t.year, t.day, t.hour, t.minute, t.second);
        for unit in ["controllerca", "switchca"] {
            eprintln!("Creating {unit}...");
            Authority::at(self.folder.join(unit)).create(unit, &when, self.n_bits, now)?;
            self.note(&format!("made {}", self.folder.join(unit).display()));
        }
        Ok(())
    }

    fn request(&self, name: &str) -> Result<(), String> {
        self.refuse_dsa()?;
        let (key_file, file) = (path(name, "privkey"), path(name, "req"));
        self.must_not_exist(&key_file)?;
        self.must_not_exist(&file)?;
        let common_name = match self.unique {
            true => name.to_string(),
            false => format!("{name} id:{}", Uuid::from_random(certificate::random_bytes())),
        };
        let key = Key::generate(self.n_bits)?;
        write(&key_file, &key.to_pem()?, 0o600)?;
        let request =
            certificate::request(&key, &Name::of("Open vSwitch certifier", &common_name), Some(&common_name))?;
        write(&file, &der::to_pem("CERTIFICATE REQUEST", &request), 0o644)?;
        self.note(&format!("made {} and {}", key_file.display(), file.display()));
        fingerprint(&file)
    }

    fn sign(&self, name: &str, kind: &str) -> Result<(), String> {
        fingerprint(&path(name, "req"))?;
        if !self.batch {
            println!("Does fingerprint match? (yes/no)");
            let _ = std::io::stdout().flush();
            let mut answer = String::new();
            let _ = std::io::stdin().lock().read_line(&mut answer);
            if answer.trim() != "yes" {
                return Err("Match failure, aborting".into());
            }
        }
        self.certify(name, kind)
    }

    fn certify(&self, name: &str, kind: &str) -> Result<(), String> {
        let file = path(name, "cert");
        self.must_not_exist(&file)?;
        let request = read_request(name)?;
        let text = self.authority(kind)?.sign(&request, WallTime::now())?;
        write(&file, &text, 0o644)?;
        self.note(&format!("made {}", file.display()));
        Ok(())
    }

    fn self_sign(&self, name: &str) -> Result<(), String> {
        for part in ["req", "privkey"] {
            let file = path(name, part);
            if !file.exists() {
                return Err(format!("{} does not exist", file.display()));
            }
        }
        let file = path(name, "cert");
        self.must_not_exist(&file)?;
        let request = read_request(name)?;
        let key = Key::from_pem(&read(&path(name, "privkey"))?)?;
        let mut serial: [u8; 20] = certificate::random_bytes();
        serial[0] = serial[0] & 0x7f | 0x40;
        let issuer = Issuer { name: &request.subject, key: &key };
        let now = WallTime::now();
        let made = certificate::certificate(&request, &issuer, Kind::SelfSigned, &serial, now, Some(name))?;
        write(&file, &(authority::describe(&made) + &der::to_pem("CERTIFICATE", &made)), 0o644)?;
        self.note(&format!("made {}", file.display()));
        Ok(())
    }

    fn verify(&self, name: &str, kind: &str) -> Result<(), String> {
        let file = path(name, "cert");
        if !file.exists() {
            return Err(format!("{} does not exist", file.display()));
        }
        let authority = self.authority(kind)?;
        let der = der::from_pem("CERTIFICATE", &read(&file)?);
        let Some(certificate) = der.as_deref().and_then(Certificate::read) else {
            return Err(format!("{}: not a certificate", file.display()));
        };
        match authority::verify(&authority.certificate_file(), &certificate, WallTime::now()) {
            Ok(()) => {
                println!("{}: OK", file.display());
                Ok(())
            }
            Err((number, text)) => {
                eprintln!("{}", certificate.subject.text(", "));
                eprintln!("error {number} at 0 depth lookup: {text}");
                eprintln!("error {}: verification failed", file.display());
                Err(VERIFICATION_FAILED.into())
            }
        }
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Prints a file's digest: of a certificate, that of its DER.
fn fingerprint(file: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {}", file.display(), strerror(&error));
    let bytes = std::fs::read(file).map_err(failed)?;
    let changed = std::fs::metadata(file).and_then(|m| m.modified()).map_err(failed)?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (t, days) = (WallTime { millis: since.as_millis() as i64 }.utc(), since.as_secs() / 86400);
    let text = String::from_utf8_lossy(&bytes);
    let hex = |digest: &[u8]| digest.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let digest = match der::from_pem("CERTIFICATE", &text) {
        Some(certificate) => hex(&Sha1::digest(certificate)).to_uppercase(),
        None => hex(&Sha1::digest(&bytes)),
    };
    let (day, month) = (DAYS[(days % 7) as usize], MONTHS[t.month as usize - 1]);
    println!(
        "{}\t{day} {month} {:2} {:02}:{:02}:{:02} UTC {}\n\tfingerprint {digest}",
        file.display(),
        t.day,
        t.hour,
        t.minute,
        t.second,
        t.year
    );
    Ok(())
}

fn path(name: &str, part: &str) -> PathBuf {
    PathBuf::from(format!("{name}-{part}.pem"))
}

fn read_request(name: &str) -> Result<Request, String> {
    let file = path(name, "req");
    let text = read(&file)?;
    let der = der::from_pem("CERTIFICATE REQUEST", &text).ok_or(format!("{}: no request", file.display()))?;
    Request::read(&der).map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads a text file.
fn read(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {}", file.display(), strerror(&error)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file whole or not at all, with these permissions.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), String> {
    let failed = |error| format!("{}: {}", file.display(), strerror(&error));
    let mut name = file.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let _ = std::fs::remove_file(&temporary);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(failed)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, file).map_err(failed)
}

/// Makes a folder and those above it.
fn make_folder(folder: &Path, mode: u32) -> Result<(), String> {
    let failed = |error| format!("{}: {}", folder.display(), strerror(&error));
    if let Some(above) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(above).map_err(failed)?;
    }
    if !folder.exists() {
        DirBuilder::new().mode(mode).create(folder).map_err(failed)?;
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).map_err(failed)
}

const HELP: &str = "\
PROGRAM, for managing a simple OpenFlow public key infrastructure
usage: PROGRAM [OPTION...] COMMAND [ARG...]

Commands:
  init                 make the PKI: an authority for switches, one for controllers
  req NAME             make a key and a request, NAME-privkey.pem and NAME-req.pem
  sign NAME [TYPE]     sign NAME-req.pem, giving NAME-cert.pem
  req+sign NAME [TYPE] both in one step
  verify NAME [TYPE]   check that NAME-cert.pem is a valid certificate of TYPE
  fingerprint FILE     print the fingerprint of FILE
  self-sign NAME       sign NAME-req.pem with NAME-privkey.pem, giving NAME-cert.pem
TYPE is 'switch' (default) or 'controller'.

Options of 'init', 'req' and 'req+sign':
  -k, --key=rsa        type of keys; DSA, which TLS 1.2 and 1.3 peers do not take,
                         is refused
  -B, --bits=NBITS     number of bits in keys (default: 3072)
  -D, --dsaparam=FILE  accepted and ignored
Option of 'sign':
  -b, --batch          do not ask whether the fingerprint is right
Options of all commands:
  -d, --dir=DIR        folder of the PKI (default: /var/lib/openvswitch/pki)
  -f, --force          go on even if a file or folder exists
  -l, --log=FILE       write what is done to FILE (default: ovs-pki.log)
  -u, --unique         NAME is unique: do not append a UUID to it
  -h, --help           print this
  -V, --version        print the version
";
