//! Decoding, logits, sequences, and what handles say about themselves.

use llama4::{BatchItem, Context, CpuLevel, KvType, Model, ModelOptions, Status, TensorPath};

use super::support::{small, tiny, tiny_path};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn batches_do_not_matter() {
    let model = tiny();
    let mut context = small(&model);
    let ids: Vec<i32> = (0..20).map(|i| i * 91 % 2000).collect();
    let want = bits(context.append(0, &ids).unwrap());
    assert_eq!(want.len(), model.info().unwrap().vocab_size as usize);
    for id in &ids[..19] {
        context.append(1, &[*id]).unwrap();
    }
    assert_eq!(bits(context.append(1, &ids[19..]).unwrap()), want);
    // two sequences in one batch, one of them with explicit positions
    let mut items: Vec<BatchItem> = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        items.push(BatchItem::new(*id, 2).at(i as i64));
        items.push(BatchItem::new(*id, 3));
    }
    items[38] = items[38].with_logits();
    items[39] = items[39].with_logits();
    context.decode(&items).unwrap();
    assert_eq!(bits(context.logits(38).unwrap()), want);
    assert_eq!(bits(context.logits(39).unwrap()), want);
    assert_eq!(
        context.logits(0).unwrap_err().status(),
        Status::Argument,
        "no logits were asked for"
    );
    assert_eq!(context.logits(40).unwrap_err().status(), Status::Argument);
}

#[test]
fn forks_and_cuts() {
    let model = tiny();
    let mut context = small(&model);
    let ids: Vec<i32> = (1..30).collect();
    context.append(0, &ids).unwrap();
    context.fork(0, 5).unwrap();
    assert_eq!(context.sequence_length(5), Some(29));
    let zero = bits(context.append(0, &[7]).unwrap());
    assert_eq!(bits(context.append(5, &[7]).unwrap()), zero);
    context.truncate(5, 29).unwrap();
    assert_eq!(bits(context.append(5, &[7]).unwrap()), zero);
    context.truncate(5, 0).unwrap();
    assert_eq!(context.sequence_length(5), Some(0));
    assert_eq!(context.sequence_length(0), Some(30));
    assert_eq!(context.sequence_length(64), None);
    assert_eq!(context.sequence_length(-1), None);
    assert_eq!(context.truncate(0, 31).unwrap_err().status(), Status::Argument);
    assert_eq!(context.truncate(64, 0).unwrap_err().status(), Status::Argument);
    assert_eq!(context.fork(0, 64).unwrap_err().status(), Status::Argument);
}

#[test]
fn a_failed_decode_changes_nothing() {
    let model = tiny();
    let mut context = Context::options()
        .threads(1)
        .context_length(8)
        .sequences(2)
        .create(&model)
        .unwrap();
    context.append(0, &[1, 2, 3]).unwrap();
    let full = context.append(0, &[1, 2, 3, 4, 5, 6]).unwrap_err();
    assert_eq!(full.status(), Status::ContextFull);
    assert!(full.message().contains('8') && full.to_string() == full.message(), "{}", full);
    assert_eq!(context.append(0, &[]).unwrap_err().status(), Status::Argument);
    assert_eq!(context.append(0, &[-1]).unwrap_err().status(), Status::Argument);
    assert_eq!(context.append(0, &[1 << 30]).unwrap_err().status(), Status::Argument);
    assert_eq!(context.append(2, &[1]).unwrap_err().status(), Status::Argument);
    assert_eq!(
        context.decode(&[BatchItem::new(1, 0).at(5)]).unwrap_err().status(),
        Status::Argument
    );
    assert_eq!(context.sequence_length(0), Some(3));
    assert_eq!(
        context.logits(0).unwrap_err().status(),
        Status::Argument,
        "logits of an earlier decode"
    );
}

#[test]
fn infos() {
    let model = tiny();
    let info = model.info().unwrap();
    assert_eq!((info.format.as_str(), info.tensor_type.as_str()), ("GGUF v3", "Q8_0"));
    assert!(info.layers > 0 && info.experts > 0 && info.has_vocabulary && info.qk_norm);
    let tensors = model.tensors().unwrap();
    let path = |name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap().path;
    assert_eq!(path("blk.0.attn_q.weight"), TensorPath::Int8);
    assert_eq!(path("output_norm.weight"), TensorPath::Vector);
    assert_eq!(tensors.len(), info.tensors as usize);
    assert_eq!(tensors.iter().map(|t| t.bytes).sum::<i64>(), info.tensor_bytes);
    assert!(tensors
        .iter()
        .any(|t| t.name == "token_embd.weight" && t.dims == [info.embedding_length as i64, info.vocab_size as i64]));
    assert!(tensors.iter().any(|t| t.type_name == "Q8_0" && t.type_code == 8));
    assert_eq!(model.tensor(-1).unwrap_err().status(), Status::Argument);
    let made = |o: llama4::ContextOptions| o.create(&model).unwrap().info().unwrap();
    let info = made(
        Context::options()
            .threads(3)
            .batch_size(9)
            .sequences(2)
            .context_length(100)
            .kv_type(KvType::F32),
    );
    assert_eq!(
        (
            info.threads,
            info.batch_size,
            info.sequences,
            info.context_length,
            info.kv_type
        ),
        (3, 9, 2, 100, KvType::F32)
    );
    assert_eq!(made(Context::options().threads(1)).kv_type, KvType::I16);
    let small_cache = made(Context::options().threads(1).kv_type(KvType::Q8_0));
    assert_eq!(small_cache.kv_type, KvType::Q8_0);
    let generic = Model::options().cpu_level(CpuLevel::Generic).open(tiny_path()).unwrap();
    assert_eq!(small(&generic).info().unwrap().cpu_level, CpuLevel::Generic);
    let level = small(&model).info().unwrap().cpu_level;
    assert!(!matches!(level, CpuLevel::Auto | CpuLevel::Other(_)), "{:?}", level);
    assert!(!format!("{:?} {:?} {:?}", model, small(&model), ModelOptions::new()).is_empty());
}

#[test]
fn header_only() {
    let model = Model::options().header_only(true).open(tiny_path()).unwrap();
    assert_eq!(model.info().unwrap().vocab_size, tiny().info().unwrap().vocab_size);
    assert!(model.vocab().is_none());
    assert_eq!(Context::new(&model).unwrap_err().status(), Status::State);
}

#[test]
fn the_model_of_a_context() {
    let context = small(&tiny());
    let model = context.model();
    drop(context);
    assert_eq!(small(&model).info().unwrap().context_length, 2048);
}
