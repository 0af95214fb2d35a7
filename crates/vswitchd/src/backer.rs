//! Datapaths and devices by type: the one place that names concrete ones.

use crate::app::Dummy;
use ::io::program::strerror;
use ::io::vlog::Module;
use ::io::{vlog_info, vlog_warn};
use clock::Clock;
use datapath::{Datapath, Features};
use dp_kernel::{Dispatch, Kernel, Open};
use dp_user::settings::{PortSettings, Settings};
use dp_user::{Topology, Userspace};
use flow::DpPort;
use netdev::Device;
use netdev::dummy::DummyDevice;
use netdev::linux::afxdp::AfxdpDevice;
use netdev::linux::system::{InternalDevice, SystemDevice};
use netdev::linux::tap::TapDevice;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use switch::{Notice, Upcalls, revalidate};
use translate::view::Network;

/// The kinds of datapath that there are.
#[derive(Clone)]
enum Provider {
    User(Arc<Userspace>),
    Kernel(Arc<Kernel>),
}

impl Provider {
    fn datapath(&self) -> Arc<dyn Datapath> {
        match self {
            Provider::User(d) => d.clone(),
            Provider::Kernel(d) => d.clone(),
        }
    }
}

/// A datapath and the switch's side of it, shared by all bridges of a type.
pub struct Backer {
    kind: &'static str,
    /// Its devices are made of nothing.
    dummy: bool,
    provider: Provider,
    /// The switch's side.
    pub upcalls: Arc<Upcalls>,
    revalidator: Option<JoinHandle<()>>,
    features: Features,
    /// Ports of an earlier run are gone.
    clean: bool,
    delete: bool,
}

/// Types of datapath that bridges may ask for.
pub fn datapath_types(dummy: Dummy) -> Vec<&'static str> {
    if dummy == Dummy::Off { vec!["netdev", "system"] } else { vec!["dummy", "netdev", "system"] }
}

/// Types of interface that ports may ask for.
pub fn interface_types(dummy: Dummy) -> Vec<&'static str> {
    let mut types = vec!["afxdp", "afxdp-nonpmd", "internal", "patch", "system", "tap"];
    if dummy != Dummy::Off {
        types.extend(["dummy", "dummy-internal", "dummy-pmd"]);
        types.sort_unstable();
    }
    types
}

/// How the kernel is to give packets to handlers: by CPU unless the environment wants it as on kernels that cannot do that.
fn preferred_dispatch() -> Dispatch {
    match std::env::var("FERROVS_UPCALL_DISPATCH").as_deref() {
        Ok("per-vport") => Dispatch::PerVport,
        _ => Dispatch::PerCpu,
    }
}

/// Whether this kernel has a datapath that this process may use; looked for once.
fn kernel_has_datapath() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| match dp_kernel::names() {
        Ok(_) => true,
        Err(e) => {
            let why = strerror(&e);
            vlog_info!(Module::DpifNetlink, "Generic Netlink family 'ovs_datapath' does not exist ({why}). \
                The Open vSwitch kernel module is probably not loaded: bridges of type system use the userspace datapath");
            false
        }
    })
}

/// The datapath that serves bridges of a type. Bridges of type `system` are served by the kernel's datapath or, where the kernel
/// has none, by the userspace datapath, which needs nothing of the kernel but sockets. May block.
pub fn effective_type(wanted: &str, dummy: Dummy) -> Result<&'static str, String> {
    match (wanted, dummy) {
        ("dummy", Dummy::Off) => Err("datapath type dummy needs --enable-dummy".into()),
        ("dummy", _) => Ok("dummy"),
        ("system", Dummy::OverrideSystem | Dummy::OverrideAll) => Ok("system"),
        ("system", _) if kernel_has_datapath() => Ok("system"),
        ("system" | "netdev", _) => Ok("netdev"),
        _ => Err(format!("unknown datapath type {wanted}")),
    }
}

