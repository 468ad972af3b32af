#include "train_command.h"

#include "knlp/core/json.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

TEST(TrainCommand, TrainsAndShowsThePathOfTheReport) {
    NEEDS_BINARY();
    const Command train;
    const Finished done = train({"--out", "a", "--max-iters", "4"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, testing::HasSubstr("a/report.html"));
    EXPECT_TRUE(fs::exists(train.runs.run("a") / "report.html"));
}

TEST(TrainCommand, JsonNamesTheRunOnStdoutAlone) {
    NEEDS_BINARY();
    const Command train;
    const Finished done = train({"--out", "a", "--max-iters", "2", "--json"});
    EXPECT_EQ(done.status, 0) << done.err;
    const auto result = nlohmann::json::parse(done.out);
    EXPECT_EQ(result["status"], 0);
    EXPECT_EQ(fs::path(result["run_directory"].get<std::string>()).filename(), "a");
}

TEST(TrainCommand, EvalOnlyPrintsTheLossThatTheRunEndedWith) {
    NEEDS_BINARY();
    const Command train;
    ASSERT_EQ(train({"--out", "a", "--max-iters", "4"}).status, 0);
    const auto last = events(train.runs.run("a"), "eval").back();
    const Finished json = train({"--resume", "a", "--eval-only", "--json"});
    EXPECT_EQ(json.status, 0) << json.err;
    const auto measured = nlohmann::json::parse(json.out);
    EXPECT_EQ(measured["step"], 4);
    for (const char* name : {"val_loss", "val_se", "eval_tokens", "batches_sha256"})
        EXPECT_EQ(measured[name], last[name]) << name;
    const Finished text = train({"--eval-only", "--out", "b"});
    EXPECT_THAT(text.out, testing::StartsWith("step 0: val loss "));
    EXPECT_FALSE(fs::exists(train.runs.run("b")));
}

TEST(TrainCommand, FlagsAreOverridesWithTheirOrigin) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "a", "--max-iters", "3", "--seed", "5"}).status, 0);
    const auto resolved = read_json(train.runs.run("a") / "config.resolved.json");
    EXPECT_EQ(resolved["GPT2_MAX_ITERS"]["value"], 3);
    EXPECT_EQ(resolved["GPT2_MAX_ITERS"]["origin"], "flag");
    EXPECT_EQ(resolved["SEED"]["value"], 5);
}

TEST(TrainCommand, SignalsEndWithTheirStatusAndTheRunGoesOn) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    for (const auto& [signal, status] :
         std::map<std::string, int>{{"INT", 130}, {"TERM", 75}, {"USR1", 75}}) {
        EXPECT_EQ(train.stopped(signal, signal, 3).status, status) << signal;
        EXPECT_EQ(read_json(train.runs.run(signal) / "status.json")["state"], "preempted");
        const Finished resumed =
            train({"--resume", signal, "--max-iters", "1000000", "--max-tokens",
                   std::to_string(
                       96 * (1 + read_json(newest(train.runs.run(signal)) / "state.json")["step"]
                                     .get<int64_t>()))});
        EXPECT_EQ(resumed.status, 0) << resumed.err;
    }
}

TEST(TrainCommand, ResumeWithoutADirectoryTakesTheNewestInterruptedRun) {
    NEEDS_BINARY();
    const Command train;
    const Finished none = train({"--resume"});
    EXPECT_EQ(none.status, 2);
    EXPECT_THAT(none.err, testing::HasSubstr("no interrupted run"));
    EXPECT_EQ(train({"--out", "finished", "--max-iters", "2"}).status, 0);
    EXPECT_EQ(train.stopped("elsewhere", "KILL", 3).status, 137);  // not below OUTPUT_DIR/runs
    const Finished resumed = train({"--resume", "--max-iters", "100000", "--max-tokens", "1"});
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_EQ(read_json(train.runs.run("elsewhere") / "status.json")["state"], "done");
    EXPECT_EQ(train({"--resume"}).status, 2);
}

