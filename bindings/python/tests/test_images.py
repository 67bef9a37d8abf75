"""Pictures: sources, embeddings, parts of messages, progress, and what goes wrong."""
import base64
import gc
import json
import subprocess
import threading
import weakref

import numpy as np
import pytest
from conftest import GOLDEN, ROOT, TINY

import llama4

MODEL = GOLDEN / "vision/model"
PNG = GOLDEN / "vision/image1.png"
MMPROJ = ROOT / "examples/models/llama4-tiny-mmproj.gguf"
REFERENCE = ROOT / "tests/data/llama4-tiny"


@pytest.fixture(scope="module")
def seeing():
    with llama4.Model.open(MODEL) as model:
        yield model


@pytest.fixture(scope="module")
def tiny_seeing():
    with llama4.Model.open(TINY, vision=MMPROJ) as model:
        yield model


def ask(model, *parts, **options):
    answer = model.chat([{"role": "user", "content": list(parts)}], temperature=0, max_tokens=6, **options)
    answer.text()
    return answer.generation


def pixels(width=90, height=60, channels=3):
    return (np.arange(width * height * channels) * 11 % 251).astype(np.uint8).reshape(height, width, channels)


def embeddings(model, source, **options):
    with model.context(**options) as context:
        return context.encode(source).numbers.copy()


# ---- Sources ----


def test_the_same_answers_as_the_program_and_the_reference(program, tiny_seeing):
    cases = [c for c in json.loads((REFERENCE / "reference.json").read_text())["cases"] if "image" in c]
    assert len(cases) == 4
    for case in cases:
        prompt = case["prompt_ids"]
        with tiny_seeing.context() as context:
            rows = context.encode(REFERENCE / case["image"]).numbers
            generation = context.generate(prompt, embeddings=rows, max_tokens=len(case["greedy_ids"]))
            assert [t.id for t in generation] == case["greedy_ids"]
        done = subprocess.run([program, "run", TINY, "--mmproj", MMPROJ, "--image", REFERENCE / case["image"], "-p", "Describe the picture.",
                               "--temp", "0", "--json"], stdout=subprocess.PIPE, check=True, timeout=120)
        want = json.loads(done.stdout)
        answer = tiny_seeing.chat([{"role": "user", "content": [REFERENCE / case["image"], "Describe the picture."]}], temperature=0)
        assert (answer.text(), answer.generation.ids, answer.generation.prompt) == (want["text"], want["ids"], want["prompt_ids"])


def test_all_sources_of_a_file_are_one(seeing):
    data = PNG.read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    want = ask(seeing, PNG, "What?")
    assert want.prompt.count(seeing.vocab.find("<|patch|>")) == llama4.Image(PNG).info(seeing).embeddings == 12
    assert ask(seeing, "What?").ids != want.ids
    with seeing.context() as context:
        encoded = context.encode(PNG)
    for part in (data, bytearray(data), memoryview(data), llama4.Image(data), encoded, {"type": "image", "image": str(PNG)},
                 {"type": "image", "image": PNG}, {"type": "image", "image": data}, {"type": "image", "image": encoded},
                 {"type": "image_url", "image_url": {"url": url}}, {"type": "image_url", "image_url": url}):
        generation = ask(seeing, part, {"type": "text", "text": "What?"})
        assert (generation.prompt, generation.ids) == (want.prompt, want.ids), part


