//! `overhead MODEL CALLS`: nanoseconds of one decode of one token, and of one decode with a look at its logits, through this crate. Run by
//! tests/bench/overhead/rust_calls.sh, which runs the same loop in C.

use std::time::Instant;

use llama4::{BatchItem, Context, Model};

fn main() -> llama4::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (path, calls) = match &arguments[..] {
        [path, calls] => (path, calls.parse::<u32>().expect("a number of calls")),
        _ => {
            eprintln!("Usage: overhead MODEL CALLS");
            return Ok(());
        }
    };
    let model = Model::open(path)?;
    let mut context = Context::options().threads(1).sequences(1).create(&model)?;
    let mut sum = 0.0;
    context.decode(&[BatchItem::new(6, 0).with_logits()])?;
    for logits in [false, true] {
        let start = Instant::now();
        for _ in 0..calls {
            context.decode(&[BatchItem::new(5, 0).with_logits()])?;
            if logits {
                sum += context.logits(0)?[0];
            }
        }
        print!("{:.2} ", start.elapsed().as_nanos() as f64 / calls as f64);
    }
    println!("{}", if sum.is_nan() { "nan" } else { "" });
    Ok(())
}
