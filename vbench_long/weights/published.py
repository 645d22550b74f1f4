"""The checkpoints as data: where each is published and may lie, its checksum, licence and use.

Sources of the checksums: OpenAI writes its own into the addresses, MUSIQ's first eight digits stand
in its file name; the others are those on which independent users of the same files agree, but for
ViCLIP's and Tag2Text's, which one user gives. Sizes and the layout of VBench's cache come from
VBench's loader and its users, the layout of DreamSim's zip from its loader alone. Nothing of this
was measured on the files, except on Tag2Text's tags.
"""

from __future__ import annotations

from vbench_long.weights.checkpoint import Checkpoint, Hub, Url

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_CLIP_B = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_L = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
_DREAMSIM = (
    "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/"
    "dreamsim_ensemble_checkpoint.zip"
)
_TAG2TEXT = "https://huggingface.co/spaces/xinyu1205"
_VBENCH_WHEEL = (
    "https://files.pythonhosted.org/packages/06/82/"
    "13e401ec97d2686397201dfe74e2dda88b3695192de1b25a5ab267ab8960/vbench-0.1.5-py3-none-any.whl"
)
_BERT_VOCABULARY = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_GRIT = ("object_class", "multiple_objects", "color", "spatial_relationship")
_DEVELOPMENT = "only for the clip-to-clip models of VBench-Long's development mode"

