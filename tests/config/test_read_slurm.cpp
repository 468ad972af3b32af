#include "knlp/config/slurm.h"
#include "knlp/config/symbols.h"

#include "tests/support/expect_error.h"

#include <gtest/gtest.h>

namespace knlp::config {
namespace {

Slurm with(const std::map<std::string, std::string>& values) {
    return read_slurm(Symbols::from_values(values));
}

// sbatch(1), --time.
TEST(ReadSlurm, TimesAreReadAsSlurmReadsThem) {
    EXPECT_EQ(slurm_seconds("90"), 90 * 60);
    EXPECT_EQ(slurm_seconds("90:30"), 90 * 60 + 30);
    EXPECT_EQ(slurm_seconds("04:00:05"), 4 * 3600 + 5);
    EXPECT_EQ(slurm_seconds("2-3"), (2 * 24 + 3) * 3600);
    EXPECT_EQ(slurm_seconds("2-3:4"), (2 * 24 + 3) * 3600 + 4 * 60);
    EXPECT_EQ(slurm_seconds("2-3:4:5"), (2 * 24 + 3) * 3600 + 4 * 60 + 5);
    for (const char* text : {"", "x", "1:", ":1", "1:2:3:4", "1-", "-1", "1-2-3", "UNLIMITED",
                             "1.5", "9999999", " 5", "99999999999999999999"})
        EXPECT_EQ(slurm_seconds(text), std::nullopt) << text;
}

TEST(ReadSlurm, DefaultsAreTheDocumentedOnes) {
    const Slurm s = with({});
    EXPECT_FALSE(s.chosen);
    EXPECT_EQ(s.partition, "");
    EXPECT_EQ(s.time, "04:00:00");
    EXPECT_EQ(s.gres, "");
    EXPECT_EQ(s.cpus, 2);
    EXPECT_EQ(s.memory, "8G");
    EXPECT_EQ(s.max_parallel, 0);
    EXPECT_EQ(s.extra, "");
}

TEST(ReadSlurm, ValuesAreReadAsSet) {
    const Slurm s = with({{"MATRIX_ENGINE_SLURM", "y"},
                          {"SLURM_PARTITION", "gpu,spare"},
                          {"SLURM_TIME", "1-12"},
                          {"SLURM_GRES", "gpu:1"},
                          {"SLURM_CPUS", "7"},
                          {"SLURM_MEM", "0"},
                          {"SLURM_MAX_PARALLEL", "3"},
                          {"SLURM_EXTRA", "--account=lab --qos=long"}});
    EXPECT_TRUE(s.chosen);
    EXPECT_EQ(s.partition, "gpu,spare");
    EXPECT_EQ(s.time, "1-12");
    EXPECT_EQ(s.gres, "gpu:1");
    EXPECT_EQ(s.cpus, 7);
    EXPECT_EQ(s.memory, "0");
    EXPECT_EQ(s.max_parallel, 3);
    EXPECT_EQ(s.extra, "--account=lab --qos=long");
}

TEST(ReadSlurm, WhatSlurmWouldNotTakeIsRefused) {
    const auto refuses = [](const char* name, const char* value) {
        test::expect_error(kConfig, {name}, [&] { with({{name, value}}); });
    };
    refuses("SLURM_TIME", "soon");
    refuses("SLURM_TIME", "");
    refuses("SLURM_TIME", "4:59");
    refuses("SLURM_MEM", "8GB");
    refuses("SLURM_MEM", "G");
    EXPECT_EQ(with({{"SLURM_TIME", "5"}}).time, "5");
}

}  // namespace
}  // namespace knlp::config
