//! The control socket of `monitor` and `snoop`.

use std::rc::Rc;

use io::unixctl::{self, Commands, Output};
use tokio::sync::mpsc;

use super::Settings;
use super::client::Result;

/// What a caller wants of the connection.
pub enum Order {
    /// End.
    Exit,
    /// Send these bytes.
    Send(Vec<u8>),
}

/// The control socket's side of the program.
pub struct Control {
    orders: mpsc::UnboundedReceiver<Order>,
    daemon: Option<io::daemon::Daemon>,
}

impl Control {
    /// The program serves: a detached one lets its parent go.
    pub fn ready(&mut self) {
        if let Some(d) = &mut self.daemon {
            d.ready();
        }
    }
}

/// Opens the control socket and serves it in the background. `None` if there shall be none.
pub fn start(
    s: &Settings,
    set_output: impl Fn(&str) -> std::result::Result<(), String> + 'static,
) -> Result<Option<Control>> {
    let path = match &s.unixctl {
        Some(p) => io::dirs::abs(&io::dirs::rundir(), p),
        None => unixctl::default_path(&s.program),
    };
    let (tx, orders) = mpsc::unbounded_channel();
    let mut commands = Commands::new(&s.program);
    let exit = tx.clone();
    commands.add("exit", "", 0, 0, move |_| {
        let _ = exit.send(Order::Exit);
        Ok(Output::from(""))
    });
    commands.add("ofctl/send", "OFMSG...", 1, unixctl::ANY_NUMBER, move |call| {
        for arg in &call.args {
            let bytes = openflow::action::output::hex_with_dots(&arg.replace(char::is_whitespace, ""));
            let bytes = bytes.filter(|b| b.len() >= 8).ok_or_else(|| format!("{arg}: bad hex digits"))?;
            let _ = tx.send(Order::Send(bytes));
        }
        Ok(Output::from(""))
    });
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
    Ok(Some(Control { orders, daemon: s.started.borrow_mut().take() }))
}

/// The next order; waits forever if there is no control socket.
pub async fn next(control: &mut Option<Control>) -> Order {
    if let Some(c) = control
        && let Some(order) = c.orders.recv().await
    {
        return order;
    }
    std::future::pending().await
}
