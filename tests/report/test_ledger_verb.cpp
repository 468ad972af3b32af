#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "tests/cli/cli_test.h"
#include "tests/report/small_matrix.h"
#include "tests/report/fake_run.h"

namespace knlp {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class LedgerVerb : public test::CliTest {
protected:
    void SetUp() override { run_ = test::write_fake_run(dir_.path()); }

    test::Finished add(std::vector<std::string> words) {
        words.insert(words.begin(), {"report", "ledger", "add"});
        return knlp(words);
    }
    json row(size_t n) {
        return parse_json(knlp({"report", "ledger", "list", "--json"}).out, "list").at(n);
    }
    std::filesystem::path run_;
};

TEST_F(LedgerVerb, AddsARunAndListsItWithItsClass) {
    const test::Finished done = add({"results/runs/" + run_.filename().string()});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("1  NON_DIAGNOSTIC"));
    EXPECT_EQ(knlp({"report", "ledger", "list"}).out, done.out);
    EXPECT_EQ(row(0)["class"], "NON_DIAGNOSTIC");
    EXPECT_TRUE(row(0)["invalidated_by"].is_null());
}

TEST_F(LedgerVerb, ADryRunWritesNothing) {
    EXPECT_EQ(add({run_.string(), "--dry-run"}).status, 0);
    EXPECT_FALSE(std::filesystem::exists(dir_.file("results/ledger.jsonl")));
}

TEST_F(LedgerVerb, VerifyEndsWithOneAtABrokenLine) {
    add({run_.string()});
    EXPECT_EQ(knlp({"report", "verify-ledger"}).status, 0);
    write("results/runs/" + run_.filename().string() + "/summary.json", "{}");
    const test::Finished done = knlp({"report", "verify-ledger"});
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.out, HasSubstr("results/ledger.jsonl:1: line 1 names runs/"));
    const json answer = parse_json(knlp({"report", "verify-ledger", "--json"}).out, "stdout");
    EXPECT_EQ(answer["whole"], false);
    EXPECT_EQ(answer["line"], 1);
}

TEST_F(LedgerVerb, VerifyWithoutALedgerIsAnError) {
    expect_failure({"report", "verify-ledger"}, 3, "E_DATA", {"there is no ledger"});
}

TEST_F(LedgerVerb, KeepsWhatOthersMeasuredAndWhatIsOnlyThought) {
    EXPECT_EQ(
        add({"--published", "arXiv 2501.06842, table 2", "--metric", "perplexity=30.46"}).status,
        0);
    EXPECT_EQ(add({"--hypothesis", "larger models gain more"}).status, 0);
    EXPECT_EQ(row(0)["class"], "PUBLISHED_ELSEWHERE");
    EXPECT_EQ(row(0)["metrics"]["perplexity"], 30.46);
    EXPECT_EQ(row(1)["class"], "HYPOTHESIS");
}

TEST_F(LedgerVerb, TakesARowBack) {
    add({run_.string()});
    EXPECT_EQ(add({"--invalidates", "1", "--why", "wrong text"}).status, 0);
    EXPECT_EQ(row(0)["invalidated_by"], 2);
    EXPECT_THAT(knlp({"report", "ledger", "list"}).out, HasSubstr("1  INVALIDATED"));
}

TEST_F(LedgerVerb, AClassIsNeverChosenByHand) {
    expect_failure({"report", "ledger", "add", run_.string(), "--metric", "val_loss=1"}, 2,
                   "E_USAGE", {"--metric is for --published"});
    expect_failure({"report", "ledger", "add"}, 2, "E_USAGE", {"say what is added"});
    expect_failure({"report", "ledger", "add", "--published", "x"}, 2, "E_USAGE", {"--metric"});
    expect_failure({"report", "ledger", "add", "--invalidates", "1"}, 2, "E_USAGE", {"--why"});
    expect_failure({"report", "ledger", "add", "--published", "x", "--metric", "a=b"}, 2, "E_USAGE",
                   {"NAME=VALUE"});
}

TEST_F(LedgerVerb, CuratesARunWithItsRow) {
    const test::Finished done = knlp({"report", "curate", run_.string(), "--name", "nano"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("results/nano/figures.json"));
    EXPECT_EQ(row(0)["run_id"], "nano");
    EXPECT_EQ(knlp({"report", "verify-ledger"}).status, 0);
}

TEST_F(LedgerVerb, PacksAMatrixThatChecksOut) {
    test::write_small_matrix(dir_.file("results"), test::kBetterBy);
    add({"results/matrix/lr"});
    const test::Finished packed = knlp({"matrix", "package", "results/matrix/lr"});
    EXPECT_EQ(packed.status, 0) << packed.err;
    EXPECT_EQ(packed.out, "lr.tar.gz\n");
    EXPECT_EQ(knlp({"report", "--check", "lr.tar.gz"}).status, 0);
    EXPECT_EQ(knlp({"matrix", "package", "results/matrix/lr/", "--out", "again.tgz"}).status, 0);
    EXPECT_EQ(read_file(dir_.file("lr.tar.gz")), read_file(dir_.file("again.tgz")));
}

TEST_F(LedgerVerb, ACheckWhoseAnswerIsNoEndsWithOne) {
    test::write_small_matrix(dir_.file("results"), test::kBetterBy);
    add({"results/matrix/lr"});
    write("results/matrix/lr/cells/gpt2_adamw_learning_rate-1e-3_s3/metrics.jsonl",
          R"({"event":"final","step":20,"t":"2026-01-02T03:04:05Z","val_loss":1.5})"
          "\n");
    const test::Finished done = knlp({"report", "--check", "results/matrix/lr"});
    EXPECT_EQ(done.status, 1);
    EXPECT_THAT(done.out, HasSubstr("metrics.jsonl"));
}

}  // namespace
}  // namespace knlp
