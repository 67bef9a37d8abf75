//! Budgets of memory, experts that are read when they are needed, and plans.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use llama4::{plan, BatchItem, Fits, KvType, Model, ModelOptions, Plan, PlanOptions, Status, Token};

use super::support::{root, slow, small, tiny, tiny_path, Folder};

fn ids() -> Vec<Token> {
    (0..if slow() { 20 } else { 60 }).map(|i| 1 + i * 37 % 500).collect()
}

/// Bits of the logits of all tokens, computed `step` at a time.
fn bits(model: &Model, step: usize) -> Vec<u32> {
    let mut context = small(model);
    let mut found = Vec::new();
    for part in ids().chunks(step) {
        let items: Vec<BatchItem> = part.iter().map(|id| BatchItem::new(*id, 0).with_logits()).collect();
        context.decode(&items).unwrap();
        for i in 0..part.len() {
            found.extend(context.logits(i).unwrap().iter().map(|logit| logit.to_bits()));
        }
    }
    found
}

fn streamed(slots: i32) -> Model {
    Model::options().stream(true).expert_slots(slots).open(tiny_path()).unwrap()
}

fn maverick() -> std::path::PathBuf {
    root().join("tests/golden/maverick/model")
}

/// Bytes that a streamed llama4-tiny needs at least, as the library says.
fn needed() -> i64 {
    let error = Model::options().stream(true).memory(1000).open(tiny_path()).unwrap_err();
    assert_eq!(error.status(), Status::Memory);
    let before = error.message().split(" are needed").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_same_bits() {
    let want = bits(&tiny(), 100);
    let model = Model::options().expert_slots(2).open(tiny_path()).unwrap();
    for step in [1, 7, 100] {
        assert!(bits(&model, step) == want, "{} tokens at a time", step);
    }
    let memory = model.memory().unwrap();
    assert!(
        memory.streaming && memory.expert_slots <= 2 && memory.expert_count == 32,
        "{:?}",
        memory
    );
    assert!(
        memory.hits < memory.requests && memory.bytes_read > memory.resident_bytes,
        "{:?}",
        memory
    );
    assert_eq!(memory.hit_rate(), Some(memory.hits as f64 / memory.requests as f64));
    let all = streamed(0);
    assert!(bits(&all, 100) == want && bits(&all, 7) == want);
    assert!(all.memory().unwrap().expert_slots > 2);
    // from bytes and from an open file
    let bytes = fs::read(tiny_path()).unwrap();
    let model = Model::options().expert_slots(2).open_bytes(bytes).unwrap();
    assert!(model.memory().unwrap().streaming && bits(&model, 100) == want);
    #[cfg(unix)]
    {
        let file = fs::File::open(tiny_path()).unwrap();
        let model = Model::options().expert_slots(2).open_file(&file).unwrap();
        drop(file);
        assert!(model.memory().unwrap().streaming && bits(&model, 100) == want);
    }
}

#[test]
fn in_memory() {
    let memory = tiny().memory().unwrap();
    assert!(
        !memory.streaming && !memory.direct && memory.resident_bytes > 0,
        "{:?}",
        memory
    );
    assert_eq!(
        (
            memory.limit_bytes,
            memory.expert_count,
            memory.expert_slots,
            memory.requests,
            memory.hit_rate()
        ),
        (None, 0, 0, 0, None)
    );
    let within = Model::options().memory(1 << 30).open(tiny_path()).unwrap();
    let before = within.memory().unwrap();
    assert!(!before.streaming && before.limit_bytes == Some(1 << 30), "{:?}", before);
    let mut context = small(&within);
    context.append(0, &[1, 2, 3]).unwrap();
    assert!(within.memory().unwrap().used_bytes > before.used_bytes);
    drop(context);
    assert_eq!(within.memory().unwrap().used_bytes, before.used_bytes);
}

#[test]
fn budgets() {
    let needed = needed();
    let within = |bytes| Model::options().stream(true).memory(bytes).open(tiny_path());
    assert_eq!(within(needed - 1).unwrap_err().status(), Status::Memory);
    let model = within(needed).unwrap();
    assert!(bits(&model, 100) == bits(&tiny(), 100));
    let memory = model.memory().unwrap();
    assert!(memory.streaming && memory.limit_bytes == Some(needed), "{:?}", memory);
    assert!(
        memory.used_bytes <= needed && memory.used_bytes > memory.resident_bytes,
        "{:?}",
        memory
    );
}

#[test]
fn options_out_of_range() {
    let refused = |options: ModelOptions<'_>, word| {
        let error = options.open(tiny_path()).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
        assert!(error.message().contains(word), "{}", error);
    };
    refused(Model::options().memory(-1), "memory_bytes");
    refused(Model::options().expert_slots(1), "expert_slots");
    refused(Model::options().expert_slots(-2), "expert_slots");
    let dense = root().join("tests/golden/dense/model"); // nothing to stream
    assert!(!Model::options().stream(true).open(dense).unwrap().memory().unwrap().streaming);
    let debug = format!("{:?}", Model::options().memory(77).stream(true).expert_slots(3));
    assert!(debug.contains("memory: 77, stream: true, expert_slots: 3"), "{}", debug);
}

