#!/usr/bin/env python3
"""Checks kernels without a device. It compiles .cu files for every generation of GPUs and reports
spills, registers and shared memory beyond tests/gate/limits.toml. It also reports arithmetic that
differs from the CPU's (common/device_code.h): contracted, approximate, flushed to zero, of
undefined order.

Usage: device_code.py [FILE.cu...]
  FILE.cu   default: all outside of tests/, and tests/gate/probe.cu

Needs deploy/install.sh --nvcc. Prints the needs of each kernel, then the findings, then lines for
kernels that limits.toml does not know. Exit status 1 when there is a finding.
"""

import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
NVCC = pathlib.Path(os.environ.get("MENTOR_NVCC", ROOT / ".deps/nvcc"), "nvidia/cu13/bin/nvcc")
LIMITS = tomllib.loads((ROOT / "tests/gate/limits.toml").read_text())
# The same flags as in every build.
FLAGS = [
    line
    for line in (ROOT / "cmake/device_flags.txt").read_text().splitlines()
    if line.startswith("-")
]

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?, (\d+) bytes smem)?")
PTX_FUNCTION = re.compile(r"^(?:\.\w+ )*\.(entry|func) .*?(\w+)\($", re.MULTILINE)
INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s", re.MULTILINE)
FATBIN = re.compile(r" \.nv_fatbin +PROGBITS +\S+ (\S+) (\S+)")
FATBIN_MAGIC, PTX, MACHINE_CODE = 0xBA55ED50, 1, 2
FLOAT = re.compile(r"\.(b?f16|b?f16x2|f32|f32x2|f64)\b")


class Kernel:
    """The needs of one kernel on one generation."""

    def __init__(self, mangled, generation):
        # void mentor::kernels::RunPhases<mentor::kernels::Probe<2>, 640ul>(..): see run_phases.cuh.
        name = re.sub(r"\bmentor::\w+::", "", run(["c++filt", mangled]).stdout.strip())
        phases = re.search(r"\bRunPhases<(.*), (\d+)ul>\(", name)
        self.name = (phases[1] if phases else name).replace("> >", ">>")
        self.shared_bytes = int(phases[2]) if phases else 0
        self.mangled, self.generation = mangled, generation
        self.registers = self.stack_bytes = self.spilled_bytes = 0
        self.instructions = {}  # How often, in the PTX.

    def __str__(self):
        return (
            f"{self.name} sm_{self.generation}: {self.registers} registers, "
            f"{self.shared_bytes} bytes of shared memory"
        )


def run(command):
    return subprocess.run(command, capture_output=True, text=True)


def sources():
    """The files with kernels."""
    # Not of the tests, nor of builds and their copies, such as build-mutants.
    folders = [path for path in ROOT.glob("[a-z]*/") if not re.match("tests|build", path.name)]
    files = sorted(file for folder in folders for file in folder.rglob("*.cu"))
    files.append(ROOT / "tests/gate/probe.cu")
    return [file for file in files if re.search("DeviceKernelOf<|__global__", file.read_text())]


