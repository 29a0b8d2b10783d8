"""Models of a few thousand weights, all random, for tasks about pictures and films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import words
from .text_models import TINY, names

SIDE = 32
THINGS = {0: "cat", 1: "dog", 2: "house"}
VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": SIDE,
    "patch_size": 8,
    "initializer_range": 0.4,
}
SIZE = {"height": SIDE, "width": SIDE}
CLIP_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}


def vit(folder: Path, kind: str) -> None:
    import transformers as t

    config = t.ViTConfig(**VIT, **names(THINGS))
    getattr(t, kind)(config).eval().save_pretrained(folder)
    t.ViTImageProcessor(size=SIZE).save_pretrained(folder)


def image_classification(folder: Path) -> None:
    vit(folder, "ViTForImageClassification")


def image_features(folder: Path) -> None:
    vit(folder, "ViTModel")


def segmentation(folder: Path) -> None:
    import transformers as t

    config = t.BeitConfig(
        **(VIT | {"num_hidden_layers": 4}),
        out_indices=[1, 2, 3, 4],
        pool_scales=[1, 2],
        use_auxiliary_head=False,
        **names(THINGS),
    )
    t.BeitForSemanticSegmentation(config).eval().save_pretrained(folder)
    t.BeitImageProcessor(size=SIZE, do_center_crop=False).save_pretrained(folder)


def detection(folder: Path) -> None:
    import transformers as t

    config = t.YolosConfig(
        **(VIT | {"image_size": [SIDE, SIDE]}), num_detection_tokens=5, **names(THINGS)
    )
    t.YolosForObjectDetection(config).eval().save_pretrained(folder)
    t.YolosImageProcessor(size=SIZE).save_pretrained(folder)


def depth(folder: Path) -> None:
    import transformers as t

    config = t.GLPNConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
        initializer_range=0.4,
    )
    t.GLPNForDepthEstimation(config).eval().save_pretrained(folder)
    t.GLPNImageProcessor().save_pretrained(folder)


def clip(folder: Path) -> None:
    import transformers as t

    tokenizer = words.plain(length=64)
    config = t.CLIPConfig(
        text_config={**CLIP_TEXT, "vocab_size": len(tokenizer)},
        vision_config=VIT,
        projection_dim=16,
    )
    t.CLIPModel(config).eval().save_pretrained(folder)
    pictures = t.CLIPImageProcessor(size=SIZE, crop_size=SIZE)
    t.CLIPProcessor(pictures, tokenizer).save_pretrained(folder)


def zero_shot_detection(folder: Path) -> None:
    import transformers as t

    tokenizer = words.plain(length=16)
    text = {**CLIP_TEXT, "max_position_embeddings": 16, "vocab_size": len(tokenizer)}
    config = t.OwlViTConfig(text_config=text, vision_config=VIT, projection_dim=32)
    t.OwlViTForObjectDetection(config).eval().save_pretrained(folder)
    pictures = t.OwlViTImageProcessor(size=SIZE, crop_size=SIZE)
    t.OwlViTProcessor(pictures, tokenizer).save_pretrained(folder)


def masks(folder: Path) -> None:
    import transformers as t

    config = t.SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "image_size": SIDE,
            "patch_size": 8,
            "global_attn_indexes": [0],
            "window_size": 0,
            "num_pos_feats": 8,
            "mlp_dim": 16,
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": SIDE,
            "patch_size": 8,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    t.SamModel(config).eval().save_pretrained(folder)
    pictures = t.SamImageProcessor(
        size={"longest_edge": SIDE}, pad_size=SIZE, mask_size={"longest_edge": 8}
    )
    pictures.save_pretrained(folder)


def matching(folder: Path) -> None:
    import transformers as t

    points = t.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 8, 8],
        decoder_hidden_size=8,
        descriptor_decoder_dim=16,
        keypoint_threshold=0.0,
        max_keypoints=16,
    )
    config = t.SuperGlueConfig(
        keypoint_detector_config=points,
        hidden_size=16,
        keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        matching_threshold=0.0,
    )
    t.SuperGlueForKeypointMatching(config).eval().save_pretrained(folder)
    t.SuperGlueImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def upscaling(folder: Path) -> None:
    import transformers as t

    config = t.Swin2SRConfig(
        image_size=SIDE,
        embed_dim=16,
        depths=[1],
        num_heads=[2],
        window_size=8,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
    t.Swin2SRForImageSuperResolution(config).eval().save_pretrained(folder)
    t.Swin2SRImageProcessor(size_divisor=8).save_pretrained(folder)


def visual_questions(folder: Path) -> None:
    import transformers as t

    tokenizer = words.bert()
    config = t.ViltConfig(vocab_size=len(tokenizer), **(VIT | TINY), **names(THINGS))
    t.ViltForQuestionAnswering(config).eval().save_pretrained(folder)
    pictures = t.ViltImageProcessor(size={"shortest_edge": SIDE}, size_divisor=8)
    t.ViltProcessor(pictures, tokenizer).save_pretrained(folder)


def captions(folder: Path) -> None:
    import transformers as t

    tokenizer = words.plain()
    encoder = t.ViTConfig(**VIT)
    decoder = t.BertConfig(
        vocab_size=len(tokenizer), is_decoder=True, add_cross_attention=True, **TINY
    )
    config = t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 2, 0, 3
    model = t.VisionEncoderDecoderModel(config).eval()
    model.generation_config.update(
        decoder_start_token_id=2, pad_token_id=0, eos_token_id=3, max_new_tokens=6
    )
    model.save_pretrained(folder)
    t.ViTImageProcessor(size=SIZE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def films(folder: Path) -> None:
    import transformers as t

    config = t.VideoMAEConfig(**VIT, num_frames=4, tubelet_size=2, **names(THINGS))
    t.VideoMAEForVideoClassification(config).eval().save_pretrained(folder)
    t.VideoMAEImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE).save_pretrained(folder)