TEST(TrainCommand, KilledBetweenTrainingAndItsEndTheRunIsNotDoneAndGoesOn) {
    NEEDS_BINARY();
    const fs::path shim = binary_directory() / "crash_shim.so";
    if (!fs::exists(shim)) GTEST_SKIP() << shim << " is not built";
    const Command train;
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    for (const std::string file : {"eval_windows.f32", "samples.txt", "summary.json"}) {
        const fs::path run = train.runs.run("killed-" + file);
        const Finished killed = train({"--out", run.filename().string()},
                                      {{"LD_PRELOAD", shim.string()},
                                       {"KNLP_CRASH_AT", "1"},
                                       {"KNLP_CRASH_BELOW", (run / ("." + file)).string()}});
        EXPECT_EQ(killed.status, 137) << file << killed.err;
        EXPECT_EQ(read_json(run / "status.json")["state"], "running");
        const Finished resumed = train({"--resume"});  // the newest that can go on
        EXPECT_EQ(resumed.status, 0) << resumed.err;
        EXPECT_EQ(read_json(run / "status.json")["state"], "done");
        EXPECT_EQ(events(train.runs.run("straight")), events(run)) << file;
        for (const char* name : {"eval_windows.f32", "samples.txt"})
            EXPECT_TRUE(same_bytes(train.runs.run("straight") / name, run / name)) << name;
        EXPECT_TRUE(fs::exists(run / "report.html"));
    }
}

TEST(TrainCommand, ASignalWhileItWritesTheSampleLeavesARunThatGoesOn) {
    NEEDS_BINARY();
    const Command train;
    const Finished stopped = run_shell(
        "\"$KNLP\" train --out a --set GPT2_GENERATION_MAX_TOKENS=1000000 & pid=$!; "
        "until [ -e a/eval_windows.f32 ]; do kill -0 $pid 2>/dev/null || break; done; "
        "kill -INT $pid; wait $pid",
        train.runs.path());
    EXPECT_EQ(stopped.status, 130) << stopped.err;
    EXPECT_EQ(read_json(train.runs.run("a") / "status.json")["state"], "preempted");
    EXPECT_FALSE(fs::exists(train.runs.run("a") / "samples.txt"));
    const Finished resumed = train({"--resume", "--set", "GPT2_GENERATION_MAX_TOKENS=8"});
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_EQ(read_json(train.runs.run("a") / "status.json")["state"], "done");
    EXPECT_TRUE(fs::exists(train.runs.run("a") / "samples.txt"));
}

TEST(TrainCommand, DamagedWeightsEndWithStatus3WhereverTheyAreUsed) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "a", "--max-iters", "2"}).status, 0);
    const fs::path weights = newest(train.runs.run("a")) / "model.safetensors";
    std::string bytes = bytes_of(weights);
    bytes[bytes.size() - 3] ^= 1;
    std::ofstream(weights, std::ios::binary) << bytes;
    for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
             {"generate", "--model", "a", "--prompt", "x", "--max-tokens", "1"},
             {"eval", "--model", "a", "--task", "loss"},
             {"convert", "--to", "hf", "--model", "a", "--out", "exported"},
             {"train", "--init-from", "a", "--out", "b"}}) {
        const Finished refused = run_knlp(verb, train.runs.path());
        EXPECT_EQ(refused.status, 3) << verb[0] << refused.err;
        EXPECT_THAT(refused.err, testing::HasSubstr("model.safetensors: damaged")) << verb[0];
    }
}

