"""This program against the published one (vbench 0.1.5): scores, time, decodes, memory.

Both judge the same videos on eleven dimensions, on the CPU, with the same seeded weights, so that
neither needs a download of models and both compute every network in full. The other five cannot
run there: GRiT's four need detectron2, which has to be compiled, and scene needs fairscale and
transformers 4.33, whose successors caption otherwise. `against_golden.py` compares those networks
with kept outputs of the published ones; its table is the last.

    python benchmarks/against_vbench.py --videos DIR|FILE...          # prints three tables
    python benchmarks/against_vbench.py --videos ... --each           # ours also one by one
    python benchmarks/against_vbench.py --videos ... --reuse          # prints them again
    python benchmarks/against_vbench.py --videos ... --reuse original # runs only ours again

A 6 s video of 480p takes the published program 20 minutes on one core for the seven of quality
alone. Name videos `A person is ACTION-{i}.mp4`; it takes the action from there. Machines are noisy:
trust CPU time before wall time, and `--threads 1` before more.

The published program runs in an environment of its own below `--env`, outside this repository: its
wheel and what it needs besides, each without dependencies, and after that the packages of the
interpreter that runs this script (torch, torchvision, timm, open_clip, NumPy, OpenCV, PyAV and
PySceneDetect are shared, so both programs compute with the same libraries). Nothing is installed
elsewhere. One package there, pyiqa, is for noncommercial use only; the published program takes
MUSIQ from it, this one does not. What is patched at run time, and why, is said in
`original_vbench.py`. Needs Linux on x86-64, for the wheel of decord.

How each program is used:

- published: its entry point with `--mode long_custom_input --dev_flag`, no scene cuts, no static
  filter, one process per dimension as its own script does. All dimensions share one folder, in
  which the first to run cuts and encodes the clips; the official layout has five folders.
- ours: `vbench-long evaluate --backend reference --weights seeded`, one process for everything.

With `--clips exact` the published program writes its clips without loss, so that both score the
submitted pixels; with `--clips reference` both encode as an installation of 2024 did.

Counted are wall and CPU time and peak memory of whole processes (imports, loading and all), frames
decoded, frames encoded, networks built (the three transformers of DreamSim are one, so are CLIP and
the head of the aesthetic predictor), flows computed by RAFT, and the largest difference of a clip's
score, imaging_quality on the scale of 0..1 and human_action as the probability of the action, of
which seeded weights recognise none. Seeded weights flatter dynamic_degree: with them
everything moves, and ours stops looking at a clip once the answer is certain, here after a quarter
of its pairs; in a clip at rest that takes four fifths.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from vbench_tables import ALL, Outcome, dimension_table, together, total_table

HERE = Path(__file__).resolve().parent
HELPER = HERE / "original_vbench.py"
PACKAGES = (
    "vbench==0.1.5", "decord==0.6.0", "openai-clip==1.0.1", "pyiqa==0.1.16", "dreamsim==0.2.1",
    "peft==0.21.2", "transformers==5.23.0", "tokenizers==0.23.3", "accelerate==1.15.0",
    "psutil==7.2.2", "omegaconf==2.4.0", "antlr4-python3-runtime==4.9.3", "easydict==1.14",
    "imageio==2.38.1", "requests==2.34.2", "urllib3==2.8.0", "certifi", "charset-normalizer==3.5.2",
    "setuptools<81",  # openai-clip imports pkg_resources.
    "einops==0.8.2",
)  # fmt: skip
DIMENSIONS = (
    "temporal_flickering", "subject_consistency", "background_consistency", "motion_smoothness",
    "dynamic_degree", "aesthetic_quality", "imaging_quality", "human_action", "temporal_style",
    "overall_consistency", "appearance_style",
)  # fmt: skip
STYLE = "oil painting"


@dataclass(frozen=True, slots=True)
class Task:
    """What to compare, and where.

    Attributes:
        env: folder of the published program's environment, checkpoints and results.
        videos: the files.
        clips: "exact" or "reference".
        threads: of each process.
        precision: of our networks.
    """

    env: Path
    videos: tuple[Path, ...]
    clips: str
    threads: int
    precision: str

    @property
    def key(self) -> str:
        """Twelve hex digits for what decides the published program's numbers and times."""
        seen = sha256(f"{self.clips} {self.threads}".encode())
        for path in self.videos:
            seen.update(path.name.encode() + sha256(path.read_bytes()).digest())
        return seen.hexdigest()[:12]

    @property
    def work(self) -> Path:
        """Folder for clips, runs and logs."""
        return self.env / "work" / self.key

    @property
    def results(self) -> Path:
        """File of what was measured."""
        return self.env / "results" / f"{self.key}.json"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of both programs."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return {**os.environ, **dict.fromkeys(names, str(self.threads))}