#[test]
fn experts_to_a_file_and_back() {
    let folder = Folder::new("experts");
    let path = folder.0.join("Gru\u{df}.experts");
    let (first, second) = (streamed(0), streamed(0));
    let want = bits(&first, 100);
    first.save_experts(&path).unwrap();
    second.load_experts(&path).unwrap();
    let slots = |model: &Model| model.memory().unwrap().expert_slots;
    assert!(slots(&first) > 2 && slots(&second) == slots(&first));
    assert!(bits(&second, 1) == want);
    assert!(second.memory().unwrap().bytes_read <= first.memory().unwrap().bytes_read); // which may have read ahead in vain
    let other = Model::options().stream(true).open(maverick()).unwrap();
    assert_eq!(other.load_experts(&path).unwrap_err().status(), Status::Format);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(second.load_experts(&path).unwrap_err().status(), Status::Format);
    let nowhere = second.load_experts(folder.0.join("nowhere")).unwrap_err();
    assert_eq!(nowhere.status(), Status::Io);
    assert!(nowhere.message().contains("nowhere"), "{}", nowhere);
    assert_eq!(second.save_experts(folder.0.join("no/x")).unwrap_err().status(), Status::Io);
    for bad in ["", "a\0b"] {
        assert_eq!(second.save_experts(bad).unwrap_err().status(), Status::Argument);
        assert_eq!(second.load_experts(bad).unwrap_err().status(), Status::Argument);
    }
    let resident = tiny();
    assert_eq!(resident.save_experts(folder.0.join("x")).unwrap_err().status(), Status::State);
    assert_eq!(resident.load_experts(&path).unwrap_err().status(), Status::State);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn routing_is_counted() {
    let model = Model::open(maverick()).unwrap();
    let info = model.info().unwrap();
    let mut context = small(&model);
    assert_eq!(context.expert_counts(0).unwrap(), vec![0; info.experts as usize]);
    context.append(0, &ids()).unwrap();
    let mut mixtures = 0;
    for layer in 0..info.layers {
        let counts = context.expert_counts(layer).unwrap();
        assert_eq!(counts.len(), info.experts as usize);
        let sum: u64 = counts.iter().sum();
        assert!(
            sum == 0 || sum == ids().len() as u64 * info.experts_used as u64,
            "{:?}",
            counts
        );
        mixtures += (sum > 0) as i32;
    }
    assert_eq!(mixtures, info.moe_layers);
    for layer in [-1, info.layers] {
        assert_eq!(context.expert_counts(layer).unwrap_err().status(), Status::Argument);
    }
    let dense = Model::open(root().join("tests/golden/dense/model")).unwrap();
    assert!(small(&dense).expert_counts(0).unwrap().is_empty());
}

#[test]
fn a_plan_is_what_happens() {
    let all = plan(tiny_path()).unwrap();
    let info = tiny().info().unwrap();
    assert_eq!(
        (all.fits, all.guessed_shape, all.missing_files, all.estimated_bytes),
        (Fits::Whole, false, 0, 0)
    );
    assert_eq!(
        (all.parameters, all.active_parameters),
        (info.parameters, info.active_parameters)
    );
    assert_eq!((all.name.as_str(), all.tensor_type.as_str()), (info.name.as_str(), "Q8_0"));
    assert_eq!((all.experts, all.cached_experts), (32, 32));
    assert!(
        all.least_bytes < all.whole_bytes && all.whole_bytes <= all.memory_bytes,
        "{:?}",
        all
    );
    assert!(
        [
            all.memory_rate,
            all.compute_rate,
            all.disk_rate,
            all.decode_rate,
            all.full_decode_rate,
            all.prefill_rate
        ] == [None; 6]
    );
    let within = |bytes| Plan::options().memory(bytes).plan(tiny_path()).unwrap();
    let least = within(all.least_bytes);
    assert_eq!(
        (least.fits, least.cached_experts, least.memory_bytes),
        (Fits::Streamed, 2, all.least_bytes)
    );
    let below = within(all.least_bytes - 1);
    assert_eq!((below.fits, below.cached_experts, below.pool_bytes), (Fits::No, 0, 0));
    let model = Model::options()
        .memory(all.least_bytes)
        .stream(true)
        .open(tiny_path())
        .unwrap();
    let memory = model.memory().unwrap();
    assert_eq!(
        (memory.expert_bytes, memory.expert_count, memory.limit_bytes),
        (all.expert_bytes, all.experts, Some(all.least_bytes))
    );
}

#[test]
fn what_a_plan_is_for() {
    let kv = |kind| {
        let options = Plan::options().kv_type(kind).context_length(1000);
        options.plan(tiny_path()).unwrap().kv_bytes
    };
    let (half, full) = (kv(KvType::F16), kv(KvType::F32));
    assert!(full > half + half / 2 && full <= 2 * half, "{} and {}", half, full);
    let wide = Plan::options().batch_size(4096).plan(tiny_path()).unwrap();
    let narrow = Plan::options().threads(2).plan(tiny_path()).unwrap();
    assert!(wide.scratch_bytes > narrow.scratch_bytes);
    let scout = Plan::options().memory(1 << 50).plan_shape("scout").unwrap();
    assert_eq!(
        (scout.parameters, scout.weight_bytes, scout.estimated_bytes),
        (107769861120, 60635770880, 60635770880)
    );
    let eight = Plan::options().tensor_type("q8_0").plan_shape("scout").unwrap();
    assert!(eight.weight_bytes as f64 > 1.7 * scout.weight_bytes as f64 && eight.tensor_type == "Q8_0");
    assert!(Plan::options().plan_shape("behemoth").unwrap().guessed_shape);
    // rates of an earlier plan
    let rated = |gib: i64| {
        let options = Plan::options().memory(gib << 30).memory_rate(20e9);
        options.compute_rate(1e12).disk_rate(2e9).plan_shape("scout").unwrap()
    };
    let few = rated(24);
    assert_eq!(
        (few.fits, few.memory_rate, few.compute_rate, few.disk_rate),
        (Fits::Streamed, Some(20e9), Some(1e12), Some(2e9))
    );
    assert!(
        few.full_decode_rate < few.decode_rate && few.decode_rate < rated(48).decode_rate && few.decode_rate < few.prefill_rate
    );
    let unknown = Plan::options()
        .memory(24 << 30)
        .memory_rate(20e9)
        .plan_shape("scout")
        .unwrap();
    assert_eq!(
        (unknown.memory_rate, unknown.decode_rate, unknown.disk_rate),
        (Some(20e9), None, None)
    );
    if !slow() {
        let measured = Plan::options().measure(true).threads(1).plan(tiny_path()).unwrap();
        assert!(measured.memory_rate > Some(0.0) && measured.compute_rate > Some(0.0) && measured.decode_rate > Some(0.0));
    }
}

/// Counts what is not given back.
struct Counting(Arc<[AtomicUsize; 2]>);

// SAFETY: the system's allocator does the work.
unsafe impl std::alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        self.0[1].fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: std::alloc::Layout) {
        self.0[1].fetch_sub(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { std::alloc::System.dealloc(memory, layout) }
    }
}

