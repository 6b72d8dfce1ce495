"""The demo model in diffusers and transformers, by their own loaders: for LoRA training and checks."""
import json
import tempfile
from pathlib import Path

import torch

from diffusion import STEPS

VAE = {"_class_name": "AutoencoderKL", "block_out_channels": [64, 64, 128, 128], "down_block_types": ["DownEncoderBlock2D"] * 4,
       "up_block_types": ["UpDecoderBlock2D"] * 4, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 256,
       "scaling_factor": 0.18215}
UNET = {"_class_name": "UNet2DConditionModel", "block_out_channels": [64, 128, 192, 192], "cross_attention_dim": 128, "attention_head_dim": 8,
        "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 32, "in_channels": 4, "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}
TEXT = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3,
        "num_attention_heads": 2, "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "projection_dim": 128,
        "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": STEPS,
             "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon"}
INDEX = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DConditionModel"],
         "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"],
         "safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}


def pipeline(path):
    """StableDiffusionPipeline of the single file `path`, with a configuration of our own: nothing is fetched."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from text import Tokenizer
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, config in (("vae/config", VAE), ("unet/config", UNET), ("text_encoder/config", TEXT), ("model_index", INDEX)):
            file = folder / f"{name}.json"
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(config))
        Tokenizer().clip.save_pretrained(folder / "tokenizer")
        pipe = StableDiffusionPipeline.from_single_file(str(path), config=str(folder), torch_dtype=torch.float32, local_files_only=True,
                                                        scheduler=DDIMScheduler(**SCHEDULER), safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe
