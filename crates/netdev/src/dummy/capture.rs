//! Packets of a dummy device into capture files (the classic pcap format, draft-ietf-opsawg-pcap).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A capture file, which is added to if it is there.
pub struct Capture {
    path: String,
    file: File,
}

impl Capture {
    fn open(path: &str) -> std::io::Result<Capture> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if file.metadata()?.len() == 0 {
            let mut header = Vec::with_capacity(24);
            header.extend_from_slice(&0xa1b2_c3d4u32.to_le_bytes());
            header.extend_from_slice(&[2, 0, 4, 0]);
            header.extend_from_slice(&[0; 8]);
            header.extend_from_slice(&1518u32.to_le_bytes());
            header.extend_from_slice(&1u32.to_le_bytes());
            file.write_all(&header)?;
        }
        Ok(Capture { path: path.to_string(), file })
    }

    /// Adds a packet. A file that cannot be written to any more is let be: the packet goes its way.
    pub fn write(&self, packet: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut record = Vec::with_capacity(16 + packet.len());
        for n in [now.as_secs() as u32, now.subsec_micros(), packet.len() as u32, packet.len() as u32] {
            record.extend_from_slice(&n.to_le_bytes());
        }
        record.extend_from_slice(packet);
        let _ = (&self.file).write_all(&record);
    }
}

/// The files of a device.
#[derive(Default)]
pub struct Captures {
    /// What arrives.
    pub received: Option<Arc<Capture>>,
    /// What is sent.
    pub sent: Option<Arc<Capture>>,
}

impl Captures {
    /// Opens and closes files as `pcap` (both ways), `rxq_pcap` and `tx_pcap` say. One that cannot be opened is left out.
    pub fn follow(&mut self, options: &[(String, String)]) {
        let path = |key: &str| options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let both = path("pcap");
        let (received, sent) = (both.or(path("rxq_pcap")), both.or(path("tx_pcap")));
        let same = |have: &Option<Arc<Capture>>, want: Option<&str>| have.as_ref().map(|c| c.path.as_str()) == want;
        if same(&self.received, received) && same(&self.sent, sent) {
            return;
        }
        let open = |path: Option<&str>| path.and_then(|path| Capture::open(path).ok()).map(Arc::new);
        self.received = open(received);
        self.sent = if both.is_some() { self.received.clone() } else { open(sent) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_both_ways_or_one() {
        let dir = std::env::temp_dir().join(format!("ferrovs-capture-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| dir.join(name).to_str().unwrap().to_string();
        let mut captures = Captures::default();
        captures.follow(&[("pcap".into(), file("both")), ("tx_pcap".into(), file("sent"))]);
        captures.received.as_ref().unwrap().write(b"abc");
        captures.sent.as_ref().unwrap().write(b"d");
        assert_eq!(std::fs::read(file("both")).unwrap().len(), 24 + 16 + 3 + 16 + 1);
        assert!(!std::path::Path::new(&file("sent")).exists());
        captures.follow(&[("tx_pcap".into(), file("both")), ("rxq_pcap".into(), "/nonexistent/x".into())]);
        assert!(captures.received.is_none());
        captures.sent.as_ref().unwrap().write(b"e");
        assert_eq!(std::fs::read(file("both")).unwrap().len(), 24 + 16 + 3 + 2 * (16 + 1));
        captures.follow(&[]);
        assert!(captures.sent.is_none());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
