#!/usr/bin/env python3
"""Take some cases of a golden picture set, and compute features and logits anew with the reference's code.

    pip install torch transformers
    pictures.py IN OUT [CASE...]      IN, OUT: folders with cases.json, golden.safetensors, pictures and model/

IN was made by a program that had cast the whole model to bfloat16 and back, and with it the table of rotary frequencies, and that took the
features in front of the projector. Here the frequencies stay float32, and the features are what stands in the prompt.
"""
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import Llama4ForConditionalGeneration

torch.set_grad_enabled(False)
source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
cases = json.loads((source / "cases.json").read_text())
chosen = [int(n) for n in sys.argv[3:]] or range(len(cases))
golden = load_file(source / "golden.safetensors")
model = Llama4ForConditionalGeneration.from_pretrained(source / "model", dtype=torch.float32, attn_implementation="eager").eval()

out.mkdir(parents=True, exist_ok=True)
if out.resolve() != source.resolve():
    shutil.copytree(source / "model", out / "model", dirs_exist_ok=True)
tensors, kept = {}, []
for n in chosen:
    c = cases[n]
    pixels = golden[c["pixels"]]
    seen = model.vision_model(pixels).last_hidden_state
    tensors[c["pixels"]] = pixels
    tensors[c["features"]] = model.multi_modal_projector(seen.reshape(-1, seen.shape[-1])).contiguous()
    tensors[c["logits"]] = model(input_ids=torch.tensor([c["ids"]]), pixel_values=pixels, use_cache=False).logits[0].contiguous()
    shutil.copy(source / c["image"], out / c["image"])
    kept.append(c)
save_file(tensors, out / "golden.safetensors")
(out / "cases.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in kept) + "\n]\n")
