//! Finds the library by pkg-config, or builds it by meson with the feature `vendored`. Stands on the standard library alone, and on what
//! Rust 1.63 knows.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

fn main() {
    for name in [
        "PKG_CONFIG",
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_LIBDIR",
        "PKG_CONFIG_SYSROOT_DIR",
        "LLAMA4_LIB_DIR",
        "LLAMA4_STATIC",
    ] {
        println!("cargo:rerun-if-env-changed={}", name);
    }
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_VENDORED").is_some() {
        vendored();
    } else if let Some(folder) = env::var_os("LLAMA4_LIB_DIR") {
        println!("cargo:rustc-link-search=native={}", Path::new(&folder).display());
        println!("cargo:rustc-link-lib={}llama4", if wants_static() { "static=" } else { "" });
        if wants_static() {
            link_system_libraries(&Path::new(&folder).join("pkgconfig/llama4.pc"));
        }
    } else {
        installed();
    }
}

/// Ends the build with a message that says what to do.
fn fail(message: &str) -> ! {
    eprintln!("llama4-sys: {}", message);
    exit(1)
}

fn target(what: &str) -> String {
    env::var(format!("CARGO_CFG_TARGET_{}", what)).unwrap_or_default()
}

fn wants_static() -> bool {
    env::var("LLAMA4_STATIC").map_or(false, |value| !value.is_empty() && value != "0")
}

/// What a static libllama4 needs besides: the system's libraries, and the decoders of pictures that its pkg-config file names.
fn link_system_libraries(description: &Path) {
    let text = std::fs::read_to_string(description).unwrap_or_default();
    let names = text
        .lines()
        .find_map(|line| line.strip_prefix("Requires.private:"))
        .unwrap_or_default();
    for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        let flags = pkg_config_of(name, &["--libs"]).unwrap_or_else(|error| fail(&error));
        link_flags(&flags);
    }
    if target("FAMILY") == "unix" {
        println!("cargo:rustc-link-lib=m");
        println!("cargo:rustc-link-lib=pthread");
    }
}

// ---- an installed library ----

fn pkg_config(arguments: &[&str]) -> Result<String, String> {
    pkg_config_of("llama4", arguments)
}

fn pkg_config_of(name: &str, arguments: &[&str]) -> Result<String, String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let mut command = Command::new(&program);
    command.args(arguments).arg(name);
    match command.output() {
        Err(error) => Err(format!("{} cannot be run: {}", Path::new(&program).display(), error)),
        Ok(done) if !done.status.success() => Err(String::from_utf8_lossy(&done.stderr).trim().to_string()),
        Ok(done) => Ok(String::from_utf8_lossy(&done.stdout).trim().to_string()),
    }
}

/// Versions with the same first number (0.x: the first two) and not older than the declarations will do.
fn check_version(installed: &str) {
    let number = |text: &str| {
        text.split(['.', '-'])
            .map(|n| n.parse::<u64>().unwrap_or(0))
            .chain([0, 0, 0])
            .take(3)
            .collect::<Vec<_>>()
    };
    let (have, want) = (number(installed), number(env!("CARGO_PKG_VERSION")));
    let fixed = if want[0] == 0 { 2 } else { 1 };
    if have[..fixed] != want[..fixed] || have[1] < want[1] {
        fail(&format!(
            "pkg-config finds libllama4 {}; version {} or a compatible newer one is needed",
            installed,
            env!("CARGO_PKG_VERSION")
        ));
    }
}

fn installed() {
    if env::var("HOST") != env::var("TARGET")
        && ["PKG_CONFIG", "PKG_CONFIG_SYSROOT_DIR"]
            .iter()
            .all(|name| env::var_os(name).is_none())
    {
        fail("cross-compiling: set PKG_CONFIG or PKG_CONFIG_SYSROOT_DIR to find the target's libllama4, or LLAMA4_LIB_DIR to its folder");
    }
    let version = pkg_config(&["--modversion"]).unwrap_or_else(|error| {
        fail(&format!(
            "no installed libllama4 was found; install it (meson install), set PKG_CONFIG_PATH or LLAMA4_LIB_DIR, or use the feature \"vendored\".\n{}",
            error
        ))
    });
    check_version(&version);
    let mut arguments = vec!["--libs", "--cflags"];
    if wants_static() {
        arguments.push("--static");
    }
    let flags = pkg_config(&arguments).unwrap_or_else(|error| fail(&error));
    link_flags(&flags);
    if let Ok(folder) = pkg_config(&["--variable=libdir"]) {
        println!("cargo:libdir={}", folder);
    }
}

