#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/track/system_stats.h"
#include "src/track/system_sampler.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::TempDir;

constexpr double kLong_s = 3600;

RunDir new_run(const TempDir& dir) {
    return RunDir::create(dir.path(), "x", dir.path() / "run");
}

std::vector<json> lines_of(const RunDir& run) {
    std::vector<json> lines;
    std::istringstream text(read_file(run.file("sys_stats.jsonl")));
    for (std::string line; std::getline(text, line);)
        lines.push_back(parse_json(line, "sys_stats.jsonl"));
    return lines;
}

/// A field of /proc/<where>/status.
std::string status_field(const std::string& where, const std::string& name) {
    std::ifstream in("/proc/" + where + "/status");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(name + ":")) return line.substr(name.size() + 1);
    return "";
}

std::set<std::string> threads() {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator("/proc/self/task"))
        names.insert(entry.path().filename());
    return names;
}

/// Looks again and again, for a minute: what is waited for takes milliseconds.
template <class Condition>
bool comes_true(Condition condition) {
    for (const double end = steady_seconds() + 60; steady_seconds() < end;)
        if (condition()) return true;
    return false;
}

double thread_cpu_seconds() {
    struct timespec used {};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

void burn(double cpu_s) {
    for (const double end = thread_cpu_seconds() + cpu_s; thread_cpu_seconds() < end;) continue;
}

TEST(SystemSampler, MemoryIsThatOfThisProcessAndMachine) {
    const json line = SystemSampler({}).sample();
    std::istringstream resident(status_field("self", "VmRSS"));
    double kib = 0;
    ASSERT_TRUE(resident >> kib);
    EXPECT_NEAR(line["rss_bytes"].get<double>(), 1024 * kib, 0.1 * 1024 * kib);
    EXPECT_GT(line["memory_available_bytes"], 0);
    EXPECT_LE(line["memory_available_bytes"], host().memory_bytes);
    EXPECT_EQ(line.contains("cgroup_memory_bytes"), cgroup_memory_bytes().has_value());
    EXPECT_EQ(line["event"], "sys");
}

// On a machine that is shared two busy threads get less than two cores: how much they got is known.
TEST(SystemSampler, CpuShareIsOfOneCoreOverAllThreadsSinceTheLastSample) {
    constexpr double kBusy_s = 0.3;
    SystemSampler sampler({});
    burn(0.1);
    EXPECT_FALSE(sampler.sample().contains("cpu_percent"));
    const double begin = steady_seconds();
    std::thread other([&] { burn(kBusy_s); });
    burn(kBusy_s);
    other.join();
    const json line = sampler.sample();
    const double expected = 100 * 2 * kBusy_s / (steady_seconds() - begin);
    EXPECT_NEAR(line["cpu_percent"].get<double>(), expected, 0.1 * expected);
}

TEST(SystemSampler, ASampleLeavesNoDescriptorOpen) {
    const auto descriptors = [] {
        return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
    };
    SystemSampler sampler({});
    const auto before = descriptors();
    for (int i = 0; i < 10; ++i) sampler.sample();
    EXPECT_EQ(descriptors(), before);
}

TEST(SystemSampler, WithoutAMakersLibraryThereAreNoGpus) {
    EXPECT_EQ(open_nvml("libno-such-library.so"), nullptr);
    EXPECT_EQ(open_rocm_smi("libno-such-library.so"), nullptr);
    EXPECT_EQ(open_nvml("libc.so.6"), nullptr);  // one that lacks the functions
    std::vector<std::unique_ptr<GpuMonitor>> none(1);
    EXPECT_FALSE(SystemSampler(std::move(none)).sample().contains("gpus"));
}

std::string fake_gpus() {
    return test::binary_directory() / "fake_gpus.so";
}

// What fake_gpus.c says, in the units of the fields.
TEST(SystemSampler, GpusHaveTheirUnitsAndLackWhatTheyDoNotTell) {
    std::vector<std::unique_ptr<GpuMonitor>> monitors;
    monitors.push_back(open_nvml(fake_gpus()));
    monitors.push_back(open_rocm_smi(fake_gpus()));
    const json gpus = SystemSampler(std::move(monitors)).sample()["gpus"];
    EXPECT_EQ(gpus, json::parse(R"([
        {"index": 0, "name": "Fake N0", "memory_used_bytes": 1500000000,
         "memory_total_bytes": 80000000000, "utilization_percent": 37.0, "power_w": 123.456,
         "temperature_c": 61.0},
        {"index": 1, "name": "Fake N1"},
        {"index": 0, "name": "Fake A0", "memory_used_bytes": 2000000000,
         "memory_total_bytes": 64000000000, "utilization_percent": 42.0, "power_w": 98.765432,
         "temperature_c": 71.5},
        {"index": 1, "name": "Fake A1"}])"));
}

TEST(SystemSampler, LibrariesAreShutDown) {
    int (*opened)() = nullptr;
    ASSERT_TRUE(RuntimeLibrary(fake_gpus()).find("fake_gpus_opened", opened));
    {
        const auto nvidia = open_nvml(fake_gpus()), amd = open_rocm_smi(fake_gpus());
        EXPECT_EQ(opened(), 2);
    }
    EXPECT_EQ(opened(), 0);
}

TEST(SystemStats, WritesLinesAtItsPeriodUntilTheEnd) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    {
        const SystemStats stats(run, 0.01, 100);
        EXPECT_TRUE(comes_true([&] { return lines_of(run).size() >= 5; }));
    }
    const std::vector<json> lines = lines_of(run);
    for (const json& line : lines) {
        EXPECT_GT(line["rss_bytes"], 0);
        EXPECT_EQ(line.contains("cpu_percent"), &line != &lines.front());
    }
    EXPECT_GE(lines.front()["elapsed_s"], 100);
    for (size_t i = 1; i < lines.size(); ++i)
        EXPECT_GE(lines[i]["elapsed_s"].get<double>() - lines[i - 1]["elapsed_s"].get<double>(),
                  0.01 - 1e-3);  // times are rounded to a millisecond
}

