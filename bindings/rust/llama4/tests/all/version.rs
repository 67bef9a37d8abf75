//! The crates bear the version of the header, and so does the library.

use super::support::root;

#[test]
fn crates_follow_the_header() {
    let header = std::fs::read_to_string(root().join("include/llama4/version.h")).unwrap();
    let number = |part: &str| -> u32 {
        let line = header
            .lines()
            .find(|line| line.starts_with(&format!("#define LLAMA4_VERSION_{} ", part)))
            .unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    let version = (number("MAJOR"), number("MINOR"), number("PATCH"));
    let text = format!("{}.{}.{}", version.0, version.1, version.2);
    for manifest in ["llama4", "llama4-sys"] {
        let manifest = root().join("bindings/rust").join(manifest).join("Cargo.toml");
        let toml = std::fs::read_to_string(&manifest).unwrap();
        assert!(
            toml.contains(&format!("\nversion = \"{}\"\n", text)),
            "{}: version is not {}",
            manifest.display(),
            text
        );
    }
    let toml = std::fs::read_to_string(root().join("bindings/rust/llama4/Cargo.toml")).unwrap();
    assert!(
        toml.contains(&format!("version = \"={}\" }}", text)),
        "llama4 does not ask for llama4-sys {}",
        text
    );
    use llama4::sys::{LLAMA4_VERSION_MAJOR, LLAMA4_VERSION_MINOR, LLAMA4_VERSION_PATCH};
    assert_eq!(
        version,
        (LLAMA4_VERSION_MAJOR, LLAMA4_VERSION_MINOR, LLAMA4_VERSION_PATCH),
        "run bindings/rust/generate"
    );
    assert!(llama4::version() >= version, "the library is older than the header");
    assert_eq!(llama4::version().0, version.0);
}