TEST(TrainCommand, DryRunSaysWhatWouldBeDoneAndStartsAtTheLossOfGuessing) {
    NEEDS_BINARY();
    const Command train;
    const Finished dry = train({"--dry-run"});
    EXPECT_EQ(dry.status, 0) << dry.err;
    for (const char* part :
         {"model    gpt2", "group    ", "update   adamw", "data     ", "not looked at",
          "batch    6 sequences", "1 thread,",
          "budget   10 steps; cosine from 0.01 after a warm-up of 2 steps", "nothing was written"})
        EXPECT_THAT(dry.err, testing::HasSubstr(part));
    const size_t at = dry.err.find("loss ");
    ASSERT_NE(at, std::string::npos) << dry.err;
    EXPECT_NEAR(std::stod(dry.err.substr(at + 5)), std::log(257), 0.1);
}

TEST(TrainCommand, ChangedSymbolOnResumeEndsWithStatus2AndTheList) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "a"}).status, 0);
    const Finished refused = train({"--resume", "a", "--set", "LEARNING_RATE=3e-3"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, testing::HasSubstr("E_RESUME_MISMATCH"));
    EXPECT_THAT(refused.err, testing::HasSubstr("LEARNING_RATE=3e-3 (was 1e-2)"));
}

TEST(TrainCommand, WithoutAConfigurationEndsWithStatus2) {
    NEEDS_BINARY();
    TempDir empty;
    const Finished refused = run_knlp({"train"}, empty.path());
    EXPECT_EQ(refused.status, 2);
    EXPECT_TRUE(fs::is_empty(empty.path()));
}

TEST(TrainCommand, CudaThatIsNotThereEndsWithStatus5) {
    NEEDS_BINARY();
    const Command train;
    if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a CUDA device";
    for (const char* how : {"--json", "--dry-run"}) {
        const Finished refused = train({"--device", "cuda", "--out", "a", how});
        EXPECT_EQ(refused.status, 5) << refused.err;
        EXPECT_THAT(refused.err, testing::HasSubstr("E_NOT_AVAILABLE"));
        EXPECT_THAT(refused.err, testing::HasSubstr("CUDA"));
    }
    EXPECT_FALSE(fs::exists(train.runs.run("a")));
}

TEST(TrainCommand, AProductRouteThatIsNotThereEndsWithStatus5) {
    NEEDS_BINARY();
    const Command train;
    const std::map<std::string, std::string> without = {
        {"LD_PRELOAD", (binary_directory() / "no_onednn_shim.so").string()}};
    const Finished refused = train({"--out", "a", "--set", "GEMM_ONEDNN=y"}, without);
    EXPECT_EQ(refused.status, 5) << refused.err;
    EXPECT_THAT(refused.err,
                testing::HasSubstr("GEMM route onednn: this LibTorch has no operator"));
    EXPECT_THAT(refused.err, testing::HasSubstr("use native, aten or auto"));
    EXPECT_FALSE(fs::exists(train.runs.run("a")));
    const Finished chosen = train({"--dry-run", "--set", "GEMM_AUTO=y"}, without);
    EXPECT_EQ(chosen.status, 0) << chosen.err;
}

TEST(TrainCommand, SecondProcessOnTheSameRunEndsWithStatus6) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "a", "--max-iters", "4"}).status, 0);
    track::RunDir held = track::RunDir::open(train.runs.run("a"));
    held.lock();
    EXPECT_EQ(train({"--resume", "a"}).status, 6);
}

TEST(TrainCommand, WhatIsNotForeseenEndsWithStatus70InOneLine) {
    NEEDS_BINARY();
    const Command train;
    fs::create_directory(train.runs.run("results"));
    write_file_atomic(train.runs.run("results") / "index.sqlite", "");
    const Finished broken =
        run_knlp({"report", "list"}, train.runs.path(),
                 {{"LD_PRELOAD", (binary_directory() / "throwing_shim.so").string()}});
    EXPECT_EQ(broken.status, 70);
    EXPECT_THAT(broken.err, testing::HasSubstr("error[E_INTERNAL]: unforeseen;"));
    EXPECT_EQ(std::count(broken.err.begin(), broken.err.end(), '\n'), 1);
}