/// Whether datapaths of a type are made of nothing.
fn is_dummy(kind: &str, dummy: Dummy) -> bool {
    kind == "dummy" || dummy == Dummy::OverrideAll || dummy == Dummy::OverrideSystem && kind == "system"
}

/// The type of dummies that stand in for devices of a type.
fn stand_in(kind: &str, dummy: Dummy) -> Option<&'static str> {
    let real = ["system", "tap", "afxdp", "afxdp-nonpmd"].into_iter().find(|real| *real == kind);
    let made = ["dummy", "dummy-internal", "dummy-pmd"].into_iter().find(|made| *made == kind);
    match dummy {
        Dummy::Off => None,
        Dummy::On => made,
        Dummy::OverrideSystem => made.or(real.filter(|real| *real == "system")),
        Dummy::OverrideAll => made.or(real),
    }
}

/// Numbers dummies, for their addresses; 0 would be the datapath's own device.
static NEXT_DUMMY: AtomicU32 = AtomicU32::new(1);

/// Opens a network device for a userspace datapath. May block in the kernel.
fn open_device(name: &str, kind: &str, in_dummy: bool, dummy: Dummy) -> io::Result<Arc<dyn Device>> {
    let number = || NEXT_DUMMY.fetch_add(1, Ordering::Relaxed);
    let made = stand_in(kind, dummy).or((kind == "internal" && in_dummy).then_some("dummy-internal"));
    if let Some(kind) = made {
        let device = DummyDevice::new(name, kind, number());
        device.set_up(true)?;
        return Ok(Arc::new(device));
    }
    match kind {
        "internal" | "tap" => Ok(Arc::new(TapDevice::create(name, "tap")?)),
        "system" => Ok(Arc::new(SystemDevice::find(name)?)),
        "afxdp" => Ok(Arc::new(AfxdpDevice::find(name, "afxdp")?)),
        "afxdp-nonpmd" => Ok(Arc::new(AfxdpDevice::find(name, "afxdp-nonpmd")?)),
        _ => Err(io::Error::from_raw_os_error(rustix::io::Errno::AFNOSUPPORT.raw_os_error())),
    }
}

/// Tags that are looked at unless `other_config:vlan-limit` says otherwise: what controllers knew before there were more.
pub const DEFAULT_VLAN_LIMIT: u32 = 1;

fn limited(features: Features, vlan_limit: u32) -> Features {
    let tags = if vlan_limit == 0 { features.max_vlan_headers } else { features.max_vlan_headers.min(vlan_limit) };
    Features { max_vlan_headers: tags, ..features }
}

/// Opens a device and makes it a port; what went wrong is for the user.
pub type Attach = Box<dyn FnOnce() -> Result<(Arc<dyn Device>, DpPort), String> + Send>;
/// Takes a port away.
pub type Detach = Box<dyn FnOnce() + Send>;

