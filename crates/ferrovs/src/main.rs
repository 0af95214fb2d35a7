//! The one executable: it answers to the name it is called by, and as `ferrovs` offers what the original never had.

mod demo;
mod embedded;
mod programs;
mod rpc;
mod up;

use io::Invocation;
use programs::{PROGRAMS, Program};
use std::path::Path;
use std::process::ExitCode;

/// A reader that has seen enough, as in `ovsdb-client get-schema | head`, is no reason to complain.
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to std") {
            // What a shell says of a program that SIGPIPE ended.
            std::process::exit(128 + 13);
        }
        usual(info);
    }));
}

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let mut args = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let called = args.next().unwrap_or_default();
    let name = Path::new(&called).file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let args: Vec<String> = args.collect();
    match find(&name) {
        Some(p) => (p.main)(&Invocation { name, args }),
        None => ferrovs(args),
    }
}

fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|p| p.name == name)
}

fn ferrovs(args: Vec<String>) -> ExitCode {
    let Some((command, rest)) = args.split_first() else {
        eprint!("{}", help());
        return ExitCode::FAILURE;
    };
    let invocation = Invocation { name: command.clone(), args: rest.to_vec() };
    match command.as_str() {
        "-h" | "--help" | "help" => print!("{}", help()),
        "-V" | "--version" | "version" => {
            println!(
                "ferrovs {} (compatible with Open vSwitch {})",
                io::program::VERSION,
                io::program::COMPATIBLE_VERSION
            );
        }
        "links" => return links(rest),
        "up" => return up::main(&invocation),
        "demo" => return demo::main(&invocation),
        name => match find(name) {
            Some(p) => return (p.main)(&invocation),
            None => {
                return io::fatal(
                    "ferrovs",
                    format!("unknown command \"{name}\"; \"ferrovs --help\" lists the commands"),
                );
            }
        },
    }
    ExitCode::SUCCESS
}

fn help() -> String {
    let mut out = String::from(
        "ferrovs: a multilayer virtual switch\n\
         usage: ferrovs COMMAND [ARG...]\n\
         \nCommands:\n  \
         demo [--keep]      show a switch at work: hosts, VLANs, flows, real packets\n  \
         up [--dir DIR]     run a database and a switch in one process\n  \
         links DIR          make a link to this executable in DIR for each program below\n  \
         --version          print the version\n  \
         --help             print this text\n",
    );
    out.push_str("\nPrograms, as commands or under their own names:\n");
    for p in PROGRAMS {
        out.push_str(&format!("  {:<18} {}\n", p.name, p.summary));
    }
    out
}

/// `ferrovs links DIR`: one symbolic link per program.
fn links(args: &[String]) -> ExitCode {
    let [dir] = args else { return io::fatal("ferrovs", "usage: ferrovs links DIR") };
    let target = match std::env::current_exe() {
        Ok(t) => t,
        Err(e) => return io::fatal("ferrovs", format!("cannot find this executable: {}", io::program::strerror(&e))),
    };
    let dir = Path::new(dir);
    let fail = |path: &Path, e: std::io::Error| {
        io::fatal("ferrovs", format!("{}: {}", path.display(), io::program::strerror(&e)))
    };
    if let Err(e) = std::fs::create_dir_all(dir) {
        return fail(dir, e);
    }
    for p in PROGRAMS.iter().filter(|p| p.linked) {
        let link = dir.join(p.name);
        // A link that exists is replaced; a file that is no link is somebody else's.
        match std::fs::symlink_metadata(&link) {
            Ok(m) if m.file_type().is_symlink() => {
                if let Err(e) = std::fs::remove_file(&link) {
                    return fail(&link, e);
                }
            }
            Ok(_) => return io::fatal("ferrovs", format!("{}: exists and is not a link", link.display())),
            Err(_) => {}
        }
        if let Err(e) = std::os::unix::fs::symlink(&target, &link) {
            return fail(&link, e);
        }
    }
    ExitCode::SUCCESS
}
