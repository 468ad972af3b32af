#!/usr/bin/python3 -B
"""What the scripts of bench-peers and bench-goals make of measurements, with sides and records made up here.

    check_bench_scripts.py [TEST …]     with KNLP_SRC as the source tree
"""
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest
from importlib.machinery import SourceFileLoader
from pathlib import Path
from unittest import mock

SOURCES = Path(os.environ.get("KNLP_SRC") or Path(__file__).resolve().parents[2])
sys.path.insert(0, str(SOURCES / "scripts/peers"))

import bench_other
import bench_sides
import bench_table
import bench_text
import bench_train
import goal_table
import record_file
from bench_rows import LOSS_STEPS, Row
from bench_sides import Missing
from goal_rows import Figure
from goal_rows import Row as GoalRow

MACHINE = {"cpu_model": "Test CPU", "isa": "avx512"}


def program(path):
    """A program as a module; its name has no ending."""
    loader = SourceFileLoader(Path(path).name.replace("-", "_"), str(SOURCES / path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def bench_goals():
    return program("scripts/peers/bench_goals")


class FakeSide:
    """Takes steps of a given length with given losses, and knows how much memory it held."""

    def __init__(self, seconds, shift=0.0, peak_rss_bytes=0, fails_after=None, **ready):
        self.seconds, self.shift, self.losses, self.fails_after = seconds, shift, [], fails_after
        self.peak_rss_bytes, self.closed = peak_rss_bytes, False
        self.ready = {"parameters": 10, "device": "cpu", "device_name": "", "gemm": "native", "revision": "r",
                      "machine": MACHINE} | ready

    def run(self, steps):
        if self.fails_after is not None and len(self.losses) >= self.fails_after:
            raise Missing("ended with status 1: out of memory")
        first = len(self.losses)
        self.losses += [4.0 - 0.01 * (first + i) + self.shift for i in range(steps)]
        return [self.seconds] * steps

    def close(self):
        self.closed = True


class FakeContest(bench_train.Contest):
    """Its programs are sides made up by the test; one that is a text is missing for that reason."""
    programs = {}

    def __init__(self, a, row):
        self.a, self.row, self.missing, self.sides = a, row, {}, {}
        self.scratch, self.weights, self.tokens = a.scratch, a.scratch / "weights", a.scratch / "tokens.bin"
        self.weights.mkdir(exist_ok=True)
        (self.weights / "model.safetensors").write_bytes(b"w")
        self.tokens.write_bytes(b"t")

    def speaker(self, name):
        if isinstance(self.programs[name], str):
            raise Missing(self.programs[name])
        return self.programs[name]


ROW = Row("toy", "a toy", 1, 1, 8, 8, 65, 2, rounds=10, block=2, warm_up=1, goals={"eager": 1.8, "compile": 1.5})


def numbers(value, path=()):
    """What the ledger keeps of a record: its numbers by their place."""
    if isinstance(value, list):
        value = {str(i): each for i, each in enumerate(value)}
    if isinstance(value, dict):
        return {k: v for key in value for k, v in numbers(value[key], (*path, key.replace(" ", "_"))).items()}
    return {"/".join(path): value} if isinstance(value, (int, float)) else {}


def tabled(section, record):
    """Lines that a table's function makes of a record which the ledger holds."""
    rows = {f"x/{name}": {"seq": at, "metrics": numbers(row)} for at, (name, row) in enumerate(record["rows"].items())}
    with mock.patch.object(record_file, "newest_rows", lambda: rows):
        return list(section("results/x.json", record))


class PeersCase(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        knlp = Path(directory.name) / "knlp"
        knlp.write_bytes(b"k")
        self.a = types.SimpleNamespace(scratch=Path(directory.name), knlp=knlp, threads=2, rounds=-1, llmc=None)

    def row(self, row=ROW, **programs):
        """The result of a row between these sides."""
        with mock.patch.object(bench_train, "Contest", FakeContest), \
             mock.patch.object(FakeContest, "programs", programs), mock.patch("sys.stdout", io.StringIO()):
            return bench_train.train_row(self.a, row)

    def table(self, result):
        """Lines of the page for that row alone."""
        record = {"rows": {"toy": result}}
        return tabled(bench_table.table_lines, record)[2:]


class Ratios(PeersCase):
    def test_a_ratio_is_that_of_the_medians(self):
        result = self.row(knlp=FakeSide(1.0), eager=FakeSide(2.0, 1e-4), compile=FakeSide(1.4))
        self.assertAlmostEqual(result["ratio"]["eager"]["median"], 2.0)
        self.assertEqual(result["loss"]["eager"]["steps"], LOSS_STEPS)
        self.assertAlmostEqual(result["loss"]["eager"]["max_delta"], 1e-4)
        self.assertEqual(result["sides"]["knlp"]["samples"], 20)

    def test_a_goal_is_reached_or_missed(self):
        result = self.row(knlp=FakeSide(1.0), eager=FakeSide(2.0), compile=FakeSide(1.4))
        eager, compiled = self.table(result)
        self.assertIn("≥ 1.8: reached", eager)
        self.assertIn("≥ 1.5: missed", compiled)
        self.assertIn("goal ≥ 1.5: missed", "\n".join(bench_table.lines_of_row("toy", result)))

    def test_a_missing_rival_is_named_and_has_no_ratio(self):
        result = self.row(knlp=FakeSide(1.0), eager="no PyTorch here", compile=FakeSide(1.4))
        self.assertEqual(result["missing"], {"eager": "no PyTorch here"})
        self.assertNotIn("eager", result["ratio"])
        self.assertIn("compile", result["ratio"])
        eager, _ = self.table(result)
        self.assertIn("missing: no PyTorch here", eager)
        self.assertNotIn("reached", eager)
        self.assertIn("no PyTorch here", "\n".join(bench_table.lines_of_row("toy", result)))

    def test_a_rival_that_ends_on_the_way_is_missing(self):
        result = self.row(knlp=FakeSide(1.0), eager=FakeSide(2.0, fails_after=5), compile=FakeSide(1.4))
        self.assertIn("out of memory", result["missing"]["eager"])
        self.assertNotIn("eager", result["ratio"])

    def test_disagreeing_losses_leave_no_ratio(self):
        result = self.row(knlp=FakeSide(1.0), eager=FakeSide(2.0, 2e-3), compile=FakeSide(1.4))
        self.assertFalse(result["loss"]["eager"]["agree"])
        self.assertNotIn("eager", result["ratio"])
        eager, _ = self.table(result)
        self.assertIn("no ratio", eager)
        self.assertIn("2.0e-03", eager)
        self.assertNotIn("reached", eager)

    def test_bf16_may_differ_by_more(self):
        row = Row("toy", "a toy", 1, 1, 8, 8, 65, 2, precision="bf16", warm_up=1)
        result = self.row(row, knlp=FakeSide(1.0), eager=FakeSide(2.0, 1.9e-2), compile=FakeSide(2.0, 2.1e-2))
        self.assertEqual(list(result["ratio"]), ["eager"])

    def test_too_few_samples_leave_no_ratio(self):
        self.a.rounds = 3                            # of two steps: one less than a ratio needs
        result = self.row(knlp=FakeSide(1.0), eager=FakeSide(2.0), compile=FakeSide(1.4))
        self.assertEqual(result["sides"]["eager"]["samples"], 6)
        self.assertEqual(result["ratio"], {})
        self.assertIn("too few samples for a ratio", self.table(result)[0])

    def test_without_knlp_there_is_no_row(self):
        with self.assertRaisesRegex(RuntimeError, "knlp: no binary"):
            self.row(knlp="no binary", eager=FakeSide(2.0), compile=FakeSide(1.4))

    def test_every_side_is_closed(self):
        sides = {"knlp": FakeSide(1.0), "eager": FakeSide(2.0), "compile": FakeSide(1.4)}
        self.row(**sides)
        self.assertTrue(all(side.closed for side in sides.values()))


class Memory(PeersCase):
    ROW = Row("toy", "a toy", 1, 1, 8, 8, 65, 2, warm_up=2, goals={"eager": 0.7}, measure="peak_rss")

    def test_the_part_of_the_peak_is_judged_downwards(self):
        result = self.row(self.ROW, knlp=FakeSide(1.0, peak_rss_bytes=6 << 20),
                          eager=FakeSide(1.0, peak_rss_bytes=10 << 20), compile=FakeSide(1.0, peak_rss_bytes=8 << 20))
        self.assertAlmostEqual(result["ratio"]["eager"]["median"], 0.6)
        self.assertEqual(result["loss"]["eager"]["steps"], 3)
        self.assertIn("≤ 0.7: reached", self.table(result)[0])

    def test_disagreeing_losses_leave_no_part(self):
        result = self.row(self.ROW, knlp=FakeSide(1.0, peak_rss_bytes=6 << 20),
                          eager=FakeSide(1.0, 0.1, peak_rss_bytes=10 << 20), compile="not there")
        self.assertEqual(result["ratio"], {})
        self.assertEqual(result["missing"], {"compile": "not there"})


class KeptLosses(PeersCase):
    def path(self, name="eager", **ready):
        contest = FakeContest(self.a, ROW)
        contest.sides = {"knlp": FakeSide(1.0), name: FakeSide(1.0, **ready)}
        return bench_train.LossStore(contest).path(name)

    def test_another_library_route_device_or_instruction_set_is_another_entry(self):
        paths = [self.path(), self.path(torch="2.11.0"), self.path(torch="2.15.0"), self.path(gemm="aten"),
                 self.path(device="cuda"), self.path(isa="AVX2"),
                 self.path(machine=MACHINE | {"isa": "avx2"})]
        self.assertEqual(len(set(paths)), len(paths))
        self.assertEqual(self.path(torch="2.11.0"), paths[1])

    def test_kept_losses_are_not_computed_again(self):
        programs = {"knlp": FakeSide(1.0), "eager": FakeSide(2.0), "compile": FakeSide(1.4)}
        self.row(**programs)
        again = {name: FakeSide(1.0) for name in programs}
        result = self.row(**again)
        self.assertEqual(result["loss"]["eager"]["steps"], LOSS_STEPS)
        self.assertEqual(len(again["eager"].losses), 21, "one to warm up, ten turns of two")


def goal_record(results, noisy=False, valid=True, **more):
    return {"what": "x", "noisy": noisy, "valid": valid, "invalid_reason": None if valid else "memory was slow",
            "utc": "2026-01-02T03:04:05Z", "revision": "r", "machine": MACHINE, "threads": 2, "results": results} | more


class Goals(unittest.TestCase):
    def verdict(self, value, **bounds):
        return Figure("f", "x", "ratio", ".2f", **bounds).verdict(value)

    def test_figures_are_reached_up_to_their_bounds(self):
        self.assertEqual(self.verdict(0.85, at_least=0.85), "reached")
        self.assertEqual(self.verdict(0.849, at_least=0.85), "missed")
        self.assertEqual(self.verdict(1.3, at_most=1.3), "reached")
        self.assertEqual(self.verdict(1.31, at_most=1.3), "missed")
        self.assertEqual(self.verdict(0.96, at_least=0.97, at_most=1.03), "missed")
        self.assertEqual(self.verdict(1.04, at_least=0.97, at_most=1.03), "missed")
        self.assertEqual(self.verdict(1.0, at_least=0.97, at_most=1.03), "reached")
        self.assertEqual(self.verdict(7), "", "without a goal")

    def test_values_lie_where_the_pointer_says(self):
        record = goal_record({"ratio": 2}, median_s=3, details={"sum_over_step": 1})
        for key, value in (("ratio", 2), ("median_s", 3), ("details/sum_over_step", 1), ("gone", None),
                           ("details/gone/deeper", None)):
            item = Figure("f", "x", key, ".2f")
            self.assertEqual(item.value({"x": record}), value)
            if value is not None:
                found = {"rows": {"r": {"records": {"x": record}}}}
                self.assertIn(f"{value:.2f} ", tabled(lambda path, _: [record_file.figure(path, item.pointer("r"), ".2f")],
                                                      found)[0])

    def test_a_value_without_doubts_stands_alone(self):
        row = GoalRow("r", "a row", ("step",), (Figure("f", "x", "ratio", ".2f", at_least=1),))
        lines = list(goal_table.lines_of_row(row, {"x": goal_record({"ratio": 2})}))
        self.assertEqual(lines[1].strip(), "f: 2.00, goal ≥ 1: reached")

    def test_doubts_are_shown_beside_the_value(self):
        row = GoalRow("r", "a row", ("step",), (Figure("f", "x", "ratio", ".2f", at_least=1),
                                                Figure("g", "x", "gone", ".2f")))
        lines = list(goal_table.lines_of_row(row, {"x": goal_record({"ratio": 0.5}, noisy=True, valid=False)}))
        self.assertIn("f: 0.50, goal ≥ 1: missed (noisy; INVALID: memory was slow)", lines[1])
        self.assertIn("g: not in knlp's record", lines[2])

    def test_a_breakdown_is_kept_without_its_regions(self):
        details = {"sum_over_step": 1, "groups": [{"group": "head"}], "nodes": [{"name": "step"}]}
        kept = bench_goals().row_of({"step": goal_record({}, details=details), "x": goal_record({}, details=None)})
        self.assertEqual(kept["records"]["step"]["details"], {"sum_over_step": 1, "groups": [{"group": "head"}]})
        self.assertNotIn("details", kept["records"]["x"])
        self.assertNotIn("machine", kept["records"]["x"])

    def test_single_samples_are_not_kept(self):
        kept = bench_goals().kept(goal_record({"attention_ms": 1}, details={"attention_s": [0.001] * 9}))
        self.assertEqual((kept["details"], kept["results"]), ({}, {"attention_ms": 1}))

    def test_a_run_has_reached_the_step_of_its_last_whole_line(self):
        with tempfile.TemporaryDirectory() as directory:
            metrics = Path(directory) / "metrics.jsonl"
            self.assertEqual(bench_goals().step_reached(metrics), 0)
            lines = "".join(f'{{"t":1,"step":{step},"loss":2.5}}\n' for step in range(0, 1200, 10))
            metrics.write_text(lines + '{"t":1,"ste')
            self.assertEqual(bench_goals().step_reached(metrics), 1190)
            metrics.write_text(lines + '{"t":1,"step":12')
            self.assertEqual(bench_goals().step_reached(metrics), 1190)

    def test_the_table_of_a_step_has_a_line_for_each_group_that_takes_time(self):
        group = {"ms": 12.34, "share": 0.5, "gflops": 400.0, "bytes": 2e6, "roof_share": 0.9, "limit": "compute"}
        rest = {"ms": 1.0, "share": 0.1, "gflops": None, "bytes": 0, "roof_share": None, "limit": None}
        details = {"step_ms": 25.0, "sum_over_step": 0.995, "groups": [
            group | {"group": "attention"}, rest | {"group": "other"}, rest | {"group": "data", "ms": 0.0}]}
        step = bench_goals().kept(goal_record({}, details=details))
        record = {"machine": MACHINE, "threads": 2, "rows": {"step-256-fp32": {"records": {"step": step}}}}
        text = "\n".join(tabled(goal_table.step_section, record))
        attention = next(line for line in text.split("\n") if line.startswith("| attention |"))
        for shown in ("12.3 ", "50.0 ", "400 ", "2 ", "90 ", "compute",
                      "metric=records/step/details/groups/0/ms"):
            self.assertIn(shown, attention)
        self.assertIn("99.5 ", text)
        self.assertIn("124M B4 T256, fp32, ", text)
        self.assertIn(": 25.0 ", text)
        self.assertIn("| other | 1.0", text)
        self.assertNotIn("| data |", text)

    def test_a_record_without_a_breakdown_has_no_such_table(self):
        record = {"machine": MACHINE, "threads": 2, "rows": {"step-256-fp32": {"records": {"step": goal_record({})}}}}
        self.assertEqual(tabled(goal_table.step_section, record), [])


class Records(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        sources = mock.patch.object(record_file, "SOURCES", Path(self.directory.name))
        sources.start()
        self.addCleanup(sources.stop)
        ledger = mock.patch.object(record_file, "add_to_ledger")
        ledger.start()
        self.addCleanup(ledger.stop)

    def test_another_processor_of_the_same_name_has_a_record_of_its_own(self):
        small, large = {**MACHINE, "l1d_bytes": 32768}, {**MACHINE, "l1d_bytes": 49152}
        paths = [record_file.merge("knlp", "goals", "make", machine, 2, name, {}).name
                 for name, machine in (("a", small), ("b", large), ("c", small))]
        self.assertEqual(paths, ["test-cpu-2-threads.json", "test-cpu-l1-48-kib-2-threads.json",
                                 "test-cpu-2-threads.json"])


def script(directory, name, text):
    """A program in Python that stands for a rival."""
    path = Path(directory) / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


class Llmc(unittest.TestCase):
    """llm.c's side beside a program that writes what train_gpt2 writes."""

    def side(self, steps, last="", timeout=20):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = script(directory.name, "train_gpt2", f"""
import time
print("[GPT-2]")
for step in range({steps}):
    time.sleep(0.01)
    print(f"step {{step}}: train loss {{5 - step / 100:f}} (took {{10 + step:f}} ms)")
{last}
""")
        side = bench_sides.LlmcSide(path, directory.name, dict(os.environ), timeout)
        self.addCleanup(side.close)
        return side

    def test_steps_have_their_own_times_and_losses(self):
        side = self.side(41)
        self.assertEqual(side.run(3), [0.010, 0.011, 0.012])
        self.assertEqual(side.losses, [5.0, 4.99, 4.98])

    def test_the_step_that_was_paused_is_left_out(self):
        side = self.side(41)
        side.run(2)
        self.assertEqual(side.run(2), [0.013, 0.014], "step 2 was under way")
        self.assertEqual(len(side.losses), 5)

    def test_it_takes_forty_steps_at_most(self):
        side = self.side(41)
        self.assertEqual(len(side.run(30)), 30)
        self.assertEqual(len(side.run(30)), 9)
        self.assertEqual(side.run(5), [])

    def test_an_early_end_names_what_it_said(self):
        side = self.side(2, 'print("Error: out of memory")')
        with self.assertRaisesRegex(Missing, "llm.c ended early: .*out of memory"):
            side.run(3)

    def test_a_program_that_says_nothing_is_given_up(self):
        side = self.side(0, "time.sleep(60)", timeout=0.3)
        with self.assertRaisesRegex(Missing, "no step within"):
            side.run(1)


class Llama(unittest.TestCase):
    def asked(self, directory, text, gguf="model.gguf"):
        program = script(directory, "llama-bench", text)
        return types.SimpleNamespace(llama=Path(directory), gguf=gguf, threads=2, scratch=Path(directory),
                                     timeout=20), program

    def test_rates_are_those_of_its_repetitions(self):
        answer = json.dumps([{"samples_ts": [50.0, 51.0, 52.0], "model_n_params": 124439808}])
        with tempfile.TemporaryDirectory() as directory:
            a, program = self.asked(directory, f"""
import sys
words = sys.argv[1:]
assert words[words.index("-t") + 1] == "2" and words[words.index("-m") + 1] == "model.gguf", words
print({answer!r})
""")
            self.assertEqual(bench_other.llama_program(a), program)
            rates, test = bench_other.llama_rates(a, program)
        self.assertEqual(rates, [50.0, 51.0, 52.0])
        self.assertEqual(test["model_n_params"], 124439808)

    def test_what_lacks_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            a, program = self.asked(directory, "import sys\nsys.exit('no such model')", gguf=None)
            with self.assertRaisesRegex(Missing, "LLAMA_GGUF="):
                bench_other.llama_program(a)
            a.gguf = "none.gguf"
            with self.assertRaisesRegex(Missing, "llama-bench ended with 1: no such model"):
                bench_other.llama_rates(a, program)
            program.unlink()
            with self.assertRaisesRegex(Missing, "has no llama-bench"):
                bench_other.llama_program(a)


class Tokens(unittest.TestCase):
    def test_bytes_characters_or_words_become_ids(self):
        self.assertEqual(list(bench_text.ids_of("aé", 257)), [97, 0xC3, 0xA9])
        self.assertEqual(list(bench_text.ids_of("aab", 3)), [0, 0, 1])
        self.assertEqual(list(bench_text.ids_of("abc", 2))[1:], [1, 1], "the last id is for all the rest")

    def test_a_token_file_for_llmc_has_its_header(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "d/tokens.bin"
            bench_text.make_llmc_tokens(path, bench_text.ids_of("ab", 257))
            data = path.read_bytes()
        self.assertEqual(len(data), 1024 + 2 * 2)
        self.assertEqual([int.from_bytes(data[i:i + 4], "little") for i in (0, 4, 8)], [20240520, 1, 2])
        self.assertEqual(data[1024:], b"a\0b\0")


class Gpu(unittest.TestCase):
    def agree(self, device, processor, exact):
        return program("scripts/check-gpu").judge_losses(device, processor, exact)[0]

    def test_losses_may_be_apart_by_the_noise_of_bf16(self):
        processor, exact = 200 * [3.0], 150 * [3.1] + 50 * [3.0]
        self.assertTrue(self.agree(150 * [3.14] + 50 * [3.0], processor, exact))
        self.assertFalse(self.agree(150 * [3.16] + 50 * [3.0], processor, exact))

    def test_without_noise_they_may_be_apart_by_two_hundredths(self):
        self.assertTrue(self.agree(200 * [3.019], 200 * [3.0], 200 * [3.0]))
        self.assertFalse(self.agree([3.021] + 199 * [3.0], 200 * [3.0], 200 * [3.0]))

    def test_they_may_not_end_elsewhere(self):
        processor, exact = 200 * [3.0], 150 * [3.2] + 50 * [3.0]
        self.assertFalse(self.agree(150 * [3.0] + 50 * [3.05], processor, exact))

    @unittest.skipIf(Path("/proc/driver/nvidia/version").exists(), "there is a device")
    def test_without_a_device_the_status_is_5_and_one_line_says_why(self):
        done = subprocess.run([sys.executable, "-B", SOURCES / "scripts/check-gpu"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 5)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"^check-gpu: no CUDA device: .*\n$")


class Cache(unittest.TestCase):
    def test_a_cold_start_sees_nothing_but_the_text(self):
        with tempfile.TemporaryDirectory() as directory:
            home = Path(directory) / "home/knlp"
            (home / "linux-doc").mkdir(parents=True)
            (home / "gemm-routes").mkdir()
            with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(home.parent)}):
                given = bench_goals().empty_cache(types.SimpleNamespace(scratch=Path(directory)))
            self.assertEqual(os.listdir(Path(given["XDG_CACHE_HOME"]) / "knlp"), ["linux-doc"])


if __name__ == "__main__":
    unittest.main()