impl Backer {
    /// Starts a datapath with its revalidator. `notify` is called from their threads.
    pub fn create(
        kind: &'static str,
        dummy: Dummy,
        clock: Clock,
        topology: Option<Topology>,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<Backer, String> {
        let name = format!("ovs-{kind}");
        let failed = |e: io::Error| format!("could not start datapath {name}: {}", strerror(&e));
        let dummy = is_dummy(kind, dummy);
        let provider = if kind == "system" && !dummy {
            Provider::Kernel(Kernel::open(&name, Open::Any, clock.clone()).map_err(failed)?)
        } else {
            let datapath = Userspace::start(&name, kind, clock.clone()).map_err(failed)?;
            if let Some(topology) = topology {
                datapath.set_topology(topology);
            }
            Provider::User(datapath)
        };
        if let Provider::Kernel(k) = &provider {
            k.probe();
        }
        let datapath = provider.datapath();
        let upcalls = Arc::new(Upcalls::new(clock, Network::empty(datapath.features()), notify));
        datapath.set_upcall_handler(Some(upcalls.clone()));
        let features = limited(datapath.features(), DEFAULT_VLAN_LIMIT);
        let mut backer =
            Backer { kind, dummy, provider, upcalls, revalidator: None, features, clean: false, delete: false };
        // Flows that are older than this process wait for bridges, and maybe for rules.
        if matches!(backer.provider, Provider::User(_)) {
            backer.start()?;
        }
        Ok(backer)
    }

    /// Begins to answer packets and to check flows, if that has not begun.
    pub fn start(&mut self) -> Result<(), String> {
        if self.revalidator.is_some() {
            return Ok(());
        }
        if let Provider::Kernel(k) = &self.provider {
            k.serve(preferred_dispatch())
                .map_err(|e| format!("could not serve datapath {}: {}", k.name(), strerror(&e)))?;
        }
        let (upcalls, datapath) = (self.upcalls.clone(), self.datapath());
        let thread = std::thread::Builder::new()
            .name("revalidator2".into())
            .stack_size(dp_user::threads::STACK)
            .spawn(move || revalidate::run(&upcalls, &*datapath))
            .map_err(|e| format!("could not start the revalidator: {}", strerror(&e)))?;
        self.revalidator = Some(thread);
        Ok(())
    }

    /// Whether its devices are made of nothing.
    pub fn is_dummy(&self) -> bool {
        self.dummy
    }

    /// Whether packets are answered.
    pub fn is_started(&self) -> bool {
        self.revalidator.is_some()
    }

    /// Takes away, once, the ports that an earlier run left in the kernel and that nobody wants now.
    pub fn cleaner(&mut self, keep: impl FnOnce() -> Vec<DpPort>) -> Option<Detach> {
        let Provider::Kernel(k) = &self.provider else { return None };
        let k = (!std::mem::replace(&mut self.clean, true)).then(|| k.clone())?;
        let keep = keep();
        Some(Box::new(move || match k.del_ports_but(|p| keep.contains(&p)) {
            Ok(gone) => gone
                .iter()
                .for_each(|name| vlog_info!(Module::Dpif, "system@{}: port {name} is no longer wanted", k.name())),
            Err(e) => vlog_warn!(Module::Dpif, "system@{}: could not list ports ({})", k.name(), strerror(&e)),
        }))
    }

    /// The datapath goes away with this, where it would outlive the process.
    pub fn delete_at_end(&mut self) {
        self.delete = true;
    }

    /// How the kernel gives packets to handlers; `None` for a datapath that is not the kernel's.
    pub fn dispatch(&self) -> Option<&'static str> {
        match &self.provider {
            Provider::Kernel(k) => k.dispatch().map(Dispatch::name),
            Provider::User(_) => None,
        }
    }

    /// The kernel's datapath, with what only it has.
    pub fn kernel(&self) -> Option<&Arc<Kernel>> {
        match &self.provider {
            Provider::Kernel(k) => Some(k),
            Provider::User(_) => None,
        }
    }

    /// The datapath.
    pub fn datapath(&self) -> Arc<dyn Datapath> {
        self.provider.datapath()
    }

    /// The userspace datapath, with what only it has.
    pub fn userspace(&self) -> Option<&Arc<Userspace>> {
        match &self.provider {
            Provider::User(d) => Some(d),
            Provider::Kernel(_) => None,
        }
    }

    /// Applies settings of polling threads; may take a while.
    pub fn settler(&self, settings: Settings) -> impl FnOnce() + Send + use<> {
        let datapath = self.userspace().cloned();
        move || datapath.iter().for_each(|d| d.configure(settings.clone()))
    }

    /// Applies settings of a port; may take a while.
    pub fn port_settler(
        &self,
        port: DpPort,
        settings: PortSettings,
        options: Vec<(String, String)>,
    ) -> impl FnOnce() + Send + use<> {
        let datapath = self.userspace().cloned();
        move || datapath.iter().for_each(|d| d.configure_port(port, settings.clone(), &options))
    }

