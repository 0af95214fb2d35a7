//! Datapaths and devices by type: the one place that names concrete ones.

use crate::app::Dummy;
use clock::Clock;
use datapath::{Datapath, DpError, Features};
use dp_user::settings::{PortSettings, Settings};
use dp_user::{Topology, Userspace};
use flow::DpPort;
use netdev::Device;
use netdev::dummy::DummyDevice;
use netdev::linux::afxdp::AfxdpDevice;
use netdev::linux::system::SystemDevice;
use netdev::linux::tap::TapDevice;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use switch::{Notice, Upcalls, revalidate};
use translate::view::Network;

/// A datapath and the switch's side of it, shared by all bridges of a type.
pub struct Backer {
    kind: &'static str,
    datapath: Arc<Userspace>,
    /// The switch's side.
    pub upcalls: Arc<Upcalls>,
    revalidator: Option<JoinHandle<()>>,
    features: Features,
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

/// The datapath that serves bridges of a type. Bridges of type `system` are served by the userspace datapath, which needs
/// nothing of the kernel but sockets.
pub fn effective_type(wanted: &str, dummy: Dummy) -> Result<&'static str, String> {
    match (wanted, dummy) {
        ("dummy", Dummy::Off) => Err("datapath type dummy needs --enable-dummy".into()),
        ("dummy", _) => Ok("dummy"),
        ("system", Dummy::OverrideSystem) => Ok("dummy"),
        ("system" | "netdev", Dummy::OverrideAll) => Ok("dummy"),
        ("system" | "netdev", _) => Ok("netdev"),
        _ => Err(format!("unknown datapath type {wanted}")),
    }
}

/// Numbers dummies, for their addresses; 0 would be the datapath's own device.
static NEXT_DUMMY: AtomicU32 = AtomicU32::new(1);

/// Opens a network device. May block in the kernel.
pub fn open_device(name: &str, kind: &str, backer: &str, dummy: Dummy) -> io::Result<Arc<dyn Device>> {
    let number = || NEXT_DUMMY.fetch_add(1, Ordering::Relaxed);
    let up = |device: DummyDevice| -> io::Result<Arc<dyn Device>> {
        device.set_up(true)?;
        Ok(Arc::new(device))
    };
    match kind {
        "internal" if backer == "dummy" => up(DummyDevice::new(name, "dummy-internal", number())),
        "dummy" if dummy != Dummy::Off => up(DummyDevice::new(name, "dummy", number())),
        "dummy-pmd" if dummy != Dummy::Off => up(DummyDevice::new(name, "dummy-pmd", number())),
        "system" | "tap" if dummy == Dummy::OverrideAll => up(DummyDevice::new(name, "dummy", number())),
        "system" if dummy == Dummy::OverrideSystem => up(DummyDevice::new(name, "dummy", number())),
        "internal" => Ok(Arc::new(TapDevice::create(name, "internal")?)),
        "tap" => Ok(Arc::new(TapDevice::create(name, "tap")?)),
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

/// Makes a device a port.
pub type Attach = Box<dyn FnOnce(Arc<dyn Device>) -> Result<DpPort, DpError> + Send>;
/// Takes a port away.
pub type Detach = Box<dyn FnOnce() + Send>;

impl Backer {
    /// Starts a datapath with its revalidator. `notify` is called from their threads.
    pub fn create(
        kind: &'static str,
        clock: Clock,
        topology: Option<Topology>,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<Backer, String> {
        let name = format!("ovs-{kind}");
        let datapath = Userspace::start(&name, kind, clock.clone())
            .map_err(|e| format!("could not start datapath {name}: {}", ::io::program::strerror(&e)))?;
        if let Some(topology) = topology {
            datapath.set_topology(topology);
        }
        let upcalls = Arc::new(Upcalls::new(clock, Network::empty(datapath.features()), notify));
        datapath.set_upcall_handler(Some(upcalls.clone()));
        let revalidator = {
            let (upcalls, datapath) = (upcalls.clone(), datapath.clone());
            std::thread::Builder::new()
                .name("revalidator2".into())
                .stack_size(dp_user::threads::STACK)
                .spawn(move || revalidate::run(&upcalls, &*datapath))
                .map_err(|e| format!("could not start the revalidator: {}", ::io::program::strerror(&e)))?
        };
        let features = limited(datapath.features(), DEFAULT_VLAN_LIMIT);
        Ok(Backer { kind, datapath, upcalls, revalidator: Some(revalidator), features })
    }

    /// The datapath.
    pub fn datapath(&self) -> Arc<dyn Datapath> {
        self.datapath.clone()
    }

    /// The datapath with what only this kind has.
    pub fn userspace(&self) -> &Userspace {
        &self.datapath
    }

    /// Applies settings of polling threads; may take a while.
    pub fn settler(&self, settings: Settings) -> impl FnOnce() + Send + use<> {
        let datapath = self.datapath.clone();
        move || datapath.configure(settings)
    }

    /// Applies settings of a port; may take a while.
    pub fn port_settler(
        &self,
        port: DpPort,
        settings: PortSettings,
        options: Vec<(String, String)>,
    ) -> impl FnOnce() + Send + use<> {
        let datapath = self.datapath.clone();
        move || datapath.configure_port(port, settings, &options)
    }

    /// Shares queues out anew where the threads' work has become uneven, if that is wanted.
    pub fn balancer(&self) -> Option<impl FnOnce() + Send + use<>> {
        let datapath = self.datapath.clone();
        self.datapath.may_balance().then_some(move || {
            datapath.auto_balance();
        })
    }

    /// Waits until the datapath has handled the packets that wait.
    pub fn settle(&self) {
        self.datapath.settle();
    }

    /// What the datapath can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// What was found when the datapath was started.
    pub fn boot_features(&self) -> Features {
        limited(self.datapath.features(), DEFAULT_VLAN_LIMIT)
    }

    /// Changes what translation takes the datapath to be capable of.
    pub fn set_features(&mut self, features: Features) {
        self.features = features;
    }

    /// `other_config:vlan-limit`, 0 for as many tags as the datapath takes; whether it changed anything.
    pub fn set_vlan_limit(&mut self, limit: u32) -> bool {
        let wanted = limited(self.datapath.features(), limit).max_vlan_headers;
        std::mem::replace(&mut self.features.max_vlan_headers, wanted) != wanted
    }

    /// `TYPE@NAME`, as listings show it.
    pub fn full_name(&self) -> String {
        format!("{}@{}", self.kind, self.datapath.name())
    }

    /// Makes a device a port, on another thread if need be.
    pub fn attacher(&self) -> Attach {
        let datapath = self.datapath.clone();
        Box::new(move |device| datapath.port_add(device, None))
    }

    /// Takes a port away, on another thread if need be.
    pub fn detacher(&self, port: DpPort) -> Detach {
        let datapath = self.datapath.clone();
        Box::new(move || {
            // A port that is gone already needs no taking away.
            let _ = datapath.port_del(port);
        })
    }
}

impl Drop for Backer {
    fn drop(&mut self) {
        revalidate::stop(&self.upcalls);
        if let Some(t) = self.revalidator.take() {
            let _ = t.join();
        }
        self.datapath.set_upcall_handler(None);
    }
}