PUBLISHED = (
    Checkpoint(
        name="dino_vitb16",
        file="dino_vitbase16_pretrain.pth",
        published=(
            Url(
                "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/"
                "dino_vitbase16_pretrain.pth"
            ),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("subject_consistency", "background_consistency"),
        sha256="bf34ad0f424b9029b593e8dc3ed553bf26e88bcba0d32bf3e62a6209cb64c85e",
        size=343_242_485,
        cache_paths=(
            "vbench/dino_model/dino_vitbase16_pretrain.pth",
            "torch/hub/checkpoints/dino_vitbase16_pretrain.pth",
            "cache/checkpoints/dino_vitbase16_pretrain.pth",
        ),
    ),
    Checkpoint(
        name="dinov2_vitb14",
        file="dinov2_vitb14_pretrain.pth",
        published=(
            Url("https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("subject_consistency",),
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        size=346_378_731,
        cache_paths=(
            "torch/hub/checkpoints/dinov2_vitb14_pretrain.pth",
            "cache/checkpoints/dinov2_vitb14_pretrain.pth",
        ),
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_clip_vitb16",
        file="clip_vitb16_pretrain.pth.tar",
        published=(Url(_DREAMSIM, ("clip_vitb16_pretrain.pth.tar",)),),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=("cache/clip_vitb16_pretrain.pth.tar",),
        entry="state_dict",
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_open_clip_vitb16",
        file="open_clip_vitb16_pretrain.pth.tar",
        published=(Url(_DREAMSIM, ("open_clip_vitb16_pretrain.pth.tar",)),),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=("cache/open_clip_vitb16_pretrain.pth.tar",),
        entry="state_dict",
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="dreamsim_lora",
        file="ensemble_lora/adapter_model.safetensors",
        # Its loader takes either form, and nobody says which one the zip holds.
        published=(
            Url(
                _DREAMSIM,
                ("ensemble_lora/adapter_model.safetensors", "ensemble_lora/adapter_model.bin"),
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency",),
        cache_paths=(
            "cache/ensemble_lora/adapter_model.safetensors",
            "cache/ensemble_lora/adapter_model.bin",
        ),
        settings_file="adapter_config.json",
        settings={"r": 16, "lora_alpha": 8},
        note=_DEVELOPMENT,
    ),
    Checkpoint(
        name="clip_vitb32",
        file="ViT-B-32.pt",
        published=(
            Url(f"{_OPENAI}/{_CLIP_B}/ViT-B-32.pt"),
            Hub(
                "timm/vit_base_patch32_clip_224.openai",
                "open_clip_model.safetensors",
                sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("background_consistency", "appearance_style"),
        sha256=_CLIP_B,
        size=353_976_522,
        cache_paths=("vbench/clip_model/ViT-B-32.pt", "cache/clip/ViT-B-32.pt"),
    ),
    Checkpoint(
        name="clip_vitl14",
        file="ViT-L-14.pt",
        published=(
            Url(f"{_OPENAI}/{_CLIP_L}/ViT-L-14.pt"),
            Hub("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("aesthetic_quality",),
        sha256=_CLIP_L,
        size=932_768_134,
        cache_paths=("vbench/clip_model/ViT-L-14.pt", "cache/clip/ViT-L-14.pt"),
    ),
    Checkpoint(
        name="laion_aesthetic_l14",
        file="sa_0_4_vit_l_14_linear.pth",
        published=(
            Url(
                "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/"
                "sa_0_4_vit_l_14_linear.pth"
            ),
        ),
        licence="MIT",
        commercial=True,
        dimensions=("aesthetic_quality",),
        sha256="2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
        size=4_071,
        cache_paths=("vbench/aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth",),
    ),
    Checkpoint(
        name="raft_things",
        file="raft-things.pth",
        published=(
            Url(
                "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip",
                ("models/raft-things.pth",),
            ),
            # The same bytes, for networks where Dropbox is blocked.
            Url("https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth"),
        ),
        licence="BSD-3-Clause",
        commercial=True,
        dimensions=("dynamic_degree",),
        sha256="fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
        size=21_108_000,
        cache_paths=("vbench/raft_model/models/raft-things.pth",),
    ),
    Checkpoint(
        name="amt_s",
        file="amt-s.pth",
        published=(Hub("lalala125/AMT", "amt-s.pth"),),
        licence="CC-BY-NC-4.0",
        commercial=False,
        dimensions=("motion_smoothness",),
        sha256="07e7e03405c213fe4405678db9b42d05671e48c56faf6a441b99bb0047d3cf77",
        size=12_038_359,
        cache_paths=("vbench/amt_model/amt-s.pth",),
        entry="state_dict",
    ),
    Checkpoint(
        name="musiq_spaq",
        file="musiq_spaq_ckpt-358bb6af.pth",
        published=(
            Url(
                "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/"
                "musiq_spaq_ckpt-358bb6af.pth"
            ),
        ),
        licence="Apache-2.0 by its authors, PolyForm-Noncommercial-1.0.0 where it is hosted",
        commercial=False,
        dimensions=("imaging_quality",),
        sha256="358bb6af275e28ea56821d44fb55c6cb83645db11f394d3ad65b2d149965ab50",
        size=108_610_983,
        cache_paths=("vbench/pyiqa_model/musiq_spaq_ckpt-358bb6af.pth",),
        prefix="module.",
    ),
    Checkpoint(
        name="tag2text",
        file="tag2text_swin_14m.pth",
        published=(
            Url(f"{_TAG2TEXT}/recognize-anything/resolve/main/tag2text_swin_14m.pth"),
            Url(f"{_TAG2TEXT}/Recognize_Anything-Tag2Text/resolve/main/tag2text_swin_14m.pth"),
        ),
        licence="unknown for the file; its authors' code is Apache-2.0",
        commercial=False,
        dimensions=("scene",),
        sha256="4ce96f0ce98f940a6680d567f66a38ccc9ca8c4e638e5f5c5c2e881a0e3502ac",
        size=4_478_705_095,
        cache_paths=("vbench/caption_model/tag2text_swin_14m.pth",),
        entry="model",
    ),
    Checkpoint(
        name="tag2text_tags",
        file="tag_class.py",
        # Data in a program's clothes: the list is read, nothing is run.
        published=(Url(_VBENCH_WHEEL, ("vbench/third_party/tag2Text/tag_class.py",)),),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("scene",),
        sha256="8e33d5653fc4f5f1792bad82e64dcbf4a004dacf633b8e8d6a811ae07b7a73bf",
        size=39_420,
        note="the names of Tag2Text's 3429 tags",
    ),
    Checkpoint(
        name="bert_vocabulary",
        file="bert-base-uncased/vocab.txt",
        published=(
            Hub("google-bert/bert-base-uncased", "vocab.txt", sha256=_BERT_VOCABULARY),
            Hub("bert-base-uncased", "vocab.txt", sha256=_BERT_VOCABULARY),
        ),
        licence="Apache-2.0",
        commercial=True,
        dimensions=("scene", *_GRIT),
        sha256=_BERT_VOCABULARY,
        size=231_508,
        cache_paths=("vbench/bert_model/bert-base-uncased/vocab.txt",),
        note="the 30522 word pieces of BERT, uncased",
    ),
    Checkpoint(
        name="grit_b",
        file="grit_b_densecap_objectdet.pth",
        published=(
            Url(
                "https://datarelease.blob.core.windows.net/grit/models/"
                "grit_b_densecap_objectdet.pth"
            ),
            Hub("OpenGVLab/VBench_Used_Models", "grit_b_densecap_objectdet.pth"),
        ),
        licence="MIT for its authors' code; none is stated with the file",
        commercial=False,
        dimensions=_GRIT,
        cache_paths=("vbench/grit_model/grit_b_densecap_objectdet.pth",),
        entry="model",
        prefix="module.",
    ),
    Checkpoint(
        name="umt_l16",
        file="l16_ptk710_ftk710_ftk400_f16_res224.pth",
        published=(Hub("OpenGVLab/VBench_Used_Models", "l16_ptk710_ftk710_ftk400_f16_res224.pth"),),
        licence="unknown; ask its authors before commercial use",
        commercial=False,
        dimensions=("human_action",),
        sha256="bfee78a03bf806fbc0c216309e8f92792011b7db6556fa860e9d869c1e69fecd",
        size=607_024_201,
        cache_paths=("vbench/umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth",),
        entry="model",
    ),
    Checkpoint(
        name="viclip_l14",
        file="ViClip-InternVid-10M-FLT.pth",
        published=(
            Hub("OpenGVLab/VBench_Used_Models", "ViClip-InternVid-10M-FLT.pth"),
            Hub("OpenGVLab/ViCLIP", "ViClip-InternVid-10M-FLT.pth"),
        ),
        licence="unknown; ask its authors before commercial use",
        commercial=False,
        dimensions=("temporal_style", "overall_consistency"),
        sha256="7a4d6ad6eac6632db3693f4b97f9f8f6445b65b1e139a6fc6686150522238c56",
        size=1_710_545_812,
        cache_paths=("vbench/ViCLIP/ViClip-InternVid-10M-FLT.pth",),
        entry="model",
    ),
)