    /// Shares queues out anew where the threads' work has become uneven, if that is wanted.
    pub fn balancer(&self) -> Option<impl FnOnce() + Send + use<>> {
        let datapath = self.userspace()?.clone();
        datapath.may_balance().then_some(move || {
            datapath.auto_balance();
        })
    }

    /// Waits until the datapath has handled the packets that wait.
    pub fn settle(&self) {
        if let Some(d) = self.userspace() {
            d.settle();
        }
    }

    /// What the datapath can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// What was found when the datapath was started.
    pub fn boot_features(&self) -> Features {
        limited(self.datapath().features(), DEFAULT_VLAN_LIMIT)
    }

    /// Changes what translation takes the datapath to be capable of.
    pub fn set_features(&mut self, features: Features) {
        self.features = features;
    }

    /// `other_config:vlan-limit`, 0 for as many tags as the datapath takes; whether it changed anything.
    pub fn set_vlan_limit(&mut self, limit: u32) -> bool {
        let wanted = limited(self.datapath().features(), limit).max_vlan_headers;
        std::mem::replace(&mut self.features.max_vlan_headers, wanted) != wanted
    }

    /// `TYPE@NAME`, as listings show it.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.kind, self.datapath().name())
    }

    /// Opens a device and makes it a port, on another thread if need be.
    pub fn attacher(&self, name: &str, type_: &str, dummy: Dummy) -> Attach {
        let (provider, in_dummy) = (self.provider.clone(), self.dummy);
        let (name, type_) = (name.to_string(), type_.to_string());
        Box::new(move || {
            let unopened = |e: io::Error| format!("could not open network device {name} ({})", strerror(&e));
            let unattached = |e: String| format!("could not add network device {name} to ofproto ({e})");
            match provider {
                Provider::User(d) => {
                    let device = open_device(&name, &type_, in_dummy, dummy).map_err(unopened)?;
                    let dp = d.port_add(device.clone(), None).map_err(|e| unattached(e.to_string()))?;
                    Ok((device, dp))
                }
                Provider::Kernel(k) if type_ == "internal" => {
                    // The datapath makes the device.
                    let dp = k.add_port(&name, "internal", None).map_err(|e| unattached(strerror(&e)))?;
                    let device = InternalDevice::find(&name).map_err(unopened)?;
                    Ok((Arc::new(device), dp))
                }
                Provider::Kernel(k) => {
                    let device: Arc<dyn Device> = match type_.as_str() {
                        "system" => Arc::new(SystemDevice::find(&name).map_err(unopened)?),
                        "tap" => Arc::new(TapDevice::create(&name, "tap").map_err(unopened)?),
                        _ => return Err(unopened(rustix::io::Errno::AFNOSUPPORT.into())),
                    };
                    let dp = k.add_port(&name, "system", None).map_err(|e| unattached(strerror(&e)))?;
                    Ok((device, dp))
                }
            }
        })
    }

    /// Takes a port away, on another thread if need be.
    pub fn detacher(&self, port: DpPort) -> Detach {
        let provider = self.provider.clone();
        Box::new(move || {
            // A port that is gone already needs no taking away.
            let _ = match provider {
                Provider::User(d) => d.port_del(port),
                Provider::Kernel(d) => d.detach(port),
            };
        })
    }
}

impl Drop for Backer {
    fn drop(&mut self) {
        revalidate::stop(&self.upcalls);
        if let Some(t) = self.revalidator.take() {
            let _ = t.join();
        }
        if let Provider::Kernel(k) = &self.provider {
            k.stop();
            if self.delete
                && let Err(e) = dp_kernel::delete(k.name())
            {
                vlog_warn!(Module::Dpif, "{}: could not delete the datapath ({})", self.full_name(), strerror(&e));
            }
        }
        self.datapath().set_upcall_handler(None);
    }
}