TEST(TrainCommand, TooLargeABatchEndsWithStatus4AndNamesOneThatFits) {
    NEEDS_BINARY();
    const Command train;
    const std::vector<std::string> huge = {
        "--dry-run",        "--set", "BATCH_SIZE=65536",    "--set",
        "GPT2_N_EMBD=4096", "--set", "GPT2_BLOCK_SIZE=4096"};
    const Finished predicted = train(huge);
    EXPECT_EQ(predicted.status, 4) << predicted.err;
    EXPECT_THAT(predicted.err, testing::HasSubstr("error[E_MEMORY]"));
    EXPECT_THAT(predicted.err,
                testing::ContainsRegex("largest: activations of 65536 x 4096 tokens [^,;]+, "
                                       "[^,;]+, [^,;]+; BATCH_SIZE=[0-9]+ would fit"));
    // With --force it is the allocation that fails; the limit keeps the machine out of it.
    const Finished forced = run_shell(
        "ulimit -v 16000000; exec \"$KNLP\" train --dry-run --force --set BATCH_SIZE=8192 "
        "--set GPT2_N_EMBD=1024 --set GPT2_BLOCK_SIZE=1024",
        train.runs.path());
    EXPECT_EQ(forced.status, 4) << forced.err;
    EXPECT_THAT(forced.err, testing::HasSubstr("error[E_MEMORY]: out of memory"));
}

TEST(TrainCommand, TheMakersLibraryIsFoundByTheNameThatDriversInstall) {
    NEEDS_BINARY();
    const Command train;
    const fs::path driver = train.runs.run("driver");
    fs::create_directory(driver);
    fs::create_symlink(binary_directory() / "fake_gpus.so", driver / "libnvidia-ml.so.1");
    const Finished done = train({"--out", "a"}, {{"LD_LIBRARY_PATH", driver.string()}});
    EXPECT_EQ(done.status, 0) << done.err;
    std::ifstream lines(train.runs.run("a") / "sys_stats.jsonl");
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(parse_json(line, "sys_stats.jsonl")["gpus"][0]["name"], "Fake N0");
}

/// Trains with these settings, once in one go and once killed at so many moments.
void expect_same_bytes_when_killed(const Command& train, const std::string& name, int kills,
                                   const std::vector<std::string>& set) {
    const std::string iterations = std::to_string(kills * 12 / 5);
    std::vector<std::string> arguments = {"--out", name, "--max-iters", iterations};
    std::string flags;
    for (const std::string& setting : set) {
        arguments.insert(arguments.end(), {"--set", setting});
        flags += " --set " + setting;
    }
    EXPECT_EQ(train(arguments).status, 0);
    // The kill comes after a growing number of lines of metrics, so each lands at another point.
    const std::string killed_name = name + "-killed";
    const Finished killed = run_shell(
        "start() { \"$KNLP\" train --out " + killed_name + " --max-iters " + iterations + flags +
            " & pid=$!; }; start; n=0; for i in $(seq " + std::to_string(kills) +
            "); do n=$((n + 1)); until [ \"$(cat " + killed_name +
            "/metrics.jsonl 2>/dev/null | wc -l)\" -ge $n ]; do kill -0 $pid 2>/dev/null || break; "
            "done; kill -9 $pid 2>/dev/null; wait $pid; [ -e " +
            killed_name + "/config ] || { rm -rf " + killed_name +
            "; start; continue; }; \"$KNLP\" train --resume " + killed_name +
            " & pid=$!; done; wait $pid",
        train.runs.path());
    EXPECT_EQ(killed.status, 0) << killed.err;
    expect_same_run(train.runs.run(name), train.runs.run(killed_name));
}

TEST(TrainCommandSlow, KilledAtRandomMomentsEndsWithTheSameBytes) {
    NEEDS_BINARY();
    const Command train;
    expect_same_bytes_when_killed(train, "a", 50, {});
}