def compile_kernels(source, flags=FLAGS, generations=LIMITS["generations"]):
    """The kernels of a .cu file on each generation, as the compiler's last stages describe them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [NVCC, "-std=c++20", *flags, f"-I{ROOT}"]
        for one in generations:
            command += ["-gencode", f"arch=compute_{one},code=sm_{one}"]
        command += ["-Xptxas=-v", "-keep", "-keep-dir", folder, "-fatbin", source]
        done = run([*command, "-o", f"{folder}/all.fatbin"])
        if done.returncode != 0:
            raise RuntimeError(f"{source} does not compile:\n{done.stdout}{done.stderr}")
        kernels = []
        for line in done.stderr.splitlines():
            if match := ENTRY.search(line):
                kernels.append(Kernel(match[1], int(match[2])))
            elif match := FRAME.search(line):
                kernels[-1].stack_bytes += int(match[1])
                kernels[-1].spilled_bytes += int(match[2]) + int(match[3])
            elif match := USED.search(line):
                kernels[-1].registers = int(match[1])
                kernels[-1].shared_bytes += int(match[2] or 0)
        for generation in generations:
            stem = pathlib.Path(source).stem
            # For a single generation, the file's name does not contain it.
            names = [f"{stem}.compute_{generation}.ptx", f"{stem}.ptx"]
            ptx = next(p for name in names if (p := pathlib.Path(folder, name)).exists())
            bodies = instructions(ptx.read_text())
            for kernel in kernels:
                if kernel.generation == generation:
                    kernel.instructions = bodies[kernel.mangled]
        return kernels


def instructions(ptx):
    """{name of a kernel: {instruction: how often}}. What a kernel calls shows as `call`."""
    starts = list(PTX_FUNCTION.finditer(ptx))
    bodies = {}
    for start, end in zip(starts, starts[1:] + [None]):
        counts = {}
        for name in INSTRUCTION.findall(ptx[start.end() : end.start() if end else len(ptx)]):
            counts[name] = counts.get(name, 0) + 1
        if start[1] == "entry":
            bodies[start[2]] = counts
    return bodies


def inside(program):
    """What a program holds of each .cu file: {(PTX or MACHINE_CODE, generation): kernels}. The PTX
    is compressed, so its kernels are not read."""
    sections = run(["readelf", "--section-headers", "--wide", program]).stdout
    place = FATBIN.search(sections)
    begin, size = (int(word, 16) for word in place.groups()) if place else (0, 0)
    data = pathlib.Path(program).read_bytes()[begin : begin + size]
    found, at = [], 0
    while at < size:
        magic, head, length = struct.unpack_from("<I2xHQ", data, at)
        if magic != FATBIN_MAGIC:
            raise RuntimeError(f"{program}: no fatbin at byte {at} of .nv_fatbin")
        found.append({})
        at, end = at + head, at + head + length
        while at < end:
            kind, head, length, generation = struct.unpack_from("<H2xIQ12xI", data, at)
            names = re.findall(rb"\.text\.(\w+)\0", data[at + head : at + head + length])
            found[-1][kind, generation] = {Kernel(one.decode(), generation).name for one in names}
            at += head + length
    return found


def fault_of(instruction, fused_doubles):
    """Returns why an instruction may give other bits than the CPU, or None."""
    operation = instruction.split(".")[0]
    of_floats = FLOAT.search(instruction)
    if ".ftz" in instruction:
        return "flushes to zero"
    if ".approx" in instruction or ".full" in instruction:
        return "is an approximation"
    if operation.startswith("call"):
        return "calls what should be compiled into the kernel"
    if operation in ("mma", "wmma", "wgmma", "tcgen05"):
        return "sums in an order of its own"
    if not of_floats:
        return None
    if operation in ("atom", "red"):
        return "sums in the order of arrival"
    if operation == "fma" and of_floats[1] == "f64" and not fused_doubles:
        return "is a product and a sum of doubles, contracted"
    if operation in ("add", "sub", "mul", "div", "fma", "mad", "rcp", "sqrt"):
        return None if ".rn" in instruction else "is not bound to its rounding: may be contracted"
    return None


def findings_of(kernel, limits=LIMITS["kernels"]):
    limit = limits.get(kernel.name, {})
    found = []
    if not limit:
        found.append(f"{kernel}; '{kernel.name}' has no line in tests/gate/limits.toml")
    for what, most in limit.items():
        if what != "fused_doubles" and getattr(kernel, what) > most:
            found.append(f"{kernel}; {what} are limited to {most}")
    if kernel.spilled_bytes:
        found.append(f"{kernel}; spills {kernel.spilled_bytes} bytes")
    elif kernel.stack_bytes:
        found.append(
            f"{kernel}; {kernel.stack_bytes} bytes of local memory: an array has an index that "
            "only the run knows, or something was not inlined"
        )
    for instruction, count in sorted(kernel.instructions.items()):
        fault = fault_of(instruction, limit.get("fused_doubles", False))
        if fault:
            found.append(f"{kernel}; {instruction} ({count} times) {fault}")
    return found


def look_at_all(generations):
    """The names of all kernels, and what is wrong with them."""
    names, findings = set(), []
    for source in sources():
        for kernel in compile_kernels(source, generations=generations):
            print(kernel)
            names.add(kernel.name)
            findings += findings_of(kernel)
    return names, findings


def main(arguments):
    if arguments and arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments[0] in ("-h", "--help") else 2
    if not NVCC.exists():
        print(f"{NVCC} is missing: run deploy/install.sh --nvcc", file=sys.stderr)
        return 1
    findings, new = [], {}
    for source in arguments or sources():
        for kernel in compile_kernels(source):
            print(kernel)
            findings += findings_of(kernel)
            if kernel.name not in LIMITS["kernels"]:
                registers, shared_bytes = new.get(kernel.name, (0, 0))
                new[kernel.name] = (
                    max(registers, kernel.registers),
                    max(shared_bytes, kernel.shared_bytes),
                )
    for finding in findings:
        print("FOUND", finding)
    if new:
        print("Lines for tests/gate/limits.toml, as it is now:")
    for name, (registers, shared_bytes) in sorted(new.items()):
        print(f'"{name}" = {{ registers = {registers}, shared_bytes = {shared_bytes} }}')
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
