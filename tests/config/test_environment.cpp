#include "knlp/config/environment.h"

#include "tests/support/scoped_environment.h"

#include <gtest/gtest.h>

namespace knlp::config {
namespace {

using test::ScopedEnvironment;

TEST(BatchJob, IsNoneOutsideOfOne) {
    const ScopedEnvironment id("SLURM_JOB_ID", ""), end("SLURM_JOB_END_TIME", "5");
    EXPECT_FALSE(batch_job());
}

TEST(BatchJob, IsReadFromWhatSlurmSets) {
    const ScopedEnvironment id("SLURM_JOB_ID", "12"), end("SLURM_JOB_END_TIME", "1800000000"),
        restarts("SLURM_RESTART_COUNT", "3"), task("SLURM_ARRAY_TASK_ID", "");
    const std::optional<BatchJob> job = batch_job();
    ASSERT_TRUE(job);
    EXPECT_EQ(job->id, "12");
    EXPECT_FALSE(job->task);
    EXPECT_EQ(job->restarts, 3);
    EXPECT_EQ(job->end_s, 1800000000.0);
}

TEST(BatchJob, OfATaskBearsItsNumberInTheArray) {
    const ScopedEnvironment id("SLURM_JOB_ID", "13"), array("SLURM_ARRAY_JOB_ID", "12"),
        task("SLURM_ARRAY_TASK_ID", "0");
    ASSERT_TRUE(batch_job());
    EXPECT_EQ(batch_job()->id, "12_0");
    EXPECT_TRUE(batch_job()->task);
}

TEST(BatchJob, NonsenseIsNotKnown) {
    const ScopedEnvironment id("SLURM_JOB_ID", "12"), end("SLURM_JOB_END_TIME", "soon"),
        restarts("SLURM_RESTART_COUNT", "-"), task("SLURM_ARRAY_TASK_ID", "");
    ASSERT_TRUE(batch_job());
    EXPECT_EQ(batch_job()->restarts, 0);
    EXPECT_FALSE(batch_job()->end_s);
}

}  // namespace
}  // namespace knlp::config
