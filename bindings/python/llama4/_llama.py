"""llama4.Llama: the class that users of llama-cpp-python know, for the part of it that Llama 4 on a CPU needs.

Names, defaults and the shape of results are the same. What is not supported raises an UnsupportedError that names the argument. These
arguments are accepted and change nothing, for they are about speed, devices or printing only: see ACCEPTED."""
from __future__ import annotations

import os
import random
import sys
import time
import uuid
from typing import Any, Dict, Iterable, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple, Union, overload

from . import _errors
from ._chat import Messages, message_array, parse_tool_calls, with_tools
from ._context import Context
from ._generation import Generation
from ._image import Picture
from ._model import Model
from ._penalties import Chooser, LogitsProcessor, StopFilter
from ._sampler import Sampler

__all__ = ["Llama"]

RANDOM_SEED = 0xFFFFFFFF

#: Accepted with any value. There is no GPU; n_threads counts for prompts too, and attention is always computed in one pass.
ACCEPTED = frozenset([
    "n_gpu_layers", "split_mode", "main_gpu", "tensor_split", "use_mmap", "n_ubatch", "n_threads_batch", "offload_kqv", "flash_attn",
    "op_offload", "swa_full", "no_perf", "numa"])

#: Accepted with these values only, which ask for nothing.
NEUTRAL: Dict[str, Tuple[Any, ...]] = {
    # of the class
    "vocab_only": (False,), "use_mlock": (False,), "kv_overrides": (None, {}), "rope_scaling_type": (None, -1), "pooling_type": (-1,),
    "rope_freq_base": (0,), "rope_freq_scale": (0,), "yarn_ext_factor": (-1,), "yarn_attn_factor": (1,), "yarn_beta_fast": (32,),
    "yarn_beta_slow": (1,), "yarn_orig_ctx": (0,), "logits_all": (False,), "embedding": (False,), "lora_base": (None,),
    "lora_scale": (1,), "lora_path": (None,), "chat_format": (None, "llama-4", "llama4"), "chat_handler": (None,),
    "draft_model": (None,), "tokenizer": (None,), "type_k": (None, 1), "type_v": (None, 1), "spm_infill": (False,),
    # of its methods
    "suffix": (None, ""), "typical_p": (1,), "tfs_z": (1,), "mirostat_mode": (0,), "grammar": (None,), "logprobs": (None, False),
    "top_logprobs": (None, 0), "functions": (None, []), "function_call": (None, "none", "auto"), "response_format": (None, {"type": "text"}),
    "penalize_nl": (True, False), "mirostat_tau": (5,), "mirostat_eta": (0.1,)}

CONSTRUCTOR = frozenset(list(NEUTRAL)[:list(NEUTRAL).index("suffix")])

MISSING = {
    "embed": "embeddings", "create_embedding": "embeddings", "save_state": "saved states", "load_state": "saved states",
    "set_cache": "caches: the beginning that a prompt shares with the last one is never computed twice",
    "create_chat_completion_openai_v1": "pydantic results", "scores": "logits of all tokens: Context.logits has them",
    "eval_logits": "logits of all tokens: Context.logits has them", "tokenizer": "a tokenizer object: tokenize and detokenize are there",
    "tokenizer_": "a tokenizer object: tokenize and detokenize are there", "metadata": "metadata: Model.info has the shape",
    "from_pretrained": "downloads: give Llama the path of a file"}


def _refuse(options: Mapping[str, Any], what: str, known: Iterable[str], accepted: Iterable[str] = ()) -> None:
    for name, value in options.items():
        if name in accepted:
            continue
        if name not in NEUTRAL or name not in known:
            raise TypeError(f"{what} has no argument {name!r}")
        if not any(value is n or (n is not None and type(value) is not bool and value == n) for n in NEUTRAL[name]):
            raise _errors.unsupported(f"{what}: {name}={value!r} is not supported")


