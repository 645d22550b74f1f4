"""Package metadata. The top-level folders are installed inside ``vbench_long``, never beside it."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
ROOMS = ("dimensions", "generators", "leaderboard", "prompts")

package_dir = {"vbench_long": "vbench_long"}
packages = ["vbench_long", *(f"vbench_long.{name}" for name in find_packages("vbench_long"))]
for room in ROOMS:
    package_dir[f"vbench_long.{room}"] = room
    packages += [
        f"vbench_long.{room}",
        *(f"vbench_long.{room}.{name}" for name in find_packages(room)),
    ]

setup(
    name="vbench-long",
    version="0.1.0",
    description="How good are generated long videos: VBench-Long's measures in one decode",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=packages,
    package_dir=package_dir,
    package_data={
        "vbench_long": ["py.typed"],
        "vbench_long.dimensions": ["tables/*.csv"],
        "vbench_long.leaderboard": ["*.json"],
        "vbench_long.leaderboard.published": ["*.csv"],
        "vbench_long.leaderboard.evidence": ["page/*", "templates/*"],
        "vbench_long.leaderboard.report": ["page/*", "templates/*"],
        "vbench_long.prompts": ["*.json"],
    },
    install_requires=[
        "av>=14",
        "diffusers>=0.36",
        "filelock>=3.13",
        "huggingface_hub>=0.30",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "numpy>=2",
        "open_clip_torch>=2.30",
        "opencv-python-headless>=5",
        "pandas>=2.2",
        "pillow>=10",
        "protobuf>=5",
        "safetensors>=0.4",
        "scenedetect-headless>=0.7",
        "scipy>=1.14",
        "sentencepiece>=0.2",
        "timm>=1.0.22",
        "tokenizers>=0.22",
        "torch>=2.6",
        "torchvision>=0.21",
        "tqdm>=4.66",
        "transformers>=5",
    ],
    extras_require={
        "dev": [
            "build",
            "hypothesis>=6.100",
            "mypy>=1.15",
            "pandas-stubs",
            "pytest>=8",
            "ruff>=0.9",
            "scipy-stubs",
            "selenium>=4.20",
            "types-tqdm",
        ],
    },
    entry_points={"console_scripts": ["vbench-long = vbench_long.cli:main"]},
)
