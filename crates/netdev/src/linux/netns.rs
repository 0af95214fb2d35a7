//! Network namespaces.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::sys;

/// Where named namespaces are mounted, as `ip netns` has it.
pub const NAMED: &str = "/run/netns";

/// A network namespace, kept alive by an open file.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    mounted: Option<PathBuf>,
}

impl NetNs {
    /// The namespace of the calling thread.
    pub fn current() -> io::Result<Self> {
        Ok(NetNs { file: File::open("/proc/thread-self/ns/net")?, mounted: None })
    }

    /// A namespace by path, for instance `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(NetNs { file: File::open(path)?, mounted: None })
    }

    /// A new namespace without a name, with its loopback up. Needs CAP_SYS_ADMIN in the current user namespace.
    pub fn create() -> io::Result<Self> {
        let file = on_new_thread(|| {
            sys::unshare(libc::CLONE_NEWNET)?;
            loopback_up()?;
            File::open("/proc/thread-self/ns/net")
        })?;
        Ok(NetNs { file, mounted: None })
    }

    /// A new namespace that `ip netns` also sees under `name`. It goes away with this value.
    pub fn create_named(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.contains('/') || name.contains('\0') {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        fs::create_dir_all(NAMED)?;
        let path = Path::new(NAMED).join(name);
        let mut ns = NetNs::create()?;
        File::options().write(true).create_new(true).open(&path)?;
        let source = CString::new(format!("/proc/self/fd/{}", ns.file.as_raw_fd()))?;
        if let Err(e) = rustix::mount::mount_bind(source.as_c_str(), &path) {
            let _ = fs::remove_file(&path);
            return Err(e.into());
        }
        ns.mounted = Some(path);
        Ok(ns)
    }

    /// Leaves the name of a named namespace in place when this value goes away.
    pub fn keep(&mut self) {
        self.mounted = None;
    }

    /// Runs `work` on a new thread inside the namespace and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_new_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Moves the calling thread into the namespace for good.
    pub fn enter(&self) -> io::Result<()> {
        sys::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET)
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted {
            let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
            let _ = fs::remove_file(path);
        }
    }
}

/// A thread of its own, because a namespace belongs to a thread and threads of a pool come back.
fn on_new_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace failed")))
    })
}

fn loopback_up() -> io::Result<()> {
    let mut rtnl = super::rtnl::Rtnl::open()?;
    let lo = rtnl.link_by_name("lo")?.ifindex;
    rtnl.change(lo, super::rtnl::LinkChange { up: Some(true), ..Default::default() })
}

/// Moves the whole process, which must have one thread yet, into user, network and mount namespaces of its own, in which it is
/// root. For an ordinary user who wants to try the switch. Fails with `EPERM` or `ENOSPC` where the machine forbids
/// user namespaces.
pub fn enter_private() -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS)?;
    // user_namespaces(7): an unprivileged process has to give up setgroups before it may write gid_map.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    loopback_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_has_only_loopback() {
        let ns = match NetNs::create() {
            Ok(ns) => ns,
            Err(e) => return eprintln!("skipped: {e}"),
        };
        let names = ns.run(|| super::super::rtnl::Rtnl::open()?.links()).unwrap();
        assert!(names.iter().any(|l| l.name == "lo" && l.is_up()));
        assert!(names.iter().all(|l| l.mac.is_zero()), "only loopback and address-less defaults: {names:?}");
    }
}