TEST(TrainCommandSlow, KilledAtRandomMomentsOnTwoThreadsEndsWithTheSameBytes) {
    NEEDS_BINARY();
    const Command train;
    expect_same_bytes_when_killed(train, "fp32", 20, {"NUM_THREADS=2", "GEMM_NATIVE=y"});
    expect_same_bytes_when_killed(train, "bf16", 20,
                                  {"NUM_THREADS=2", "GEMM_AUTO=y", "MIXED_PRECISION=y"});
}

TEST(TrainCommandSlow, KilledAtEverySystemCallOfASaveStaysLoadable) {
    NEEDS_BINARY();
    const fs::path shim = binary_directory() / "crash_shim.so";
    if (!fs::exists(shim)) GTEST_SKIP() << shim << " is not built";
    const Command train;
    EXPECT_EQ(train({"--out", "straight", "--max-iters", "4"}).status, 0);
    const auto preload = [&](const std::string& name, const std::string& variable,
                             const std::string& value) {
        return std::map<std::string, std::string>{
            {"LD_PRELOAD", shim.string()},
            {variable, value},
            {"KNLP_CRASH_BELOW", (train.runs.run(name) / "checkpoints").string()}};
    };
    const fs::path count = train.runs.run("count");
    EXPECT_EQ(train({"--out", "counted", "--max-iters", "4"},
                    preload("counted", "KNLP_CRASH_COUNT", count.string()))
                  .status,
              0);
    const int64_t calls = std::stoll(read_file(count));
    EXPECT_GT(calls, 10);
    for (int64_t at = 1; at <= calls; ++at) {
        const std::string name = "crash-" + std::to_string(at);
        const Finished crashed = train({"--out", name, "--max-iters", "4"},
                                       preload(name, "KNLP_CRASH_AT", std::to_string(at)));
        EXPECT_EQ(crashed.status, 137) << at;
        const Finished resumed = train({"--resume", name});
        EXPECT_EQ(resumed.status, 0) << at << ": " << resumed.err;
        EXPECT_TRUE(same_bytes(newest(train.runs.run("straight")) / "model.safetensors",
                               newest(train.runs.run(name)) / "model.safetensors"))
            << at;
        fs::remove_all(train.runs.run(name));
    }
}

TEST(TrainCommand, APowerCutLosesNoMetricsThatACheckpointCountsOn) {
    NEEDS_BINARY();
    const fs::path shim = binary_directory() / "crash_shim.so";
    if (!fs::exists(shim)) GTEST_SKIP() << shim << " is not built";
    const Command train;
    const auto with_shim = [&](const std::string& name, const std::string& variable,
                               const std::string& value) {
        const fs::path run = train.runs.run(name);
        return train({"--out", name, "--max-iters", "4"},
                     {{"LD_PRELOAD", shim.string()},
                      {variable, value},
                      {"KNLP_CRASH_BELOW", (run / "checkpoints").string()},
                      {"KNLP_CRASH_LOSES", (run / "metrics.jsonl").string()}});
    };
    const fs::path count = train.runs.run("count");
    EXPECT_EQ(with_shim("straight", "KNLP_CRASH_COUNT", count.string()).status, 0);
    EXPECT_EQ(with_shim("cut", "KNLP_CRASH_AT", read_file(count)).status, 137);
    ASSERT_FALSE(newest(train.runs.run("cut")).empty());
    const Finished resumed = train({"--resume", "cut"});
    EXPECT_EQ(resumed.status, 0) << resumed.err;
    EXPECT_TRUE(same_bytes(newest(train.runs.run("straight")) / "model.safetensors",
                           newest(train.runs.run("cut")) / "model.safetensors"));
}

