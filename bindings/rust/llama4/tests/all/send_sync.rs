//! `Send` and `Sync` exactly as the header promises, decided while compiling. (What must not compile is also in the documentation.)

use llama4::*;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

#[test]
fn what_may_move_and_be_shared() {
    is_send::<Model>();
    is_sync::<Model>();
    is_send::<Vocab>();
    is_sync::<Vocab>();
    is_send::<CancelHandle>();
    is_sync::<CancelHandle>();
    is_send::<Image>();
    is_sync::<Image>();
    is_send::<Embeddings>();
    is_sync::<Embeddings>();
    is_send::<Context>();
    is_send::<Sampler>();
    is_send::<Detokenizer>();
    is_send::<Tokens<'static>>();
    is_send::<ContextOptions>();
    is_send::<PlanOptions>();
    is_sync::<Plan>();
    is_sync::<MemoryInfo>();
    is_send::<Error>();
    is_sync::<Error>();
    is_send::<Message<'static>>();
    is_sync::<Message<'static>>();
}

/// Two impls apply to a type that is `Sync`, so that `which` is ambiguous and does not compile.
macro_rules! not_sync {
    ($($name:ident),*) => { $(const _: fn() = || {
        trait Ambiguous<A> {
            fn which() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + Sync> Ambiguous<u8> for T {}
        <$name as Ambiguous<_>>::which()
    };)* };
}

not_sync!(Context, Sampler, Detokenizer);

fn is_clone<T: Clone>() {}

#[test]
fn what_may_be_cloned() {
    is_clone::<Model>();
    is_clone::<Vocab>();
    is_clone::<CancelHandle>();
    is_clone::<Error>();
}