TEST(SystemStats, OneOnTheSameRunAppends) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    for (const double elapsed_s : {0.0, 50.0}) SystemStats(run, kLong_s, elapsed_s);
    const std::vector<json> lines = lines_of(run);
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_LT(lines[0]["elapsed_s"], 50);
    EXPECT_GE(lines[1]["elapsed_s"], 50);
}

TEST(SystemStats, APeriodOfZeroWritesNothing) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    SystemStats(run, 0, 0);
    EXPECT_FALSE(fs::exists(run.file("sys_stats.jsonl")));
}

// Waking takes well under a millisecond; the fastest of five, since others use the machine too.
TEST(SystemStats, TheEndDoesNotWaitForThePeriod) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    double fastest = kLong_s;
    for (size_t i = 1; i <= 5; ++i) {
        auto stats = std::make_unique<SystemStats>(run, kLong_s, 0);
        ASSERT_TRUE(comes_true([&] { return lines_of(run).size() == i; }));
        const double begin = steady_seconds();
        stats.reset();
        fastest = std::min(fastest, steady_seconds() - begin);
    }
    EXPECT_LT(fastest, 0.5);
}

TEST(SystemStats, ItsThreadTakesNoSignals) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    const std::set<std::string> before = threads();
    const SystemStats stats(run, kLong_s, 0);
    ASSERT_TRUE(comes_true([&] { return !lines_of(run).empty(); }));
    std::vector<std::string> added;
    std::ranges::set_difference(threads(), before, std::back_inserter(added));
    ASSERT_EQ(added.size(), 1u);
    const uint64_t blocked =
        std::stoull(status_field("self/task/" + added.front(), "SigBlk"), nullptr, 16);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGXFSZ})
        EXPECT_TRUE(blocked >> (signal - 1) & 1) << signal;
}

int64_t warnings_in(const std::string& text) {
    int64_t count = 0;
    for (size_t at = 0; (at = text.find("system statistics are", at)) != std::string::npos; ++at)
        ++count;
    return count;
}

TEST(SystemStats, AFullDiskIsWarnedOfOnceAndEndsTheThread) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    fs::create_symlink("/dev/full", run.file("sys_stats.jsonl"));
    log::open_run_log(dir.file("log"));
    const size_t before = threads().size();
    {
        const SystemStats stats(run, 0.001, 0);
        EXPECT_TRUE(comes_true([&] { return warnings_in(read_file(dir.file("log"))) > 0; }));
        EXPECT_TRUE(comes_true([&] { return threads().size() == before; }));
    }
    log::close_run_log();
    const std::string text = read_file(dir.file("log"));
    EXPECT_EQ(warnings_in(text), 1) << text;
    EXPECT_THAT(text, testing::HasSubstr("sys_stats.jsonl"));
}

TEST(SystemStats, AFileThatCannotBeOpenedIsWarnedOf) {
    const TempDir dir;
    const RunDir run = new_run(dir);
    fs::create_directory(run.file("sys_stats.jsonl"));
    log::open_run_log(dir.file("log"));
    EXPECT_NO_THROW(SystemStats(run, kLong_s, 0));
    log::close_run_log();
    EXPECT_EQ(warnings_in(read_file(dir.file("log"))), 1);
}

}  // namespace
}  // namespace knlp::track