def test_numpy(seeing):
    array = pixels()
    want = embeddings(seeing, array)
    assert want.shape == (20, seeing.info.embedding_length) and want.dtype == np.float32 and np.isfinite(want).all()
    wide = np.zeros((60, 180, 3), np.uint8)
    wide[:, ::2] = array
    assert np.array_equal(embeddings(seeing, wide[:, ::2]), want)
    assert np.array_equal(embeddings(seeing, np.asfortranarray(array)), want)
    opaque = np.concatenate([array, np.full((60, 90, 1), 255, np.uint8)], -1)
    assert np.array_equal(embeddings(seeing, opaque), want)
    clear = np.concatenate([array, np.zeros((60, 90, 1), np.uint8)], -1)
    assert np.array_equal(embeddings(seeing, clear), embeddings(seeing, np.full_like(array, 255)))
    grey = array[:, :, 0]
    assert np.array_equal(embeddings(seeing, grey), embeddings(seeing, np.stack([grey] * 3, -1)))
    assert np.array_equal(embeddings(seeing, grey[..., None]), embeddings(seeing, grey))
    generation = ask(seeing, array, "What?")
    assert generation.ids == ask(seeing, llama4.Image(array), "What?").ids


def test_wrong_arrays():
    for array in (np.zeros((4, 4, 2), np.uint8), np.zeros(5, np.uint8), np.zeros((1, 2, 3, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(llama4.ArgumentError, match="shape"):
            llama4.Image(array)
    with pytest.raises(TypeError, match="uint8"):
        llama4.Image(np.zeros((4, 4, 3)))
    with pytest.raises(TypeError, match="not int"):
        llama4.Image(5)
    with pytest.raises(TypeError):
        llama4.Image(llama4.Image(pixels()))


def test_pillow(seeing):
    PIL = pytest.importorskip("PIL.Image")
    rgb = PIL.fromarray(pixels())
    want = embeddings(seeing, pixels())
    assert np.array_equal(embeddings(seeing, rgb), want)
    assert np.array_equal(embeddings(seeing, rgb.convert("RGBA")), want)
    assert np.array_equal(embeddings(seeing, rgb.convert("L")), embeddings(seeing, np.asarray(rgb.convert("L"))))
    assert np.array_equal(embeddings(seeing, PIL.open(PNG)), embeddings(seeing, PNG))
    few = rgb.quantize(16)
    assert few.mode == "P" and np.array_equal(embeddings(seeing, few), embeddings(seeing, few.convert("RGB")))
    few.info["transparency"] = 0
    assert np.array_equal(embeddings(seeing, few), embeddings(seeing, np.asarray(few.convert("RGBA"))))
    bits = rgb.convert("1")
    assert np.array_equal(embeddings(seeing, bits), embeddings(seeing, bits.convert("L")))
    wide = PIL.fromarray(pixels(channels=1)[..., 0].astype(np.uint16) * 256 + 17)
    assert wide.mode.startswith("I") and np.array_equal(embeddings(seeing, wide), embeddings(seeing, pixels(channels=1)))
    turned = rgb.copy()
    turned.getexif()[0x0112] = 6
    assert llama4.Image(turned).info().width == 60 and llama4.Image(turned, upright=False).info().width == 90
    assert np.array_equal(embeddings(seeing, turned), embeddings(seeing, rgb.transpose(PIL.Transpose.ROTATE_270)))
    with pytest.raises(TypeError, match="floats"):
        llama4.Image(rgb.convert("F"))
    assert ask(seeing, rgb, "What?").ids == ask(seeing, pixels(), "What?").ids


def test_info(seeing):
    image = llama4.Image(pixels(90, 60))
    assert (image.info().tiles, image.info().tokens) == (1, 147)
    info = image.info(seeing)
    assert (info.width, info.height, info.columns, info.rows, info.tiles, info.embeddings) == (90, 60, 2, 2, 5, 20)
    assert llama4.Image(pixels(90, 60), max_tiles=1).info(seeing).tiles == 1
    assert repr(image) == "<llama4.Image of 90 x 60 pixels>"
    tiles = np.zeros((3, 3, 56, 56), np.float32)
    handmade = llama4.Image.from_tiles(tiles, 2, 1)
    assert handmade.info(seeing).embeddings == 12 and repr(handmade) == "<llama4.Image of 3 tiles>"
    with pytest.raises(llama4.ArgumentError):
        llama4.Image.from_tiles(tiles, 2, 2)
    with pytest.raises(llama4.ArgumentError, match="shape"):
        llama4.Image.from_tiles(tiles[0], 2, 1)
    image.close()
    assert image.closed and "closed" in repr(image)
    with pytest.raises(llama4.StateError):
        image.info()


# ---- Embeddings ----


def test_embeddings(seeing):
    with seeing.context() as context:
        made = context.encode(PNG)
    numbers = made.numbers
    assert len(made) == 12 and numbers.shape == (12, seeing.info.embedding_length) and not numbers.flags.writeable
    assert (made.info.width, made.info.columns * made.info.rows + 1, made.info.tiles) == (0, 3, 3)
    want = numbers.copy()
    again = llama4.Embeddings(seeing, numbers, columns=made.info.columns, rows=made.info.rows)
    assert np.array_equal(again.numbers, want) and ask(seeing, again, "What?").ids == ask(seeing, made, "What?").ids
    made.close()
    del made
    gc.collect()
    assert np.array_equal(numbers, want)  # the view keeps its memory
    with pytest.raises(llama4.ArgumentError):
        llama4.Embeddings(seeing, want[:5], columns=2, rows=1)


def test_embeddings_of_another_model(seeing, tiny_seeing):
    with tiny_seeing.context() as context:
        strange = context.encode(PNG)
    with pytest.raises((llama4.Error, ValueError)):
        ask(seeing, strange, "What?")


def test_threads_give_the_same_bits(seeing):
    want = embeddings(seeing, PNG, threads=1)
    assert np.array_equal(embeddings(seeing, PNG, threads=3), want)


def test_decode_with_embeddings(seeing):
    patch = seeing.vocab.find("<|patch|>")
    rows = embeddings(seeing, PNG)
    logits = []
    for stand_in in (patch, -1):
        with seeing.context() as context:
            context.decode([1, *[stand_in] * 12, 2], embeddings=rows)
            logits.append(context.logits().copy())
    assert np.array_equal(*logits)
    with seeing.context() as context:
        context.decode([1])
        for i in range(12):
            context.decode(-1, embeddings=rows[i:i + 1])
        context.decode(2)
        assert np.array_equal(context.logits(), logits[0])
        for wrong in (rows[:11], np.concatenate([rows, rows[:1]])):
            with pytest.raises(llama4.ArgumentError):
                context.decode([1, *[-1] * 12, 2], embeddings=wrong)
        with pytest.raises(llama4.ArgumentError):
            context.decode([1, -1])
        assert context.sequence_length() == 14


# ---- Conversations ----


def test_a_conversation_goes_on(seeing):
    """What is known of the last call is not computed again, pictures included; the answers are as if it were."""
    image = llama4.Image(PNG)
    talk = [{"role": "user", "content": [image, "What?"]}]
    with seeing.context() as context:
        first = context.chat(talk, temperature=0, max_tokens=4)
        text = first.text()
        talk += [{"role": "assistant", "content": text}, {"role": "user", "content": ["And", GOLDEN / "vision/image2.png", "this?"]}]
        second = context.chat(talk, temperature=0, max_tokens=4)
        second.text()
        assert second.generation.reused_tokens >= len(first.generation.prompt)
    with seeing.context() as context:
        fresh = context.chat(talk, temperature=0, max_tokens=4)
        fresh.text()
    assert fresh.generation.reused_tokens == 0 and fresh.generation.ids == second.generation.ids
    with seeing.context() as context:  # the same ids with another picture behind them
        context.chat(talk[:1], temperature=0, max_tokens=4).text()
        other = llama4.Image(255 - pixels(*(image.info().width, image.info().height)))
        changed = context.chat([{"role": "user", "content": [other, "What?"]}], temperature=0, max_tokens=4)
        changed.text()
        assert changed.generation.prompt == first.generation.prompt
        assert changed.generation.reused_tokens < changed.generation.prompt.index(seeing.vocab.find("<|patch|>")) + 1
    assert changed.generation.ids == ask(seeing, other, "What?").ids[:4]


def test_an_image_is_encoded_once(seeing, monkeypatch):
    calls, encode = [], llama4.Context._encode
    monkeypatch.setattr(llama4.Context, "_encode", lambda self, *rest: calls.append(1) or encode(self, *rest))
    image = llama4.Image(PNG)
    for _ in range(3):
        ask(seeing, image, "What?")
    assert len(calls) == 1
    with llama4.Model.open(MODEL) as other:
        assert ask(other, image, "What?").ids == ask(seeing, image, "What?").ids
    assert len(calls) == 3


def test_an_image_does_not_keep_its_model():
    image, model = llama4.Image(PNG), llama4.Model.open(MODEL)
    ask(model, image, "What?")
    handle = weakref.ref(model._handle)
    model.close()
    del model
    gc.collect()
    assert handle() is None and not image.closed


def test_video(seeing):
    frames = [pixels(90, 60) // n for n in (1, 2, 3)]
    parts = llama4.video_frames(frames, fps=0.5)
    assert [p["seconds"] for p in parts] == [0.0, 2.0, 4.0]
    generation = ask(seeing, *parts, "What happens?")
    assert generation.prompt.count(seeing.vocab.find("<|patch|>")) == 3 * seeing.info.tile_tokens
    assert "[0:02.0] " in seeing.detokenize(generation.prompt) and "[0:04.0] " in seeing.detokenize(generation.prompt)
    timed = llama4.video_frames([llama4.Image(f, max_tiles=1) for f in frames], times=[0, 2, 4])
    assert ask(seeing, *timed, "What happens?").ids == generation.ids
    for wrong in ({}, {"fps": 1, "times": [1, 2, 3]}, {"times": [1]}, {"fps": 0}, {"fps": -1}, {"fps": float("nan")}):
        with pytest.raises(llama4.ArgumentError):
            llama4.video_frames(frames, **wrong)
    for part in ({"type": "frame", "image": frames[0]}, {"type": "frame", "image": frames[0], "seconds": -1},
                 {"type": "frame", "image": llama4.Image(frames[0]), "seconds": 1}, {"type": "frame", "seconds": 1}):
        with pytest.raises(llama4.ArgumentError, match="frame"):
            seeing.vocab.chat_tokenize([{"role": "user", "content": [part]}])


def test_llama_class():
    url = "data:image/png;base64," + base64.b64encode((REFERENCE / "picture1.png").read_bytes()).decode()
    with llama4.Llama(TINY, vision_path=MMPROJ, n_ctx=256, verbose=False) as llm:
        for content in ([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Describe the picture."}],
                        [REFERENCE / "picture1.png", "Describe the picture."]):
            for _ in range(2):
                out = llm.create_chat_completion(messages=[{"role": "user", "content": content}], temperature=0)
                assert out["choices"][0]["message"]["content"] == "A red cross on the right, on a yellow background."
                assert out["usage"]["prompt_tokens"] > 8


# ---- Work ----


def test_progress_covers_encoding_and_decoding(seeing):
    fractions = []
    image = llama4.Image(pixels(200, 150))
    with seeing.context(progress=lambda f: fractions.append(f)) as context:
        context.encode(image)
        assert len(fractions) >= 3 and fractions == sorted(fractions) and 0.99 < fractions[-1] <= 1.001
        fractions.clear()
        context.chat([{"role": "user", "content": [image, "and", PNG, "What?"]}], temperature=0, max_tokens=1).text()
        assert len(fractions) > 8 and fractions == sorted(fractions) and 0.99 < fractions[-1] <= 1.001 and fractions[0] < 0.5
        fractions.clear()
        context.decode([1, 2, 3])
        assert 0 <= fractions[0] < 0.6 and 0.99 < fractions[-1] <= 1.001


def test_cancelling(seeing):
    calls = []
    with seeing.context(progress=lambda f: calls.append(f) or len(calls) == 2) as context:
        with pytest.raises(llama4.CancelledError):
            context.encode(pixels())
        assert len(calls) == 2
        assert len(context.encode(pixels())) == 20
        context.cancel()
        with pytest.raises(llama4.CancelledError):
            context.encode(pixels())
        context.encode(pixels())


def test_several_threads(seeing):
    want, found = embeddings(seeing, PNG), []

    def work(context):
        for _ in range(5):
            found.append(np.array_equal(context.encode(PNG).numbers, want))

    with seeing.context() as shared:
        threads = [threading.Thread(target=work, args=(shared,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == [True] * 20


# ---- What goes wrong ----


def test_bad_files(tmp_path, seeing):
    data = PNG.read_bytes()
    with pytest.raises(FileNotFoundError):
        llama4.Image("/nowhere.png")
    for bad in (b"", b"no picture", data[:-20], data[:40], b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(llama4.FormatError if bad[:4] == data[:4] else llama4.Error):
            llama4.Image(bad)
        file = tmp_path / "bad.png"
        file.write_bytes(bad)
        with pytest.raises(llama4.Error, match="bad.png"):
            llama4.Image(file)
    with pytest.raises(llama4.Error):
        llama4.Image(PNG, max_pixels=10)
    with pytest.raises(llama4.Error):
        llama4.Image(PNG, max_bytes=10)
    with pytest.raises(llama4.ArgumentError):
        llama4.Image(PNG, max_tiles=65)
    assert ask(seeing, PNG, "What?").ids


def test_bad_messages(seeing):
    def say(part):
        return seeing.chat([{"role": "user", "content": [part, "What?"]}])

    for part in ({"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}, {"type": "image_url", "image_url": str(PNG)},
                 {"type": "image_url", "image_url": None}, {"type": "image_url", "image_url": "data:image/png,abc"}):
        with pytest.raises(llama4.UnsupportedError, match="data URL"):
            say(part)
    with pytest.raises(llama4.FormatError, match="base64"):
        say({"type": "image_url", "image_url": "data:image/png;base64,!!"})
    with pytest.raises(llama4.UnsupportedError, match="audio"):
        say({"type": "audio", "audio": b""})
    with pytest.raises(llama4.ArgumentError, match="image"):
        say({"type": "image"})
    with pytest.raises(llama4.UnsupportedError, match="int"):
        say(5)
    closed = llama4.Image(PNG)
    closed.close()
    with pytest.raises(llama4.StateError):
        say(closed)


def test_models_that_see_nothing(tiny):
    assert tiny.info.vision_layers == 0
    with pytest.raises(llama4.StateError, match="picture encoder"):
        tiny.chat([{"role": "user", "content": [PNG, "What?"]}])
    with tiny.context() as context:
        with pytest.raises(llama4.Error, match="picture"):
            context.encode(PNG)
    with pytest.raises(llama4.Error):
        llama4.Model.open(TINY, vision=TINY)
    with pytest.raises(FileNotFoundError):
        llama4.Model.open(TINY, vision="/nowhere.gguf")


def test_more_pictures_than_the_context_holds(seeing):
    calls = []
    with seeing.context(context_length=64, progress=lambda f: calls.append(f)) as context:
        context.decode([1, 2, 3])
        calls.clear()
        with pytest.raises(llama4.ContextFullError):
            context.chat([{"role": "user", "content": [PNG] * 6 + ["What?"]}]).text()
        assert calls == [] and context.sequence_length() == 3  # nothing was encoded in vain


def test_convert(tmp_path, seeing):
    target = tmp_path / "vision.gguf"
    llama4.convert(MODEL, target, vision=True, type="f32")
    with llama4.Model.open(MODEL, vision=target) as model:
        assert ask(model, PNG, "What?").ids == ask(seeing, PNG, "What?").ids


def test_paths_of_any_kind(tmp_path):
    odd = tmp_path / "Grüße \u2603.png"
    odd.write_bytes(PNG.read_bytes())
    assert llama4.Image(odd).info().width == llama4.Image(str(odd)).info().width > 0