fn link_flags(flags: &str) {
    for flag in split(flags) {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={}", folder);
        } else if flag == "-lllama4" && wants_static() {
            println!("cargo:rustc-link-lib=static=llama4");
        } else if let Some(library) = flag.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={}", library);
        } else if flag == "-pthread" {
            println!("cargo:rustc-link-lib=pthread");
        } else if let Some(folder) = flag.strip_prefix("-I") {
            println!("cargo:include={}", folder);
        } else if flag.starts_with("-Wl,") {
            println!("cargo:rustc-link-arg={}", flag);
        }
    }
}

/// Words as pkg-config writes them: a backslash quotes the next character.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if quoted || (c != '\\' && !c.is_whitespace()) {
            word.push(c);
            quoted = false;
        } else if c == '\\' {
            quoted = true;
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

// ---- a library of our own ----

/// `source/` beside this file in a packaged crate, else the repository that this folder lies in.
fn source() -> PathBuf {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    for folder in [here.join("source"), here.join("../../..")] {
        if folder.join("include/llama4/llama4.h").is_file() && folder.join("meson.build").is_file() {
            return folder.canonicalize().unwrap_or(folder);
        }
    }
    fail("the feature \"vendored\" needs libllama4's source, which is neither beside this crate nor around it")
}

fn run(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Err(error) => fail(&format!(
            "{} cannot be run: {}. The feature \"vendored\" needs a C compiler, Python 3, meson (0.61 or newer) and ninja",
            program, error
        )),
        Ok(status) if !status.success() => fail(&format!("{}: {}", program, status)),
        Ok(_) => {}
    }
}

fn vendored() {
    for name in ["CC", "CFLAGS", "LLAMA4_MESON_ARGS"] {
        println!("cargo:rerun-if-env-changed={}", name);
    }
    let source = source();
    let more = env::var("LLAMA4_MESON_ARGS").unwrap_or_default();
    if env::var("HOST") != env::var("TARGET") && !more.contains("--cross-file") {
        fail("cross-compiling with \"vendored\": give meson a cross file by LLAMA4_MESON_ARGS=--cross-file=...");
    }
    for part in ["lib", "include", "meson.build", "meson_options.txt"] {
        println!("cargo:rerun-if-changed={}", source.join(part).display());
    }
    let build = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("build");
    // From scratch: meson keeps the compiler and flags of the first configuration.
    let _ = std::fs::remove_dir_all(&build);
    let meson = env::var_os("MESON").unwrap_or_else(|| "meson".into());
    run(Command::new(&meson)
        .arg("setup")
        .args(["--buildtype=release", "--default-library=static", "-Dtests=false"])
        .args(more.split_whitespace())
        .args([&build, &source]));
    run(Command::new(&meson)
        .arg("compile")
        .arg("-C")
        .arg(&build)
        .arg("-j")
        .arg(env::var("NUM_JOBS").unwrap_or_else(|_| "0".into()))
        .arg("llama4:static_library"));
    let library = build.join("libllama4.a");
    if target("ENV") == "msvc" {
        // meson names static libraries alike everywhere; this linker looks for llama4.lib
        if let Err(error) = std::fs::copy(&library, build.join("llama4.lib")) {
            fail(&format!("{}: {}", library.display(), error));
        }
    }
    println!("cargo:rustc-link-search=native={}", build.display());
    println!("cargo:rustc-link-lib=static=llama4");
    link_system_libraries(&build.join("meson-private/llama4.pc"));
    println!("cargo:include={}", source.join("include").display());
}