# The published program's environment


def ready_python(env: Path) -> Path:
    """The interpreter of the published program's environment, which is made if need be."""
    python, mark = env / "venv/bin/python", env / "installed.json"
    shared = sysconfig.get_path("purelib")
    wanted = json.dumps({"python": sys.version, "shared": shared, "packages": PACKAGES})
    if mark.exists() and mark.read_text() == wanted:
        return python
    print(f"making an environment in {env} (about 4 GB with checkpoints)", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(env / "venv")], check=True)
    asking = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(asking, check=True, capture_output=True, text=True).stdout.strip()
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES]
    subprocess.run(install, check=True)
    # A folder named in a .pth file comes after the environment's own.
    (Path(own) / "shared.pth").write_text(f"{shared}\n")
    seeded = HERE.parent / "vbench_long/weights/seeded.py"
    write = [str(python), str(HELPER), "checkpoints", str(seeded)]
    subprocess.run(write, check=True, env=home_variables(env, os.environ))
    mark.write_text(wanted)
    return python


def home_variables(env: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """`variables` with a home folder that holds the seeded checkpoints."""
    home = env / "home"
    own = {"HOME": str(home), "VBENCH_CACHE_DIR": str(home / ".cache/vbench"), "PYTHONPATH": ""}
    return {**variables, **own}


# Running


def measured(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> tuple[float, float, float]:
    """Run to the end: wall seconds, CPU seconds, peak MiB."""
    started = perf_counter()
    with (
        log.open("wb") as said,
        subprocess.Popen(command, env=variables, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}; see {log}")
    return perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10


def run_original(task: Task, python: Path, dimension: str) -> Outcome:
    """The published program on one dimension."""
    output = task.work / "original" / dimension
    videos = own_copy(task, "videos")
    for stale in (output, videos / f"{dimension}_cat_firstframes_videos"):
        shutil.rmtree(stale, ignore_errors=True)
    output.mkdir(parents=True)
    command = [
        str(python), str(HELPER), "judge", dimension, "--videos", str(videos),
        "--output", str(output), "--clips", task.clips, "--style", STYLE,
        "--tables", str(HERE.parent / "dimensions/tables"),
    ]  # fmt: skip
    log = task.work / f"original {dimension}.log"
    wall, cpu, peak = measured(command, home_variables(task.env, task.variables), log)
    result = json.loads((output / "result.json").read_text(encoding="utf-8"))
    scale = 100 if dimension == "imaging_quality" else 1  # Its overall score is scaled already.
    clips: dict[str, list[float]] = {}
    for name, score in sorted(result["clips"].items()):
        clips.setdefault(f"{name.rpartition('_')[0]}.mp4", []).append(score / scale)
    counts = Counter(result["counts"])
    return Outcome(
        overall={dimension: result["overall"]}, clips={dimension: clips},
        wall=wall, cpu=cpu, peak=peak, encoded=counts["encoded"], networks=counts["networks"],
        decoded=counts["decoded by decord"] + counts["decoded by OpenCV"], flows=counts["flows"],
    )  # fmt: skip


def run_ours(task: Task, dimensions: Sequence[str], name: str) -> Outcome:
    """This program on some dimensions, in one process."""
    from vbench_long.dimensions.base import CHECKPOINTS
    from vbench_long.leaderboard import dimension_scores
    from vbench_long.store import load_run

    output, report = task.work / name, task.work / f"{name}.json"
    shutil.rmtree(output, ignore_errors=True)
    command = [
        sys.executable, "-m", "vbench_long", "evaluate", "--backend", "reference",
        "--weights", "seeded", "--device", "cpu", "--precision", task.precision,
        "--clips", task.clips, "--dimensions", *dimensions, "--report", str(report),
        "--videos", str(manifest(own_copy(task, "videos of ours"))), "--output", str(output),
    ]  # fmt: skip
    wall, cpu, peak = measured(command, task.variables, task.work / f"{name}.log")
    counts = json.loads(report.read_text(encoding="utf-8"))
    run = load_run(output)
    records = run.records
    clips: dict[str, dict[str, list[float]]] = {}
    for record in records:
        values = record.clip_values()
        if record.dimension == "human_action":
            values = [clip["probability"] for clip in record.parts["clips"]]
        clips.setdefault(record.dimension, {})[record.video] = values
    frames = {record.video: record.parts["frames"] for record in records}
    exact = task.clips == "exact"  # Otherwise clips go through an encoder in memory, uncounted.
    networks = sum(n for backbone, n in counts["loads"].items() if backbone in CHECKPOINTS)
    overall = {s.dimension: s.score for s in dimension_scores(run)}
    return Outcome(
        overall=overall, clips=clips, wall=wall, cpu=cpu, peak=peak, frames=sum(frames.values()),
        decoded=sum(counts["frames"].values()) if exact else None, encoded=0 if exact else None,
        networks=networks, flows=counts["items"].get("raft", 0),
    )  # fmt: skip


def manifest(folder: Path) -> Path:
    """A list of the folder's videos that tells their style; prompts are the names of files."""
    videos = sorted(folder.glob("*.mp4"), key=lambda path: path.name)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "prompt", "index", "appearance_style"))
        rows.writerows((v.name, *v.stem.rsplit("-", 1), STYLE) for v in videos)
    return folder / "list.csv"


def own_copy(task: Task, name: str) -> Path:
    """A folder with the videos; the published program writes into its own."""
    folder = task.work / name
    if not folder.exists():
        folder.mkdir(parents=True)
        for path in task.videos:
            shutil.copy2(path, folder)
    return folder


def run_all(task: Task, dimensions: Sequence[str], each: bool, reuse: str) -> dict[str, Outcome]:
    """All outcomes, by program and dimension; each is stored as soon as it exists."""
    stored: dict[str, Outcome] = {}
    if task.results.exists():
        found = json.loads(task.results.read_text(encoding="utf-8"))
        stored = {name: Outcome(**value) for name, value in found.items()}
    steps = {f"original {dimension}": [dimension] for dimension in dimensions}
    steps[f"ours {task.precision} {ALL}"] = list(dimensions)
    if each:
        steps |= {f"ours {task.precision} {dimension}": [dimension] for dimension in dimensions}
    if not reuse:
        shutil.rmtree(task.work, ignore_errors=True)
    for name, judged in steps.items():
        known = name in stored and stored[name].overall.keys() == set(judged)
        if known and (reuse == ALL or reuse == name.split()[0]):
            continue
        print(name, file=sys.stderr, flush=True)
        if name.startswith("original"):
            stored[name] = run_original(task, ready_python(task.env), judged[0])
        else:
            stored[name] = run_ours(task, judged, name)
        task.results.parent.mkdir(parents=True, exist_ok=True)
        everything = {name: asdict(outcome) for name, outcome in stored.items()}
        task.results.write_text(json.dumps(everything, indent=1), encoding="utf-8")
    return {name: stored[name] for name in steps}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path.home() / ".cache/vbench-long/original-vbench"
    parser.add_argument("--videos", type=Path, nargs="+", required=True, help="folders or .mp4")
    parser.add_argument("--env", type=Path, default=default, help="outside the repository")
    parser.add_argument("--dimensions", nargs="+", choices=DIMENSIONS, default=DIMENSIONS)
    parser.add_argument("--clips", choices=("exact", "reference"), default="exact")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of ours")
    parser.add_argument("--threads", type=int, default=2, help="of each program")
    parser.add_argument("--each", action="store_true", help="ours also one dimension at a time")
    parser.add_argument("--no-golden", action="store_true", help="leave out the last table")
    parser.add_argument("--reuse", nargs="?", const=ALL, default="", choices=(ALL, "original"))
    args = parser.parse_args()
    videos = [v for path in args.videos for v in ([path] if path.is_file() else path.glob("*.mp4"))]
    if not videos or not all(re.fullmatch(r"A person is .+-\d+\.mp4", v.name) for v in videos):
        raise SystemExit("give videos called 'A person is ACTION-{i}.mp4'")
    chosen = tuple(sorted(videos, key=lambda path: path.name))
    task = Task(args.env.resolve(), chosen, args.clips, args.threads, args.precision)
    found = run_all(task, args.dimensions, args.each, args.reuse)
    original = together([found[f"original {name}"] for name in args.dimensions])
    ours = found[f"ours {task.precision} {ALL}"]
    print(f"{len(chosen)} videos, {ours.frames} frames; clips {task.clips}; {task.threads} threads")
    print(f"ours in {task.precision}, published in fp32, weights seeded\n")
    print(dimension_table(found, args.dimensions, task.precision), end="\n\n")
    print(total_table(original, ours))
    if not args.no_golden:
        print(flush=True)
        golden = [sys.executable, str(HERE / "against_golden.py")]
        subprocess.run(golden, check=True, env=task.variables)


if __name__ == "__main__":
    main()