#[test]
fn plans_that_go_wrong() {
    let count = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    Plan::options().allocator(Counting(count.clone())).plan(tiny_path()).unwrap();
    let readme = root().join("README.md");
    let wrong = Plan::options().allocator(Counting(count.clone())).plan(readme).unwrap_err();
    assert_eq!(wrong.status(), Status::Format);
    assert!(count[0].load(Ordering::Relaxed) > 0 && count[1].load(Ordering::Relaxed) == 0);
    let missing = plan("nowhere/model.gguf").unwrap_err();
    assert_eq!(missing.status(), Status::Io);
    assert!(missing.message().contains("nowhere/model.gguf"), "{}", missing);
    for bad in ["gigantic", "", "a\0b"] {
        assert_eq!(Plan::options().plan_shape(bad).unwrap_err().status(), Status::Argument);
    }
    assert_eq!(plan("").unwrap_err().status(), Status::Argument);
    let refused = |options: PlanOptions, word| {
        let error = options.plan(tiny_path()).unwrap_err();
        assert_eq!(error.status(), Status::Argument);
        assert!(error.message().contains(word), "{}", error);
    };
    refused(Plan::options().memory(-1), "memory_bytes");
    refused(Plan::options().context_length(1 << 25), "context_length");
    refused(Plan::options().batch_size(8193), "batch_size");
    refused(Plan::options().threads(-1), "threads");
    refused(Plan::options().kv_type(KvType::Other(9)), "kv_type");
    refused(Plan::options().memory_rate(-1.0), "rate");
    refused(Plan::options().disk_rate(f64::NAN), "rate");
    refused(Plan::options().tensor_type("q9_9"), "q9_9");
    refused(Plan::options().tensor_type("a\0"), "NUL");
}
