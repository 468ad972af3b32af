#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/track/manifest.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

namespace knlp::track {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TempDir;

Manifest sample() {
    Manifest m;
    m.command_line = "knlp train";
    m.config_sha256 = std::string(64, 'a');
    m.device = "cpu";
    m.threads = 2;
    m.seeds = {{"seed", 7}};
    m.data.name = "linuxdoc";
    m.data.files = {{"train", "data/train.bin", std::string(64, 'b'), 100}};
    m.parameters = {1000, 900, {{"h.0", 500}}};
    m.batch = {16, 4, 4, 1, 256};
    m.budgets.max_iters = 20;
    m.parents = {{"init_from", "runs/x", ""}};
    m.warnings = {"careful"};
    return m;
}

TEST(Manifest, HoldsEveryFieldFromTheStart) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_manifest(run, sample());
    const json m = read_manifest(run.path());
    EXPECT_EQ(m["schema"], 1);
    EXPECT_EQ(m["run_id"], run.id());
    EXPECT_EQ(m["state"], "running");
    for (const char* name : {"knlp_version",   "git_commit",
                             "git_dirty",      "compiler",
                             "build_symbols",  "build_config_sha256",
                             "binary_sha256",  "torch_version",
                             "host",           "isa",
                             "device",         "threads",
                             "seeds",          "data",
                             "tokenizer",      "parameters",
                             "batch",          "budgets",
                             "parents",        "warnings",
                             "started",        "ended",
                             "wall_s",         "tokens_per_s",
                             "peak_rss_bytes", "peak_gpu_bytes",
                             "energy_j",       "result",
                             "exit_code",      "precision",
                             "gemm_route",     "git_diff_sha256"})
        EXPECT_TRUE(m.contains(name)) << name;
    EXPECT_EQ(m["seeds"]["seed"], 7);
    EXPECT_EQ(m["data"]["files"][0]["bytes"], 100);
    EXPECT_EQ(m["batch"]["effective"], 16);
    EXPECT_EQ(m["host"]["cpu_model"], host().cpu_model);
}

TEST(Manifest, WhatIsNotKnownIsNull) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_manifest(run, sample());
    const json m = read_manifest(run.path());
    for (const char* pointer :
         {"/ended", "/wall_s", "/peak_gpu_bytes", "/energy_j", "/result", "/bf16_dot_products",
          "/gemm_timing", "/exit_code", "/preset", "/data/substitute", "/data/entropy_nats",
          "/tokenizer/sha256", "/budgets/max_time_s", "/parents/0/sha256"})
        EXPECT_TRUE(m.at(json::json_pointer(pointer)).is_null()) << pointer;
}

TEST(Manifest, NamesTheBinaryByItsHash) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_manifest(run, sample());
    const test::Finished peer =
        test::run_program({"sha256sum", std::filesystem::read_symlink("/proc/self/exe").string()});
    EXPECT_EQ(read_manifest(run.path())["binary_sha256"], peer.out.substr(0, 64));
}

TEST(Manifest, TheEndReplacesItAndKeepsTheStart) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    Manifest m = sample();
    m.started = "2026-01-01T00:00:00Z";
    write_manifest(run, m);
    m.started = "";
    m.state = "done";
    m.ended = "2026-01-01T00:10:00Z";
    m.result = {{"final_val_loss", 2.0}};
    m.exit_code = 0;
    write_manifest(run, m);
    const json end = read_manifest(run.path());
    EXPECT_EQ(end["started"], "2026-01-01T00:00:00Z");
    EXPECT_EQ(end["result"]["final_val_loss"], 2.0);
    EXPECT_EQ(end["exit_code"], 0);
    ASSERT_EQ(end["attempts"].size(), 1u);
    const json& attempt = end["attempts"][0];
    EXPECT_EQ(attempt["ended"], "2026-01-01T00:10:00Z");
    EXPECT_EQ(attempt["exit_code"], 0);
    EXPECT_FALSE(attempt["started"].get<std::string>().empty());
    for (const char* library : {"torch", "fmt", "nlohmann_json", "sqlite"})
        EXPECT_TRUE(attempt["libraries"].contains(library)) << library;
}

TEST(Manifest, NothingInItIsOfThisMachineAlone) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    const std::string here = std::filesystem::current_path().string();
    Manifest m = sample();
    m.command_line =
        "knlp train --config=" + here + "/a --set DATA_DIR=/big/data --out " + here + "/b";
    m.data.directory = "/big/data/text";
    m.data.substitute = "x is not in /big/data; get it";
    m.data.files = {{"train", here + "/data/train.bin", std::string(64, 'b'), 100}};
    m.parents = {{"init_from", here + "/runs/x", ""}};
    m.warnings = {"cannot read /big/data/y"};
    write_manifest(run, m);
    const std::string text = read_file(run.file("manifest.json"));
    for (const std::string& name : {here, std::string("\"/"), std::string(" /"), std::string("=/"),
                                    "\"" + host().hostname + "\"", host().boot_id})
        EXPECT_THAT(text, testing::Not(testing::HasSubstr(name)));
    const json written = read_manifest(run.path());
    EXPECT_EQ(written["data"]["files"][0]["path"], "data/train.bin");
    EXPECT_EQ(written["parents"][0]["path"], "runs/x");
    EXPECT_THAT(written["command_line"].get<std::string>(),
                testing::StartsWith("knlp train --config=a "));
    EXPECT_THAT(written["data"]["directory"].get<std::string>(),
                testing::EndsWith("../big/data/text"));
}

TEST(Manifest, AResumeAddsAnAttempt) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    const pid_t child = ::fork();
    if (child == 0) {
        write_manifest(run, sample());
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    const json first = read_manifest(run.path());
    write_manifest(run, sample());
    const json second = read_manifest(run.path());
    EXPECT_EQ(second["attempts"].size(), 2u);
    EXPECT_EQ(second["attempts"][0], first["attempts"][0]);
    EXPECT_EQ(second["started"], first["started"]);
}

TEST(Manifest, DamageNamesTheFile) {
    const TempDir dir;
    for (const char* text : {"", "{", "[]", "3"}) {
        dir.write("manifest.json", text);
        expect_error(kData, {"manifest.json"}, [&] { read_manifest(dir.path()); });
    }
    std::filesystem::remove(dir.file("manifest.json"));
    expect_error(kData, {"manifest.json"}, [&] { read_manifest(dir.path()); });
}

TEST(Summary, HoldsPerplexitiesOfTheLosses) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    Summary s;
    s.final_val_loss = 2.0;
    s.best_val_loss = 50.0;
    s.steps = 20;
    s.total_time_s = 1.5;
    s.exit = "max_iters";
    write_summary(run, s);
    const json file = read_json(run.file("summary.json"));
    EXPECT_DOUBLE_EQ(file["final_val_perplexity"].get<double>(), std::exp(2.0));
    EXPECT_DOUBLE_EQ(file["best_val_perplexity"].get<double>(), std::exp(20.0));
    EXPECT_EQ(file["total_time"], 1.5);
    EXPECT_EQ(file["exit"], "max_iters");
    for (const char* name :
         {"final_accuracy", "best_accuracy", "final_sparsity", "final_train_loss"})
        EXPECT_TRUE(file.at(name).is_null()) << name;
}

}  // namespace
}  // namespace knlp::track
