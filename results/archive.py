"""The archive of raw rows: archive.tar.xz, whose SHA-256 is in archive.sha256.

    numbers.csv              claim,run,numbers: every number of each row of claims.csv, as there
    curves/CLAIM-RUN.csv     measured metrics against environment steps: at most 200 points
    lives/CLAIM-RUN.csv      evaluated lives
    evaluations.csv          lives of `mentor evaluate` that pages quote; ml10_ppo_training.csv, too

A line of lives is a life. Its columns are those of records/lifetimes.csv in a run's folder, but for
two. `successes` has a digit for each episode; those without noise come last. `returns` are of the
shaped reward, with four digits. Where no life succeeds they are those of all episodes; else two
means, of the last iteration and without noise. The column `evaluation` of claims.csv is a hash over
all episodes in full.

`tar -xf results/archive.tar.xz` unpacks it. Standard library only.
"""

import csv
import hashlib
import io
import lzma
import statistics
import tarfile

import data_files
from data_files import RESULTS, Mistake, rows_of

ARCHIVE = RESULTS / "archive.tar.xz"
# Text has no alignment. The same bytes each time.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
TASK = (
    "teacher,split,environment,lifetime,goal,goal_seed,has_goals,seed,lifetime_episodes,"
    "segment_episodes"
).split(",")
LIVES = [*TASK, "successes", "returns"]


def read(file=None):
    """The files of the archive by name, as text; {} where there is none. Raises Mistake."""
    file = file or ARCHIVE
    if not file.exists():
        return {}
    data = file.read_bytes()
    wanted = file.with_name("archive.sha256").read_text(encoding="utf-8").split()[0]
    if hashlib.sha256(data).hexdigest() != wanted:
        raise Mistake(f"{file}: is not the file that archive.sha256 names; get both again")
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data))) as tar:
        members = [member for member in tar if member.isfile()]
        return {one.name: tar.extractfile(one).read().decode("utf-8") for one in members}


def write(files, file=None):
    """Writes the archive and its hash."""
    file = file or ARCHIVE
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in sorted(files.items()):
            member = tarfile.TarInfo(name)
            data = text.encode("utf-8")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = lzma.compress(packed.getvalue(), filters=FILTERS)
    data_files.write(file, data)
    line = f"{hashlib.sha256(data).hexdigest()}  {file.name}\n"
    data_files.write(file.with_name("archive.sha256"), line.encode("utf-8"))


def returns_of(life, succeeds):
    values = [float(word) for word in life["episode_return"].split()]
    learned = int(life["lifetime_episodes"])
    if values and succeeds:
        parts = [int(word) for word in life["segment_episodes"].split()] or [learned]
        last = values[learned - (parts[-1] or learned) : learned]
        values = [statistics.fmean(part) for part in (last, values[learned:]) if part]
    return " ".join(f"{value:.4g}" for value in values)


def lives_of(text, name):
    """Lives of the archive from lives in full, as records/lifetimes.csv has them."""
    lives = list(rows_of(text, name, [*TASK, "episode_success", "episode_return"]))
    succeeds = any("1" in life["episode_success"] for life in lives)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(LIVES)
    for life in lives:
        successes = life["episode_success"].replace(" ", "")
        task = [life[column] for column in TASK]
        table.writerow([*task, successes, returns_of(life, succeeds)])
    return out.getvalue()


def curve_of(text, name, metrics):
    """A curve from the metrics of all outer updates: means over blocks, with five digits."""
    updates = list(rows_of(text, name, ["env_steps", *metrics]))
    block = -(-len(updates) // 200) or 1
    lines = [",".join(["env_steps", *metrics])]
    for begin in range(0, len(updates), block):
        part = updates[begin : begin + block]
        cells = [part[-1]["env_steps"]]
        for metric in metrics:
            known = [float(update[metric]) for update in part if update[metric]]
            cells.append(f"{statistics.fmean(known):.5g}" if known else "")
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"