TEST(TrainCommand, FullDiskDuringASaveKeepsTheOldCheckpointAndGoesOn) {
    NEEDS_BINARY();
    const fs::path shim = binary_directory() / "crash_shim.so";
    if (!fs::exists(shim)) GTEST_SKIP() << shim << " is not built";
    const Command train;
    const auto full = [&](const std::string& name, const std::string& variable,
                          const std::string& at) {
        return train({"--out", name},
                     {{"LD_PRELOAD", shim.string()},
                      {variable, at},
                      {"KNLP_CRASH_BELOW", (train.runs.run(name) / "checkpoints").string()}});
    };
    const Finished once = full("once", "KNLP_FAIL_AT", "3");
    EXPECT_EQ(once.status, 0) << once.err;
    EXPECT_THAT(once.err, testing::HasSubstr("not saved (1 in a row, 3 end the run): "));
    EXPECT_EQ(train::verify_checkpoint(newest(train.runs.run("once"))), "");
    const Finished always = full("always", "KNLP_FAIL_FROM", "1");
    EXPECT_EQ(always.status, 4) << always.err;
    for (const char* name : {"once", "always"})
        for (const auto& entry : fs::directory_iterator(train.runs.run(name) / "checkpoints"))
            EXPECT_FALSE(entry.path().filename().string().ends_with(".partial")) << entry.path();
    EXPECT_THAT(always.err, testing::HasSubstr("E_IO"));
    EXPECT_THAT(always.err, testing::HasSubstr("not saved (3 in a row, the run ends here): "));
}

TEST(TrainCommand, ThreadsWaitInShortLoopsUnlessTheEnvironmentSaysHow) {
    NEEDS_BINARY();
    const Command train;
    const auto said = [&](const std::string& policy) {
        // libgomp prints what it was told when it is loaded.
        const Finished done = train(
            {"--dry-run"},
            {{"OMP_DISPLAY_ENV", "verbose"}, {"GOMP_SPINCOUNT", ""}, {"OMP_WAIT_POLICY", policy}});
        EXPECT_EQ(done.status, 0) << done.err;
        return done.err;
    };
    EXPECT_THAT(said(""), testing::HasSubstr("GOMP_SPINCOUNT = '20000'"));
    EXPECT_THAT(said("active"), testing::Not(testing::HasSubstr("GOMP_SPINCOUNT = '20000'")));
}

// The chain looks three letters back, so that the loss stays at ln 8 for hundreds of steps.
TEST(TrainingSlow, MarkovTextIsLearnedToItsEntropy) {
    NEEDS_BINARY();
    const Command train;
    data::make_synthetic("markov", 2000000, 1, {.name = "markov"}, train.runs.run("markov"));
    const double entropy = data::open_dataset(train.runs.run("markov")).meta.entropy_nats;
    const Finished done =
        train({"--out",       "a",
               "--max-iters", "2400",
               "--set",       "GPT2_CUSTOM_DATASET_PATH=" + train.runs.run("markov").string(),
               "--set",       "GPT2_N_LAYER=2",
               "--set",       "GPT2_N_HEAD=4",
               "--set",       "GPT2_N_EMBD=128",
               "--set",       "GPT2_BLOCK_SIZE=64",
               "--set",       "BATCH_SIZE=32",
               "--set",       "GRADIENT_ACCUMULATION=1",
               "--set",       "GPT2_DROPOUT=0",
               "--set",       "LEARNING_RATE=1.5e-3",
               "--set",       "LR_SCHEDULE_WSD=y",
               "--set",       "ADAM_BETA2=0.99",
               "--set",       "GPT2_MIN_LR=1e-5",
               "--set",       "GPT2_WARMUP_STEPS=50",
               "--set",       "NUM_THREADS=2",
               "--set",       "GPT2_EVAL_INTERVAL=5000",
               "--set",       "GPT2_EVAL_TOKENS=65536",
               "--set",       "CHECKPOINT_INTERVAL=5000"});
    ASSERT_EQ(done.status, 0) << done.err;
    EXPECT_LT(events(train.runs.run("a"), "final").at(0)["val_loss"].get<double>(), entropy + 0.05);
}

}  // namespace
