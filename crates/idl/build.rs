//! Makes typed rows of the schemas that the programs of this repository use.

use ovsdb_data::DatabaseSchema;
use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../schema");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    for name in ["vswitch", "vtep"] {
        let file = folder.join(format!("{name}.ovsschema"));
        println!("cargo::rerun-if-changed={}", file.display());
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let json = ovsdb_data::json::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let schema = DatabaseSchema::from_json(&json).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        std::fs::write(out.join(format!("{name}.rs")), idl_build::generate(&schema)).expect("OUT_DIR can be written");
    }
}
