//! The control socket of `monitor` and `snoop`.

use std::rc::Rc;

use io::unixctl::{self, Answer, Commands, Output};
use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::client::Result;

/// What a caller wants of the connection.
pub enum Order {
    /// End.
    Exit,
    /// Send these messages, given as hexadecimal digits.
    Send(Vec<String>),
    /// Send a packet-out, given as text.
    PacketOut(String),
    /// Send a barrier, and answer when its reply has come.
    Barrier,
    /// Read no more.
    Block,
    /// Read again.
    Unblock,
}

/// An order, and where its answer goes.
pub type Request = (Order, oneshot::Sender<Answer>);

/// The control socket's side of the program.
pub struct Control {
    orders: mpsc::UnboundedReceiver<Request>,
    daemon: Option<io::daemon::Daemon>,
}

impl Control {
    /// The program serves: a detached one lets its parent go.
    pub fn ready(&mut self) {
        if let Some(d) = &mut self.daemon {
            // Messages are printed there.
            d.keep_stderr();
            d.ready();
        }
    }

    /// The next order; waits forever when there will be none.
    pub async fn next(&mut self) -> Request {
        match self.orders.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

/// Opens the control socket and serves it in the background.
pub fn start(s: &Settings, set_output: impl Fn(&str) -> std::result::Result<(), String> + 'static) -> Result<Control> {
    let path = match &s.unixctl {
        Some(p) => io::dirs::abs(&io::dirs::rundir(), p),
        None => unixctl::default_path(&s.program),
    };
    let (tx, orders) = mpsc::unbounded_channel();
    let mut commands = Commands::new(&s.program);
    let mut add = |name: &'static str, usage: &'static str, least, most, order: fn(Vec<String>) -> Order| {
        let tx = tx.clone();
        commands.add_later(name, usage, least, most, move |call| {
            let (reply, answer) = oneshot::channel();
            let _ = tx.send((order(call.args), reply));
            Box::pin(async move { answer.await.unwrap_or_else(|_| Ok(Output::from(""))) })
        });
    };
    add("exit", "", 0, 0, |_| Order::Exit);
    add("ofctl/send", "OFMSG...", 1, unixctl::ANY_NUMBER, Order::Send);
    add("ofctl/packet-out", "\"in_port=<port> packet=<hex data> actions=...\"", 1, 1, |mut args| {
        Order::PacketOut(args.pop().unwrap_or_default())
    });
    add("ofctl/barrier", "", 0, 0, |_| Order::Barrier);
    add("ofctl/block", "", 0, 0, |_| Order::Block);
    add("ofctl/unblock", "", 0, 0, |_| Order::Unblock);
    commands.add("ofctl/set-output-file", "FILE", 1, 1, move |call| {
        set_output(call.arg(0).unwrap_or(""))?;
        Ok(Output::from(""))
    });
    let commands = Rc::new(commands);
    tokio::task::spawn_local(async move {
        match unixctl::bind(&path).await {
            Ok(Some(listener)) => unixctl::serve(listener, commands).await,
            Ok(None) => {}
            Err(e) => io::vlog::log(io::vlog::Module::Ofctl, io::vlog::Level::Warn, format_args!("{e}")),
        }
    });
    Ok(Control { orders, daemon: s.started.borrow_mut().take() })
}
