fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    ovsdb_server::main(&io::Invocation { name: "ovsdb-server".into(), args })
}
