//! What `Open_vSwitch:statistics` says of the host and of the daemons (ovs-vswitchd.conf.db(5)), from `/proc` (proc(5)).

use io::dirs;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The column's keys and values. May block: it asks file systems.
pub fn read() -> BTreeMap<String, String> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut all = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| all.extend(value.map(|value| (key.to_string(), value)));
    put("cpu", std::thread::available_parallelism().ok().map(|n| n.to_string()));
    put("load_average", load_average(&text("/proc/loadavg")));
    put("memory", memory(&text("/proc/meminfo")));
    put("file_systems", Some(file_systems(&text("/proc/mounts"), usage)).filter(|list| !list.is_empty()));
    let host = text("/proc/uptime");
    for (name, pid) in daemons(&dirs::rundir()) {
        put(&format!("process_{name}"), {
            let of = |file: &str| text(&format!("/proc/{pid}/{file}"));
            process(&of("stat"), &of("status"), &host)
        });
    }
    all
}

fn load_average(text: &str) -> Option<String> {
    let of: Vec<&str> = text.split_ascii_whitespace().take(3).collect();
    (of.len() == 3).then(|| of.join(","))
}

/// The number behind a key, in KiB.
pub fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// In KiB: all memory, what is in use, what of that could be used otherwise, all swap space, what of it is in use.
fn memory(text: &str) -> Option<String> {
    let of = |key: &str| kib(text, key);
    let (all, free) = (of("MemTotal")?, of("MemFree")?);
    let cache = of("Buffers").unwrap_or(0) + of("Cached").unwrap_or(0);
    let swap = of("SwapTotal").unwrap_or(0);
    let used = swap.saturating_sub(of("SwapFree").unwrap_or(0));
    Some(format!("{all},{},{cache},{swap},{used}", all.saturating_sub(free)))
}

/// Size of the file system at a place, and what of it is in use, in KiB.
fn usage(place: &str) -> Option<(u64, u64)> {
    let fs = rustix::fs::statvfs(place).ok()?;
    let kib = |blocks: u64| blocks.saturating_mul(fs.f_frsize) / 1024;
    (fs.f_blocks > 0).then(|| (kib(fs.f_blocks), kib(fs.f_blocks.saturating_sub(fs.f_bfree))))
}

/// File systems on devices that can be written to.
fn file_systems(mounts: &str, usage: impl Fn(&str) -> Option<(u64, u64)>) -> String {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, place, _, options, ..] = words.as_slice() else { return None };
        let writable = !options.split(',').any(|option| option == "ro");
        let (all, used) = usage(place).filter(|_| device.starts_with('/') && writable)?;
        Some(format!("{place},{all},{used}"))
    };
    mounts.lines().filter_map(one).collect::<Vec<_>>().join(" ")
}

/// Names and process ids of the daemons that keep a pid file in the run directory.
fn daemons(rundir: &Path) -> Vec<(String, u32)> {
    let one = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".pid")?.to_string();
        let pid = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
        Some((name, pid))
    };
    fs::read_dir(rundir).map(|list| list.filter_map(one).collect()).unwrap_or_default()
}

/// Of a process: virtual and resident size in KiB, processor time in ms, crashes, ms since it was started and since it was started
/// last, core. There is no telling how often one crashed: a monitor starts it anew under another pid.
fn process(stat: &str, status: &str, host: &str) -> Option<String> {
    // Linux shows times to programs in hundredths of a second.
    const TICK: u64 = 10;
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // proc(5) counts from 1, and the third is the first behind the name.
    let field = |n: usize| -> Option<u64> { fields.get(n - 3)?.parse().ok() };
    let (seconds, hundredths) = host.split_ascii_whitespace().next()?.split_once('.')?;
    let now = seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10;
    let age = now.saturating_sub(field(22)? * TICK);
    let (size, resident, time) = (kib(status, "VmSize")?, kib(status, "VmRSS")?, (field(14)? + field(15)?) * TICK);
    Some(format!("{size},{resident},{time},0,{age},{age},{}", field(39)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_host() {
        assert_eq!(load_average("5.53 5.25 5.40 6/132 23395\n").as_deref(), Some("5.53,5.25,5.40"));
        assert_eq!(load_average(""), None);
        let text =
            "MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 10 kB\nCached: 90 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n";
        assert_eq!(memory(text).as_deref(), Some("1000,700,100,50,30"));
        assert_eq!(memory("MemTotal: x kB\n"), None);
        let mounts = "proc /proc proc rw 0 0\n/dev/a / ext4 rw,relatime 0 0\n/dev/b /b ext4 relatime,ro 0 0\n\
                      /dev/c /c ext4 rw 0 0\n/dev/d /gone ext4 rw 0 0\nbad\n";
        let usage = |place: &str| (place != "/gone").then_some((9, place.len() as u64));
        assert_eq!(file_systems(mounts, usage), "/,9,1 /c,9,2");
    }

    #[test]
    fn of_a_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 12 3 0 0 20 0 4 0 5085 170311680 1323 18446744073709551615 \
                    1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n";
        let status = "Name: a\nVmSize:\t  166320 kB\nVmRSS:\t 5292 kB\n";
        let expect = "166320,5292,150,0,5860,5860,1";
        assert_eq!(process(stat, status, "56.71 26605.87\n").as_deref(), Some(expect));
        assert_eq!(process(stat, "", "56.71 26605.87\n"), None);
        assert_eq!(process("", status, "1.00 1.00"), None);
        assert_eq!(process("7 (a) S 1", status, "1.00 1.00"), None);
    }
}
