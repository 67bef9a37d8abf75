//! The references' results through the wrapper: logits, greedy ids, answers.

use std::fs;

use llama4::{Context, CpuLevel, Generate, KvType, Model};

use super::support::{root, slow, small, tiny, Json};

/// A tensor of floats in a safetensors file.
fn tensor(file: &[u8], name: &str) -> Vec<f32> {
    let n = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = Json::parse(std::str::from_utf8(&file[8..8 + n]).unwrap());
    let offsets = header.get(name).get("data_offsets").ids();
    let data = &file[8 + n + offsets[0] as usize..8 + n + offsets[1] as usize];
    data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn logits_and_greedy_ids() {
    for name in ["scout", "maverick", "dense"] {
        let folder = root().join("tests/golden").join(name);
        let cases = Json::parse(&fs::read_to_string(folder.join("cases.json")).unwrap());
        let golden = fs::read(folder.join("golden.safetensors")).unwrap();
        let model = Model::open(folder.join("model")).unwrap();
        // the reference keeps keys and values in 32 bits
        let mut context = Context::options()
            .threads(2)
            .context_length(2048)
            .kv_type(KvType::F32)
            .create(&model)
            .unwrap();
        for case in cases.list().iter().step_by(if slow() { 3 } else { 1 }) {
            let ids = case.get("ids").ids();
            context.truncate(0, 0).unwrap();
            let items: Vec<_> = ids.iter().map(|id| llama4::BatchItem::new(*id, 0).with_logits()).collect();
            context.decode(&items).unwrap();
            let want = tensor(&golden, case.get("logits").text());
            let width = model.info().unwrap().vocab_size as usize;
            assert_eq!(want.len(), ids.len() * width);
            for (i, row) in want.chunks(width).enumerate() {
                let got = context.logits(i).unwrap();
                let worst = got.iter().zip(row).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    worst <= 1e-4,
                    "{}: {} ids, row {}: logits deviate by {}",
                    name,
                    ids.len(),
                    i,
                    worst
                );
            }
            context.truncate(0, 0).unwrap();
            let greedy = case.get("greedy").ids();
            let options = Generate::new().max_tokens(greedy.len() as u64).ignore_stop(true);
            let tokens: Vec<i32> = context
                .generate(&ids, options)
                .unwrap()
                .map(|piece| piece.unwrap().token)
                .collect();
            assert_eq!(tokens, greedy, "{}: {} ids", name, ids.len());
        }
    }
}

#[test]
fn what_the_model_that_ships_answers() {
    let path = root().join("tests/data/llama4-tiny/reference.json");
    let reference = Json::parse(&fs::read_to_string(path).unwrap());
    let model = tiny();
    let mut context = small(&model);
    let mut same = 0;
    let cases = &reference.get("cases").list()[..if slow() { 4 } else { 16 }];
    for case in cases {
        context.truncate(0, 0).unwrap();
        let (mut ids, mut text) = (Vec::new(), String::new());
        for piece in context
            .generate(&case.get("prompt_ids").ids(), Generate::new().max_tokens(100))
            .unwrap()
        {
            let piece = piece.unwrap();
            ids.push(piece.token);
            text.push_str(&piece.text);
        }
        // the file holds weights of 8 bits, the reference had 32
        same += (ids == case.get("greedy_ids").ids() && text == case.get("text").text()) as usize;
    }
    assert!(
        same + 1 >= cases.len(),
        "only {} of {} answers are the reference's",
        same,
        cases.len()
    );
}

#[test]
fn the_same_bits_at_every_level() {
    let prompt: Vec<i32> = (0..40).map(|i| i * 37 % 2000).collect();
    let logits = |level, threads, batch| {
        let model = Model::options()
            .cpu_level(level)
            .open(root().join("examples/models/llama4-tiny.gguf"))
            .unwrap();
        let mut context = Context::options().threads(threads).batch_size(batch).create(&model).unwrap();
        let logits = context.append(0, &prompt).unwrap();
        logits.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
    };
    let want = logits(CpuLevel::Generic, 1, 512);
    assert_eq!(want, logits(CpuLevel::Auto, 2, 512));
    assert_eq!(want, logits(CpuLevel::Avx2, 3, 7));
}