class Llama:
    """One model and one context.

        llm = llama4.Llama(model_path="llama4-tiny.gguf", n_ctx=2048, verbose=False)
        out = llm.create_chat_completion(messages=[{"role": "user", "content": "What is 11 + 3?"}])
        print(out["choices"][0]["message"]["content"])
    """

    def __init__(self, model_path: Union[str, os.PathLike[str]], *, n_ctx: int = 512, n_batch: int = 512,
                 n_threads: Optional[int] = None, seed: int = RANDOM_SEED, last_n_tokens_size: int = 64, verbose: bool = True,
                 vision_path: Union[str, os.PathLike[str], None] = None, memory: Optional[int] = None, **others: Any) -> None:
        """model_path: a GGUF file, or a Hugging Face directory
        n_ctx: positions; 0: as the model was made for
        seed: of the random numbers for calls that give none; 0xFFFFFFFF or a negative one: others each time
        last_n_tokens_size: tokens that penalties look back on
        verbose: write what the library has to say to standard error
        vision_path: the picture encoder, see Model.open; messages may then hold pictures, see Vocab.chat_tokenize
        memory: bytes to stay within, see Model.open; experts that do not fit are read from the file when they are needed
        """
        _refuse(others, "Llama()", CONSTRUCTOR, ACCEPTED)
        self.verbose = verbose
        self.model_path = os.fspath(model_path)
        self.last_n_tokens_size = last_n_tokens_size
        self._random: Optional[random.Random] = None
        self.set_seed(seed)
        self._model = Model.open(model_path, vision=vision_path, threads=n_threads or 0, log=_print_log if verbose else None,
                                 memory=memory)
        self._context = Context(self._model, context_length=n_ctx, batch_size=n_batch, sequences=1)

    # ---- The handles underneath ----

    @property
    def model(self) -> Model:
        """The llama4.Model."""
        return self._model

    @property
    def ctx(self) -> Context:
        """The llama4.Context."""
        return self._context

    def close(self) -> None:
        self._context.close()
        self._model.close()

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in MISSING:
            raise AttributeError(f"llama4.Llama does not support {MISSING[name]} ({name})")
        raise AttributeError(f"llama4.Llama has no attribute {name!r}")

    @classmethod
    def from_pretrained(cls, *_: Any, **__: Any) -> Llama:
        """Not supported: nothing is downloaded."""
        raise _errors.unsupported(f"from_pretrained: llama4.Llama does not support {MISSING['from_pretrained']}")

    # ---- What it is ----

    def n_ctx(self) -> int:
        """Positions of the context."""
        return int(self._context.info.context_length)

    def n_vocab(self) -> int:
        """Number of token ids."""
        return int(self._model.info.vocab_size)

    def n_embd(self) -> int:
        """Width of the model."""
        return int(self._model.info.embedding_length)

    @property
    def n_tokens(self) -> int:
        """Positions that are taken."""
        return self._context.sequence_length()

    @property
    def n_batch(self) -> int:
        return int(self._context.info.batch_size)

    @property
    def n_threads(self) -> int:
        return int(self._context.info.threads)

    def token_bos(self) -> int:
        """<|begin_of_text|>, or -1."""
        return self._find("<|begin_of_text|>")

    def token_eos(self) -> int:
        """<|eot|>, or in its absence <|end_of_text|>, or -1."""
        eot = self._find("<|eot|>")
        return eot if eot >= 0 else self._find("<|end_of_text|>")

    def token_nl(self) -> int:
        """A newline's token, or -1."""
        return self._find("\n")

    def _find(self, name: str) -> int:
        token = self._model.vocab.find(name)
        return -1 if token is None else token

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> List[int]:
        """Token ids of a text in UTF-8."""
        return self._model.tokenize(text, bos=add_bos, special=special)

    def detokenize(self, tokens: Iterable[int], prev_tokens: Optional[Sequence[int]] = None, special: bool = False) -> bytes:
        """The bytes of a row of tokens. prev_tokens changes nothing: what a token stands for does not depend on its neighbours."""
        return self._model.vocab.detokenize_bytes(tokens, special=special)

    # ---- Token by token ----

    def set_seed(self, seed: int) -> None:
        """From here on, calls that give no seed draw theirs from this one."""
        self._random = None if seed in (None, RANDOM_SEED) or seed < 0 else random.Random(seed)

    def reset(self) -> None:
        """Empty the context."""
        self._context.truncate(0)

    def eval(self, tokens: Sequence[int]) -> None:
        """Append tokens."""
        self._context.decode(tokens)

    def sample(self, top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05, typical_p: float = 1.0, temp: float = 0.80,
               repeat_penalty: float = 1.0, frequency_penalty: float = 0.0, presence_penalty: float = 0.0,
               logits_processor: Optional[Sequence[LogitsProcessor]] = None, **others: Any) -> int:
        """Draw a token from the logits of the last one that was evaluated. Penalties are for calls that know the tokens before."""
        _refuse(dict(others, typical_p=typical_p), "sample()", NEUTRAL)
        if (repeat_penalty, frequency_penalty, presence_penalty) != (1, 0, 0):
            raise _errors.unsupported("sample(): repeat_penalty, frequency_penalty and presence_penalty are not supported; generate() has them")
        return self._chooser([], temp, top_p, top_k, min_p, None, logits_processor=logits_processor)(self._context, [])

    def generate(self, tokens: Sequence[int], top_k: int = 40, top_p: float = 0.95, min_p: float = 0.05, typical_p: float = 1.0,
                 temp: float = 0.80, repeat_penalty: float = 1.0, reset: bool = True, frequency_penalty: float = 0.0,
                 presence_penalty: float = 0.0, logits_processor: Optional[Sequence[LogitsProcessor]] = None,
                 stopping_criteria: Any = None, **others: Any) -> Iterator[int]:
        """Token ids that follow, without end: stop tokens too are among them. reset: tokens are all that the context shall hold."""
        _refuse(dict(others, typical_p=typical_p), "generate()", NEUTRAL)
        chooser = self._chooser(tokens, temp, top_p, top_k, min_p, None, repeat_penalty=repeat_penalty,
                                frequency_penalty=frequency_penalty, presence_penalty=presence_penalty, logits_processor=logits_processor)
        generation = Generation(self._context, tokens, choose=chooser, ignore_stop=True, fresh=reset)
        return self._ids(generation, _functions(stopping_criteria))

    def _ids(self, generation: Generation, criteria: Sequence[Any]) -> Iterator[int]:
        try:
            for token in generation:
                if criteria and self._stops(generation, criteria):
                    return
                yield token.id
        finally:
            self._leave(generation)

    def _stops(self, generation: Generation, criteria: Sequence[Any]) -> bool:
        import numpy as np

        tokens = np.array(generation.prompt + generation.ids, np.intc)
        return any(stop(tokens, self._context.logits()) for stop in criteria)

    def _leave(self, generation: Generation) -> None:
        generation.close()
        if generation._fresh and generation.ids and not self._context.closed:
            self._context._remember(generation._remembered())

    def _chooser(self, prompt: Sequence[int], temperature: float, top_p: float, top_k: int, min_p: float, seed: Optional[int], *,
                 repeat_penalty: float = 1.0, frequency_penalty: float = 0.0, presence_penalty: float = 0.0,
                 logit_bias: Optional[Mapping[Any, float]] = None,
                 logits_processor: Optional[Sequence[LogitsProcessor]] = None) -> Chooser:
        """In llama.cpp's order: penalties, top-k, top-p, min-p, temperature."""
        if seed in (None, RANDOM_SEED) or (seed is not None and seed < 0):
            seed = self._random.getrandbits(32) if self._random else None
        sampler = Sampler(self._model, seed)
        if temperature == 0:
            sampler.greedy()
        else:
            if top_k > 0:
                sampler.top_k(top_k)
            if top_p < 1:
                sampler.top_p(top_p)
            if min_p > 0:
                sampler.min_p(min_p)
            sampler.temperature(temperature)
        return Chooser(sampler, list(prompt), repeat=repeat_penalty, frequency=frequency_penalty, presence=presence_penalty,
                       window=self.last_n_tokens_size if self.last_n_tokens_size >= 0 else sys.maxsize, bias=logit_bias,
                       processors=_functions(logits_processor))

    def _pieces(self, prompt: List[int], max_tokens: Optional[int], stop: Union[str, Sequence[str], None], chooser: Chooser,
                criteria: Any, usage: Dict[str, int], pictures: Sequence[Picture] = ()) -> Iterator[Tuple[str, Optional[str]]]:
        """Pieces of text with None, then a last one with the reason why there are no more."""
        room = self.n_ctx()
        if len(prompt) > room:
            raise _errors.full(f"Requested tokens ({len(prompt)}) exceed context window of {room}")
        filter = StopFilter([stop] if isinstance(stop, str) else list(stop or ()))
        generation = Generation(self._context, prompt, choose=chooser, fresh=True, pictures=pictures,
                                max_tokens=max_tokens if max_tokens is not None and max_tokens > 0 else 0)
        criteria = _functions(criteria)
        usage.update(prompt_tokens=len(prompt), completion_tokens=0, total_tokens=len(prompt))
        reason = "length"
        try:
            for token in generation:
                if generation.stopped == "stop":
                    reason = "stop"
                else:
                    usage["completion_tokens"] += 1
                    usage["total_tokens"] += 1
                text = filter.push(token.text)
                if filter.hit or (criteria and self._stops(generation, criteria)):
                    yield text, "stop"
                    return
                if text:
                    yield text, None
        finally:
            self._leave(generation)
        yield filter.finish(), reason

    # ---- Completions ----

    @overload
    def create_completion(self, prompt: Union[str, Sequence[int]], *, stream: Literal[False] = False, **options: Any) -> Dict[str, Any]: ...

    @overload
    def create_completion(self, prompt: Union[str, Sequence[int]], *, stream: Literal[True], **options: Any) -> Iterator[Dict[str, Any]]: ...

    @overload
    def create_completion(self, prompt: Union[str, Sequence[int]], *, stream: bool, **options: Any) -> Any: ...

    def create_completion(self, prompt: Union[str, Sequence[int]], *, max_tokens: Optional[int] = 16, temperature: float = 0.8,
                          top_p: float = 0.95, min_p: float = 0.05, top_k: int = 40, echo: bool = False,
                          stop: Union[str, Sequence[str], None] = None, frequency_penalty: float = 0.0, presence_penalty: float = 0.0,
                          repeat_penalty: float = 1.0, stream: bool = False, seed: Optional[int] = None, model: Optional[str] = None,
                          stopping_criteria: Any = None, logits_processor: Optional[Sequence[LogitsProcessor]] = None,
                          logit_bias: Optional[Mapping[Any, float]] = None, **others: Any) -> Any:
        """Continue a text, in which names of special tokens count, or a row of ids.

        max_tokens: None or 0: until a stop token comes or the context is full
        stop: strings at which the text ends; they are not part of it
        """
        _refuse(others, "create_completion()", NEUTRAL)
        tokens = self._prompt_tokens(prompt)
        chooser = self._chooser(tokens, temperature, top_p, top_k, min_p, seed, repeat_penalty=repeat_penalty, logit_bias=logit_bias,
                                frequency_penalty=frequency_penalty, presence_penalty=presence_penalty, logits_processor=logits_processor)
        usage: Dict[str, int] = {}
        pieces = self._pieces(tokens, max_tokens, stop, chooser, stopping_criteria, usage)
        head = {"id": f"cmpl-{uuid.uuid4()}", "object": "text_completion", "created": int(time.time()), "model": model or self.model_path}
        before = "" if not echo else prompt if isinstance(prompt, str) else self._model.detokenize(prompt)
        if stream:
            return self._completion_chunks(head, before, pieces)
        texts, reason = [before], None
        for text, reason in pieces:
            texts.append(text)
        choice = {"text": "".join(texts), "index": 0, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], "usage": usage}

    __call__ = create_completion

    def _prompt_tokens(self, prompt: Union[str, Sequence[int]]) -> List[int]:
        if not isinstance(prompt, (str, bytes)):
            return list(prompt) or [self.token_bos()]
        tokens = self._model.tokenize(prompt, special=True)
        bos = self.token_bos()
        return tokens if bos < 0 or tokens[:1] == [bos] else [bos] + tokens

    def _completion_chunks(self, head: Dict[str, Any], before: str,
                           pieces: Iterator[Tuple[str, Optional[str]]]) -> Iterator[Dict[str, Any]]:
        def chunk(text: str, reason: Optional[str]) -> Dict[str, Any]:
            return {**head, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": reason}]}

        if before:
            yield chunk(before, None)
        for text, reason in pieces:
            yield chunk(text, reason)

    # ---- Chat ----

    @overload
    def create_chat_completion(self, messages: Messages, *, stream: Literal[False] = False, **options: Any) -> Dict[str, Any]: ...

    @overload
    def create_chat_completion(self, messages: Messages, *, stream: Literal[True], **options: Any) -> Iterator[Dict[str, Any]]: ...

    @overload
    def create_chat_completion(self, messages: Messages, *, stream: bool, **options: Any) -> Any: ...

    def create_chat_completion(self, messages: Messages, *, tools: Optional[Sequence[Mapping[str, Any]]] = None, tool_choice: Any = None,
                               temperature: float = 0.2, top_p: float = 0.95, top_k: int = 40, min_p: float = 0.05, stream: bool = False,
                               stop: Union[str, Sequence[str], None] = None, seed: Optional[int] = None,
                               max_tokens: Optional[int] = None, presence_penalty: float = 0.0, frequency_penalty: float = 0.0,
                               repeat_penalty: float = 1.0, model: Optional[str] = None,
                               logits_processor: Optional[Sequence[LogitsProcessor]] = None,
                               logit_bias: Optional[Mapping[Any, float]] = None, **others: Any) -> Any:
        """Answer a conversation.

        tools: functions that the model may call, as in OpenAI's form; they become part of the system message
        max_tokens: None or 0: until the answer ends or the context is full
        """
        _refuse(others, "create_chat_completion()", NEUTRAL)
        if tool_choice not in (None, "auto", "none"):
            raise _errors.unsupported(f"create_chat_completion(): tool_choice={tool_choice!r} is not supported")
        offered = tools if tools and tool_choice != "none" else None
        items, keep, pictures = message_array(with_tools(messages, offered))
        tokens = self._model.vocab._chat_tokenize(items, keep)
        chooser = self._chooser(tokens, temperature, top_p, top_k, min_p, seed, repeat_penalty=repeat_penalty, logit_bias=logit_bias,
                                frequency_penalty=frequency_penalty, presence_penalty=presence_penalty, logits_processor=logits_processor)
        usage: Dict[str, int] = {}
        pieces = self._pieces(tokens, max_tokens, stop, chooser, None, usage, pictures)
        head = {"id": f"chatcmpl-{uuid.uuid4()}", "object": "chat.completion", "created": int(time.time()),
                "model": model or self.model_path}
        if stream:
            return self._chat_chunks({**head, "object": "chat.completion.chunk"}, pieces, bool(offered))
        texts: List[str] = []
        reason: Optional[str] = None
        for text, reason in pieces:
            texts.append(text)
        message: Dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
        calls = _calls(message["content"]) if offered else []
        if calls:
            message, reason = {"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"
        return {**head, "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}], "usage": usage}

    def _chat_chunks(self, head: Dict[str, Any], pieces: Iterator[Tuple[str, Optional[str]]], offered: bool) -> Iterator[Dict[str, Any]]:
        def chunk(delta: Dict[str, Any], reason: Optional[str] = None) -> Dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

        yield chunk({"role": "assistant"})
        held = ""  # what may be a call of a function waits for its end
        for text, reason in pieces:
            held += text
            if not reason and offered and held.lstrip()[:1] in ("", "{", "[", "<"):
                continue
            calls = _calls(held) if offered and reason else []
            if calls:
                yield chunk({"tool_calls": [dict(call, index=i) for i, call in enumerate(calls)]})
                reason = "tool_calls"
            elif held:
                yield chunk({"content": held})
            held = ""
            if reason:
                yield chunk({}, reason)


def _calls(text: str) -> List[Dict[str, Any]]:
    return [call.as_message(f"call_{uuid.uuid4().hex[:24]}") for call in parse_tool_calls(text)]


def _functions(value: Any) -> Sequence[Any]:
    """A function, several, or none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _print_log(_level: int, message: str) -> None:
    print(message, file=sys.stderr)
